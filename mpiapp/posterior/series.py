"""The catalog's mode and bounds in the limit of infinitely many draws, from a Chebyshev series.

The MPDF is an expectation of the kernel under the posterior p, so that its limit is
p ⊗ kernel on the range of the prior, and no draw is needed.  With an Epanechnikov
kernel of half-width h the smoothed density and its integral at y are polynomials in y
whose coefficients are moments of p over y ± h, that is differences of

    A_k(x) = ∫₋₁ˣ tᵏ p(t) dt,   k = 0…3,

which are Chebyshev series again.  p is log-concave, so is the kernel, and so the
smoothed density: its mode is unique.  All positions are in units in which the series
lives on [−1, 1].
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS

_TOLERANCE = 1e-11


def nodes(order: int) -> np.ndarray:
    """(order,) ascending Chebyshev nodes in [−1, 1]."""
    return np.cos(np.pi * (np.arange(order) + 0.5) / order)[::-1].copy()


@njit(**OPTIONS)
def interpolate(x, values, c):
    """c (order,), written: the series through values (order,) at the nodes x."""
    n = len(x)
    before = np.ones(n)
    now = x.copy()
    for k in range(n):
        total = 0.0
        for j in range(n):
            total += values[j] * before[j]
            before[j], now[j] = now[j], 2.0 * x[j] * now[j] - before[j]
        c[k] = total * (2.0 if k else 1.0) / n


@njit(**OPTIONS)
def integrals(c):
    """(order + 4, 4) series of A_0 … A_3 of the density with series c (order,)."""
    n = len(c)
    size = n + 4
    out = np.zeros((size, 4))
    w = np.zeros(size + 1)
    shifted = np.zeros(size + 1)
    w[:n] = c
    for k in range(4):
        at_left = 0.0
        sign = -1.0
        for j in range(1, size):
            a = w[0] - 0.5 * w[2] if j == 1 else (w[j - 1] - w[j + 1]) / (2.0 * j)
            out[j, k] = a
            at_left += sign * a
            sign = -sign
        out[0, k] = -at_left
        shifted[0] = 0.5 * w[1]
        shifted[1] = w[0] + 0.5 * w[2]
        for j in range(2, size):
            shifted[j] = 0.5 * (w[j - 1] + w[j + 1])
        w[:size] = shifted[:size]
    return out


@njit(**OPTIONS)
def _at(A, x):
    """A_0 … A_3 at x, constant beyond [−1, 1] (Clenshaw)."""
    x = min(max(x, -1.0), 1.0)
    p0, p1, p2, p3, q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(len(A) - 1, 0, -1):
        p0, q0 = A[j, 0] + 2.0 * x * p0 - q0, p0
        p1, q1 = A[j, 1] + 2.0 * x * p1 - q1, p1
        p2, q2 = A[j, 2] + 2.0 * x * p2 - q2, p2
        p3, q3 = A[j, 3] + 2.0 * x * p3 - q3, p3
    return (
        A[0, 0] + x * p0 - q0,
        A[0, 1] + x * p1 - q1,
        A[0, 2] + x * p2 - q2,
        A[0, 3] + x * p3 - q3,
    )


@njit(**OPTIONS)
def normalised(c, A, x):
    """(m,) density at x (m,) in [−1, 1], of integral 1, where its series c is negative 0."""
    out = np.zeros(len(x))
    mass = _at(A, 1.0)[0]
    for i in range(len(x)):
        p, q = 0.0, 0.0
        for j in range(len(c) - 1, 0, -1):
            p, q = c[j] + 2.0 * x[i] * p - q, p
        out[i] = max((c[0] + x[i] * p - q) / mass, 0.0)
    return out


@njit(**OPTIONS)
def smoothed(A, h, y):
    """(integral up to y, density, slope) of the smoothed posterior, not cut or normalised."""
    a0, a1, a2, a3 = _at(A, y - h)
    b0, b1, b2, b3 = _at(A, y + h)
    d0, d1, d2, d3 = b0 - a0, b1 - a1, b2 - a2, b3 - a3
    h2, h3 = h * h, h * h * h
    cubic = y * y * y * d0 - 3.0 * y * y * d1 + 3.0 * y * d2 - d3
    total = a0 + 0.25 * (2.0 * d0 + 3.0 * (y * d0 - d1) / h - cubic / h3)
    density = 0.75 / h * (d0 - (y * y * d0 - 2.0 * y * d1 + d2) / h2)
    return total, density, 1.5 / h3 * (d1 - y * d0)


@njit(**OPTIONS)
def moments(A):
    """(mean, standard deviation) of the posterior."""
    m0, m1, m2, _ = _at(A, 1.0)
    mean = m1 / m0
    return mean, np.sqrt(max(m2 / m0 - mean * mean, 0.0))


@njit(**OPTIONS)
def _mode(A, h, left, right, start):
    """Where the slope of the smoothed density changes sign between left and right."""
    x = min(max(start, left), right)
    slope_left, slope_right = smoothed(A, h, left)[2], smoothed(A, h, right)[2]
    if slope_left <= 0.0:
        return left
    if slope_right >= 0.0:
        return right
    for n in range(100):
        slope = smoothed(A, h, x)[2]
        if slope > 0.0:
            left, slope_left = x, slope
            slope_right *= 0.5  # Illinois: an end that stays loses weight
        else:
            right, slope_right = x, slope
            slope_left *= 0.5
        if right - left < _TOLERANCE * h or slope == 0.0:
            break
        step = (right - left) * slope_left / (slope_left - slope_right)
        x = left + min(max(step, 0.4 * _TOLERANCE * h), right - left - 0.4 * _TOLERANCE * h)
        if n % 8 == 7:
            x = 0.5 * (left + right)
    return x


@njit(**OPTIONS)
def _half_width(A, h, mode, zero, top, target, start):
    """The half-width about the mode that encloses target, within [zero, top]."""
    lo, hi = 0.0, max(mode - zero, top - mode)
    w = min(start, hi)
    for n in range(100):
        upper = smoothed(A, h, min(mode + w, top))
        lower = smoothed(A, h, max(mode - w, zero))
        excess = upper[0] - lower[0] - target
        if excess < 0.0:
            lo = w
        else:
            hi = w
        slope = (upper[1] if mode + w < top else 0.0) + (lower[1] if mode - w > zero else 0.0)
        step = excess / slope if slope > 0.0 else np.inf
        if abs(step) < _TOLERANCE * h or hi - lo < _TOLERANCE * h:
            break
        w = w - step
        if not lo < w < hi or n % 8 == 7:
            w = 0.5 * (lo + hi)
    return w


@njit(**OPTIONS)
def summarise_series(A, zero, top, bandwidth, level, wants_quantile):
    """(mode, lolim, hilim, limit reached) of the smoothed posterior on [zero, top].

    A : series of its integrals; zero, top : the prior's bounds.  Where the interval
    reaches zero first, hilim is the catalog's limit or the quantile.
    """
    mean, sigma = moments(A)
    h = bandwidth * sigma
    # a log-concave density has its mode within √3 standard deviations of its mean
    reach = 1.75 * sigma * np.sqrt(1.0 + 0.2 * bandwidth * bandwidth)
    mode = _mode(A, h, max(zero, -1.0, mean - reach), min(top, 1.0, mean + reach), mean)
    at_zero = smoothed(A, h, zero)[0]
    target = level * (smoothed(A, h, top)[0] - at_zero)
    if smoothed(A, h, min(2.0 * mode - zero, top))[0] - at_zero < target:
        hilim = 2.0 * mode - zero
        if wants_quantile:
            hilim = zero + _half_width(A, h, zero, zero, top, target, 1.2 * sigma)
        return mode, zero, hilim, True
    w = _half_width(A, h, mode, zero, top, target, 1.09 * sigma)
    return mode, max(mode - w, zero), min(mode + w, top), False


@njit(**OPTIONS)
def catalog_numbers(A, lo, hi, upper, bandwidth, level, wants_quantile, out):
    """Fill out with value, lolim, hilim, mode, mean and rms of a density on [lo, hi].

    A : series of its integrals; upper : the prior's bound.  Value and lolim are 0 for an upper
    limit.  Returns what `summarise_series` does.
    """
    centre, half = 0.5 * (hi + lo), 0.5 * (hi - lo)
    found = summarise_series(
        A, -centre / half, (upper - centre) / half, bandwidth, level, wants_quantile
    )
    mode, lolim, hilim, is_limit = found
    mean, rms = moments(A)
    mode = centre + half * mode
    out[0] = 0.0 if is_limit else mode
    out[1] = 0.0 if is_limit else max(centre + half * lolim, 0.0)
    out[2] = centre + half * hilim
    out[3] = mode
    out[4] = centre + half * mean
    out[5] = half * rms
    return found


@njit(**OPTIONS)
def smoothed_pdf(A, zero, top, bandwidth, x):
    """(n,) smoothed density at x (n,), normalised on [zero, top] and zero outside."""
    h = bandwidth * moments(A)[1]
    mass = smoothed(A, h, top)[0] - smoothed(A, h, zero)[0]
    out = np.zeros(len(x))
    for i in range(len(x)):
        if zero <= x[i] <= top:
            out[i] = smoothed(A, h, x[i])[1] / mass
    return out
