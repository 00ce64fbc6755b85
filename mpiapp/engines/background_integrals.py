"""The likelihood of several sources with every background integrated out by its own Gauss rule.

Given the sources s an obsid's background b touches only its own rows, so that

    ∫₀^U db e^{−bΩ} Π_r (m_r(s) + Ω_r b)^{C_r},    m_r(s) = Σ_j f_rj s_j + o_r,

is one integral an obsid.  At a point s* in the middle of the posterior the integrand
is a weight W(b); elsewhere it is W(b) times a ratio that hardly depends on b, because
the sources move by some standard deviations only.  The Gauss rule that belongs to W,
exact for polynomials of degree 2n − 1, integrates the ratio with few nodes, which
do not depend on s.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .kernels import TINY, exp, log

_DROP = 30.0  # logarithm of the peak of W over its value where the rule ends
_FINE, _FINE_WEIGHTS = np.polynomial.legendre.leggauss(64)
MOST_NODES = 24
_RATIO = 1e-6  # relative error that decides the number of nodes
_NEAR = 4.0  # standard deviations of b from the root of a factor, within which W leaves it out
_REACH = 3.5  # standard deviations of the sources over which it holds


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
def _weight(powers, omega, mu, begin, end, total, b):
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
        height, slope, bend = _weight(*args, b)
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
        height, slope, bend = _weight(*args, hi)
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
        height, _, _ = _weight(powers, omega, mu, begin, end, total, b)
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


@njit(**OPTIONS)
def count_nodes(shift):
    """How many nodes a rule needs whose weight moves by `shift` of its standard deviations.

    The n-point Gauss–Hermite rule integrates e^{δx} with a relative error of
    δ^{2n} n!/(2n)!, which is asked to be small _REACH standard deviations out.
    """
    reach = _REACH * shift
    error, n = 0.5 * reach * reach, 1
    while error > _RATIO and n < MOST_NODES:
        n += 1
        error *= reach * reach / (2.0 * (2.0 * n - 1.0))
    return max(n, 2)


@njit(**OPTIONS)
def rules(p, theta, shift):
    """The rules of all obsids about theta (n_columns,): (first node of each, nodes, log weights).

    shift : (n_backgrounds,) by how many of its conditional standard deviations each
    background follows one of the sources.  The log weights contain the
    likelihood at theta, so that of the collapsed likelihood they are the constant.
    Frozen backgrounds make one block with one node at zero.
    """
    counts, f, omega, offset, first = p.counts, p.f, p.omega, p.offset, p.first
    omega_sum, upper = p.omega_sum, p.upper
    sources, blocks = len(p.f_sum), len(omega_sum)
    if blocks == 0:
        return np.array([0, 1]), np.zeros(1), np.zeros(1)
    mu = np.empty(len(counts))
    powers = np.empty(len(counts))
    begins = np.zeros(blocks + 1, dtype=np.int64)
    nodes = np.empty(blocks * MOST_NODES)
    logs = np.empty(blocks * MOST_NODES)
    for k in range(blocks):
        begin, end = first[k], first[k + 1]
        begins[k + 1] = begins[k]
        if end > begin and omega_sum[k] <= 0.0:
            nodes[begins[k]] = logs[begins[k]] = 0.0
            begins[k + 1] += 1
        elif end > begin:
            for r in range(begin, end):
                mu[r] = offset[r]
                for j in range(sources):
                    mu[r] += f[r, j] * theta[j]
            b = min(theta[sources + k], 0.999 * upper[sources + k])
            bend = 1.0 / (b * b)
            for r in range(begin, end):
                bend += counts[r] * (omega[r] / (mu[r] + omega[r] * b)) ** 2
            # A weight that is much narrower than what it has to cover is widened.
            power = 1.0 if shift[k] < 1.0 else 1.0 / (1.0 + shift[k] ** 2)
            n = count_nodes(min(shift[k], 2.0))
            degree = 0.0
            for r in range(begin, end):
                near = mu[r] + omega[r] * b < _NEAR * omega[r] / np.sqrt(bend)
                degree += counts[r] if near else 0.0
                powers[r] = 0.0 if near else power * counts[r]
            total = power * omega_sum[k]
            n = min(n + int(np.ceil(0.5 * degree)), MOST_NODES)
            at = begins[k]
            x = nodes[at : at + n]
            w = logs[at : at + n]
            gauss_rule(powers, omega, mu, begin, end, total, upper[sources + k], b, x, w)
            best = 0
            for q in range(n):
                if w[q] > w[best]:
                    best = q
            x[0], x[best] = x[best], x[0]
            w[0], w[best] = w[best], w[0]
            for q in range(n):
                height, _, _ = _weight(powers, omega, mu, begin, end, total, x[q])
                w[q] = np.log(max(w[q], TINY)) - height - omega_sum[k] * x[q]
            begins[k + 1] += n
    return begins, nodes[: begins[blocks]].copy(), logs[: begins[blocks]].copy()


@njit(**OPTIONS)
def log_likelihood(p, rule, s, mu, h, out):
    """Collapsed log-likelihood of s (n_sources, lanes) in out (lanes,), up to a constant.

    rule : of p, from `rules`
    mu, h : scratch (most rows of an obsid, lanes) and (2, lanes)
    """
    counts, f, omega, offset, f_sum = p.counts, p.f, p.omega, p.offset, p.f_sum
    begins, nodes, logs = rule
    sources, lanes = s.shape
    for i in range(lanes):
        out[i] = 0.0
    for j in range(sources):
        for i in range(lanes):
            out[i] -= f_sum[j] * s[j, i]
    for k in range(len(begins) - 1):
        begin = p.first[k]
        end = p.first[k + 1] if len(p.first) > 1 else len(counts)
        for r in range(begin, end):
            for i in range(lanes):
                mu[r - begin, i] = offset[r]
            for j in range(sources):
                for i in range(lanes):
                    mu[r - begin, i] += f[r, j] * s[j, i]
        for q in range(begins[k], begins[k + 1]):
            for i in range(lanes):
                h[1, i] = logs[q]
            for r in range(begin, end):
                c, add = counts[r], omega[r] * nodes[q]
                for i in range(lanes):
                    h[1, i] += c * log(mu[r - begin, i] + add)
            if q == begins[k]:
                for i in range(lanes):
                    out[i] += h[1, i]
                    h[0, i] = h[1, i]
                    mu[end - begin, i] = 1.0
            else:
                for i in range(lanes):
                    mu[end - begin, i] += exp(min(h[1, i] - h[0, i], 600.0))
        if begins[k + 1] > begins[k] + 1:
            for i in range(lanes):
                out[i] += log(mu[end - begin, i])
