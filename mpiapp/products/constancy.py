"""Whether densities that are known as tables have a value in common: the ratio of likelihoods.

With flat priors the density of what one observation measures is its likelihood.  Of n observations

    D = −2 ln [max_s Π p_j(s) / Π max p_j]

is near χ² with n − 1 degrees of freedom if all measured the same s (Wilks).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .tables import value_at

# Of a table, what is below e⁻¹² of its peak is not used: there a density that was computed as a
# series of polynomials may be all rounding.  Beyond, its logarithm is at most that, and at most the
# parabola below and the straight line above: a Poisson likelihood, whose logarithm has a negative
# second derivative and a positive third one, lies nowhere above these.  D is not too large.
_DEPTH = math.exp(-12.0)
_GRID = 65
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


@njit(**OPTIONS)
def constancy(low, high, tables):
    """(D, common s) of n densities, (n, points) at equidistant points from low (n,) to high (n,).

    The highest point of each is 1.
    """
    n = len(low)
    ends = np.empty((n, 7))
    highest, first, last = 0.0, np.inf, -np.inf
    for j in range(n):
        peak, mode = _ends(low[j], high[j], tables[j], ends[j])
        highest += peak
        first, last = min(first, mode), max(last, mode)
    # On a grid before between its points: hardness ratios may have several maxima.
    step = (last - first) / (_GRID - 1)
    best, common, where = 0, -np.inf, first
    for i in range(_GRID if step > 0.0 else 1):
        value = _together(low, high, tables, ends, first + step * i)
        if value > common:
            best, common, where = i, value, first + step * i
    a, b = max(first + step * (best - 1), first), min(first + step * (best + 1), last)
    for _ in range(30):
        x, y = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
        p = _together(low, high, tables, ends, x)
        q = _together(low, high, tables, ends, y)
        if max(p, q) > common:
            common, where = (p, x) if p > q else (q, y)
        if p < q:
            a = x
        else:
            b = y
    return max(2.0 * (highest - common), 0.0), where


@njit(**OPTIONS)
def _ends(low, high, table, ends):
    """Fill ends with (x, ln p, slope, curvature) of the first point in use and (x, ln p, slope) of
    the last one; (ln peak, mode)."""
    n = len(table)
    step = (high - low) / (n - 1)
    best = table.argmax()
    left = right = best
    while left > 0 and table[left - 1] > _DEPTH * table[best]:
        left -= 1
    while right < n - 1 and table[right + 1] > _DEPTH * table[best]:
        right += 1
    ends[0], ends[1] = low + step * left, math.log(table[left])
    ends[2] = (math.log(table[left + 1]) - ends[1]) / step if left < best else 0.0
    ends[3] = 0.0
    if left + 4 <= best:  # differences over more than one step, against the rounding of the table
        b, c = math.log(table[left + 2]) - ends[1], math.log(table[left + 4]) - ends[1]
        ends[2] = (4.0 * b - c) / (4.0 * step)
        ends[3] = min((c - 2.0 * b) / (4.0 * step * step), 0.0)
    ends[4], ends[5] = low + step * right, math.log(table[right])
    ends[6] = (ends[5] - math.log(table[right - 1])) / step if right > best else 0.0
    if left < best < right:
        a, b, c = math.log(table[best - 1]), math.log(table[best]), math.log(table[best + 1])
        curvature = a - 2.0 * b + c
        if curvature < 0.0:
            u = 0.5 * (a - c) / curvature
            return b - 0.25 * (a - c) * u, low + step * (best + u)
    return math.log(table[best]), low + step * best


@njit(**OPTIONS)
def _together(low, high, tables, ends, x):
    """Σ ln p_j(x)."""
    total = 0.0
    for j in range(len(low)):
        log = math.log(max(value_at(low[j], high[j], tables[j], x), _DEPTH))
        if x < ends[j, 0]:
            below = x - ends[j, 0]
            log = min(log, ends[j, 1] + below * (ends[j, 2] + 0.5 * below * ends[j, 3]))
        elif x > ends[j, 4]:
            log = min(log, ends[j, 5] + ends[j, 6] * (x - ends[j, 4]))
        total += log
    return total


@njit(**OPTIONS)
def chance_of(statistic, dof):
    """Probability that χ² with dof degrees of freedom exceeds the statistic."""
    x, a = 0.5 * statistic, 0.5 if dof % 2 else 1.0
    # Q(a + 1, x) = Q(a, x) + xᵃ e⁻ˣ / Γ(a + 1), from Q(1/2, x) = erfc √x or Q(1, x) = e⁻ˣ
    chance = math.erfc(math.sqrt(x)) if dof % 2 else math.exp(-x)
    while a < 0.5 * dof:
        if x > 0.0:
            chance += math.exp(a * math.log(x) - x - math.lgamma(a + 1.0))
        a += 1.0
    return min(chance, 1.0)


@njit(**OPTIONS)
def farthest(value, half, limit, common):
    """How far from a common value the one of n measurements is that differs by most half-widths.

    Of limits, where `limit` is a number, nothing is asked.
    """
    most, found = 0.0, 0.0
    for v, h, upper in zip(value, half, limit):
        if not upper > 0.0 and abs(v - common) >= most * h:
            most, found = abs(v - common) / h, abs(v - common)
    return found


@njit(**OPTIONS)
def spread(mean, rms):
    """Standard deviation of n values about their mean, both weighted with 1/rms²."""
    weight, total, square = 0.0, 0.0, 0.0
    for m, s in zip(mean, rms):
        weight += 1.0 / (s * s)
        total += m / (s * s)
    for m, s in zip(mean, rms):
        square += (m - total / weight) ** 2 / (s * s)
    return math.sqrt(square / weight)
