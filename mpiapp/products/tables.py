"""Densities as tables of equidistant points, as /mpdf keeps them: values, moments, smoothing.

Between the points a density is the cubic through the four nearest ones, beyond them it is 0.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..compiled import OPTIONS

_KERNEL_NODES, _KERNEL_WEIGHTS = np.polynomial.legendre.leggauss(8)
_GREGORY = np.array([3 / 8, 7 / 6, 23 / 24])  # weights of the three points at each end


@njit(**OPTIONS)
def value_at(low, high, table, x):
    """The density at x."""
    if not low <= x <= high:
        return 0.0
    place = (x - low) / (high - low) * (len(table) - 1)
    first = min(max(int(place) - 1, 0), len(table) - 4)
    u = place - first
    a, b, c = u - 1.0, u - 2.0, u - 3.0
    return max(
        (table[first + 3] * u * a * b - table[first] * a * b * c) / 6.0
        + 0.5 * (table[first + 1] * u * b * c - table[first + 2] * u * a * c),
        0.0,
    )


@njit(**OPTIONS)
def is_density(low, high, table):
    """Whether it is one of a non-negative quantity; what a damaged file holds may be none."""
    total = 0.0
    for value in table:
        if not value >= 0.0:
            return False
        total += value
    return 0.0 <= low < high and high < np.inf and 0.0 < total < np.inf


@njit(**OPTIONS)
def moments_of(low, high, table):
    """(integral, mean, standard deviation); Gregory's rule, of fourth order at both ends."""
    n = len(table)
    step = (high - low) / (n - 1)
    m0 = m1 = m2 = 0.0
    for i in range(n):
        edge = min(i, n - 1 - i)
        w = _GREGORY[edge] if edge < len(_GREGORY) else 1.0
        m0 += w * table[i]
        m1 += w * table[i] * i
        m2 += w * table[i] * i * i
    mean = m1 / m0
    return m0 * step, low + step * mean, step * np.sqrt(max(m2 / m0 - mean * mean, 0.0))


@njit(**OPTIONS)
def smoothed_table(low, high, table, bandwidth, out):
    """Fill out with the density smoothed by the catalog's kernel, cut at 0; returns (low, high).

    bandwidth : half-width of the kernel, in standard deviations of the density.  It is not
    normalised.
    """
    h = bandwidth * moments_of(low, high, table)[2]
    first, last = max(low - h, 0.0), high + h
    for i in range(len(out)):
        y = first + (last - first) * i / (len(out) - 1)
        left, right = max(y - h, low), min(y + h, high)
        total = 0.0
        for k in range(len(_KERNEL_NODES)):
            x = 0.5 * (left + right + (right - left) * _KERNEL_NODES[k])
            z = (y - x) / h
            total += _KERNEL_WEIGHTS[k] * (1.0 - z * z) * value_at(low, high, table, x)
        out[i] = max(0.375 / h * (right - left) * total, 0.0)
    return first, last


@njit(**OPTIONS)
def exponential_table(limit, level, out):
    """Fill out with an exponential of which `level` lies below limit; returns (low, high).

    Its peak is 1, and it ends where e⁻²⁴ of that is left.
    """
    for k in range(len(out)):
        out[k] = math.exp(-24.0 * k / (len(out) - 1))
    return 0.0, -24.0 * limit / math.log(1.0 - level)


@njit(**OPTIONS)
def gamma_table(mean, rms, out):
    """Fill out with the Gamma density of a mean and rms, as a table that it returns (low, high) of.

    It ends where e⁻²⁴ of the peak is left.  A flux has no density that is infinite at 0: a rms
    larger than the mean is the noise of draws of an exponential one.
    """
    shape = max((mean / rms) ** 2, 1.0)
    rate = shape / mean
    mode = (shape - 1.0) / rate
    peak = (shape - 1.0) * math.log(mode) - rate * mode if mode > 0.0 else 0.0
    ends = np.zeros(2)
    for side in range(2 if mode > 0.0 else 1):
        inner, outer = mode, 0.0 if side else mode + (24.0 + 7.0 * math.sqrt(shape)) / rate
        for _ in range(60):
            x = 0.5 * (inner + outer)
            log = ((shape - 1.0) * math.log(x) if shape > 1.0 else 0.0) - rate * x
            if log > peak - 24.0:
                inner = x
            else:
                outer = x
        ends[side] = inner
    high, low = ends
    for k in range(len(out)):
        x = low + (high - low) * k / (len(out) - 1)
        log = ((shape - 1.0) * math.log(x) if shape > 1.0 and x > 0.0 else 0.0) - rate * x
        out[k] = 0.0 if x == 0.0 and shape > 1.0 else math.exp(log - peak)
    return low, high
