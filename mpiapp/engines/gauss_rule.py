"""Gauss rules of few nodes for the density of a background, by way of a fine Gauss–Legendre rule.

The density ψ(b) = Σ_r C_r log(μ_r + Ω_r b) − b Σ Ω is log-concave.  Its orthogonal polynomials
follow from their recurrence (Stieltjes) on 64 nodes where it lives, nodes and weights from the
eigenvalues of the tridiagonal matrix (Golub & Welsch 1969).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .kernels import TINY

_DROP = 30.0  # logarithm of the peak of the density over its value where the rule ends
_FINE, _FINE_WEIGHTS = np.polynomial.legendre.leggauss(64)


@njit(**OPTIONS)
def _tridiagonal(diagonal, off, first):
    """Eigenvalues (in `diagonal`) and squared first components of the eigenvectors (in `first`).

    The implicit QL algorithm; off[i] couples i and i + 1 and is overwritten.
    """
    n = len(diagonal)
    first[:] = 0.0
    first[0] = 1.0
    for low in range(n):
        for _ in range(60):
            m = low
            while m < n - 1:
                size = abs(diagonal[m]) + abs(diagonal[m + 1])
                if abs(off[m]) <= 1e-16 * size:
                    break
                m += 1
            if m == low:
                break
            g = (diagonal[low + 1] - diagonal[low]) / (2.0 * off[low])
            r = np.sqrt(g * g + 1.0)
            g = diagonal[m] - diagonal[low] + off[low] / (g + np.copysign(r, g))
            s = c = 1.0
            p = 0.0
            i = m - 1
            while i >= low:
                f = s * off[i]
                b = c * off[i]
                r = np.sqrt(f * f + g * g)
                off[i + 1] = r
                if r == 0.0:
                    diagonal[i + 1] -= p
                    off[m] = 0.0
                    break
                s = f / r
                c = g / r
                g = diagonal[i + 1] - p
                r = (diagonal[i] - g) * s + 2.0 * c * b
                p = s * r
                diagonal[i + 1] = g + p
                g = c * r - b
                f = first[i + 1]
                first[i + 1] = s * first[i] + c * f
                first[i] = c * first[i] - s * f
                i -= 1
            else:
                diagonal[low] -= p
                off[low] = g
                off[m] = 0.0
    for i in range(n):
        first[i] *= first[i]


@njit(**OPTIONS)
def log_density(powers, omega, mu, begin, end, total, b):
    """ψ(b) = Σ powers log(μ + Ω b) − b · total with its first and second derivatives."""
    height, slope, bend = -total * b, -total, 0.0
    for r in range(begin, end):
        if powers[r] > 0.0:
            m = max(mu[r] + omega[r] * b, TINY)
            ratio = omega[r] / m
            height += powers[r] * np.log(m)
            slope += powers[r] * ratio
            bend -= powers[r] * ratio * ratio
    return height, slope, bend


@njit(**OPTIONS)
def _range(powers, omega, mu, begin, end, total, upper, start):
    """(lo, hi, ψ at the peak): where ψ has fallen by _DROP or a bound of the prior stands."""
    args = (powers, omega, mu, begin, end, total)
    left, right = 0.0, upper
    b = start
    height, slope, bend = 0.0, 0.0, 0.0
    for _ in range(100):
        height, slope, bend = log_density(*args, b)
        edge = b if slope < 0.0 else upper - b
        if slope * slope <= -0.01 * bend or abs(slope) * edge < 0.01:
            break
        if slope > 0.0:
            left = b
            b += min(slope / max(-bend, TINY), 0.7 * (right - b))
        else:
            right = b
            b += max(slope / max(-bend, TINY), -0.7 * (b - left))
    top, peak = height, b
    root = np.sqrt(slope * slope - 2.0 * _DROP * bend)
    # a parabola bounds the fall to the left, since ψ''' > 0; to the right Newton steps
    # end beyond the point where the drop is reached
    lo = max(0.0, peak - 2.0 * _DROP / max(slope + root, TINY))
    hi = min(upper, peak + 2.0 * _DROP / max(root - slope, TINY))
    for _ in range(3):
        height, slope, bend = log_density(*args, hi)
        if slope < 0.0:
            hi = min(upper, hi - (height - top + _DROP) / slope)
    return lo, hi, top


@njit(**OPTIONS)
def gauss_rule(powers, omega, mu, begin, end, total, upper, start, nodes, weights):
    """Gauss rule of e^ψ(b) on [0, upper] in nodes and weights (n,), which sum to one.

    mu : what the rows expect without this background.
    """
    lo, hi, top = _range(powers, omega, mu, begin, end, total, upper, start)
    fine = len(_FINE)
    x = np.empty(fine)
    w = np.empty(fine)
    half = 0.5 * (hi - lo)
    mass = 0.0
    for i in range(fine):
        b = lo + half * (1.0 + _FINE[i])
        height, _, _ = log_density(powers, omega, mu, begin, end, total, b)
        x[i] = _FINE[i]
        w[i] = _FINE_WEIGHTS[i] * np.exp(height - top)
        mass += w[i]
    n = len(nodes)
    now = np.full(fine, 1.0 / np.sqrt(mass))
    before = np.zeros(fine)
    off = np.zeros(n)
    coupling = 0.0
    for k in range(n):
        mean = 0.0
        for i in range(fine):
            mean += w[i] * x[i] * now[i] * now[i]
        nodes[k] = mean
        norm = 0.0
        for i in range(fine):
            later = (x[i] - mean) * now[i] - coupling * before[i]
            before[i] = now[i]
            now[i] = later
            norm += w[i] * later * later
        coupling = np.sqrt(norm)
        off[k] = coupling
        for i in range(fine):
            now[i] /= coupling
    _tridiagonal(nodes, off, weights)
    for k in range(n):
        nodes[k] = lo + half * (1.0 + nodes[k])
