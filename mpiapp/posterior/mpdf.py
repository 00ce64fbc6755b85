"""The smoothed marginal of one parameter (MPDF): its mode, 68 % bounds and upper limit.

The density of the draws is estimated with an Epanechnikov kernel whose
half-width is the rms of the draws about their mean (memo, section 3.1), without
reflection at zero, on the range of the draws.  With this kernel the density is
piecewise quadratic and its integral piecewise cubic, so that prefix sums over
the sorted draws give both exactly: there is no grid, and the mode and the bounds
carry no quantisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Smoothing:
    """How a posterior becomes a mode and bounds.

    Attributes
    ----------
    bandwidth : float
        Half-width of the kernel in units of the rms of the posterior.
    level : float
        Probability that the bounds enclose.
    upper_limit : str
        Where the interval meets zero, the limit is twice the mode ("catalog", as CSC
        publishes) or the `level` quantile ("quantile").
    """

    bandwidth: float = 1.0
    level: float = 0.68
    upper_limit: str = "catalog"

    @property
    def wants_quantile(self) -> bool:
        return self.upper_limit == "quantile"


class Summary(NamedTuple):
    """Mode and bounds of one marginal, in the unit of the parameter.

    `mode` is the mode of the smoothed density even where `value` is 0 because
    the result is an upper limit.  `noise` is the standard deviation that chance
    leaves in the mode or a bound, whichever is larger, in units of half of
    hilim − lolim: 0 where there is none, NaN where it is not known.  That of a
    quadrature is meant to be above what the numbers are off.
    """

    value: float
    lolim: float
    hilim: float
    mode: float
    is_upper_limit: bool
    noise: float = np.nan


def summarise(
    draws: np.ndarray, smoothing: Smoothing = Smoothing(), ess: float | None = None
) -> Summary:
    """Mode and bounds of (n,) draws of a non-negative intensity.

    The interval grows symmetrically about the mode until it encloses `level`
    of the smoothed density.  Where it reaches zero first the result is an upper
    limit: value and lower bound are 0, and the upper bound is that of the rule.
    ess : effective number of the draws, as many as there are by default.

    Raises
    ------
    ValueError
        If the draws are constant, not finite, or negative.
    """
    z, mean, h = _standardise(draws, smoothing.bandwidth)
    zero = -mean / h
    mode, lo, hi, limit, reached_zero = _interval(
        z, zero, smoothing.level, smoothing.wants_quantile
    )
    noise = _noise(z, zero, mode, lo, hi, limit, reached_zero) / np.sqrt(ess or len(z))
    mode = mean + h * mode
    if reached_zero:
        hilim = mean + h * limit if smoothing.wants_quantile else 2.0 * mode
        return Summary(0.0, 0.0, hilim, mode, True, noise)
    return Summary(mode, max(mean + h * lo, 0.0), mean + h * hi, mode, False, noise)


def density(draws: np.ndarray, x: np.ndarray, bandwidth: float = 1.0) -> np.ndarray:
    """The smoothed density at (m,) points x, per unit of x; zero outside the range of the draws."""
    z, mean, h = _standardise(draws, bandwidth)
    t = (np.asarray(x, dtype=float) - mean) / h
    left = np.searchsorted(z, t - 1.0, side="right")
    right = np.searchsorted(z, t + 1.0, side="left")
    s1, s2 = (np.append(0.0, np.cumsum(z**k)) for k in (1, 2))
    n = right - left
    f = n * (1 - t * t) + 2 * t * (s1[right] - s1[left]) - (s2[right] - s2[left])
    f = np.where((t < z[0]) | (t > z[-1]), 0.0, f)
    return 0.75 * f / (h * len(z) * _mass(z))


def _standardise(draws: np.ndarray, bandwidth: float) -> tuple[np.ndarray, float, float]:
    """Sorted draws in units of the kernel half-width about their mean, the mean, the half-width."""
    z, mean, h, lowest = _sorted(np.ascontiguousarray(draws, dtype=float), bandwidth)
    if not (np.isfinite(h) and h > 1e-12 * abs(mean)):
        raise ValueError("the draws are constant or not finite")
    if lowest < 0:
        raise ValueError(f"a draw is negative: {lowest}")
    return z, mean, h


@njit(cache=True, error_model="numpy")
def _sorted(x, bandwidth):
    """x sorted and standardised, the mean, the kernel half-width and the smallest of x.

    Draws spread evenly enough to be dealt into as many buckets as there are draws,
    which leaves little for insertion to do: a third of the time of np.sort.
    """
    n = len(x)
    mean = x.mean()
    h = bandwidth * x.std()
    lowest, highest = x.min(), x.max()
    z = np.empty(n)
    scale = (n - 1) / (highest - lowest)
    if not (h > 0.0 and scale < np.inf):
        return z, mean, h, lowest
    begin = np.zeros(n + 1, dtype=np.int64)
    for value in x:
        begin[int((value - lowest) * scale) + 1] += 1
    largest = begin.max()
    for i in range(n):
        begin[i + 1] += begin[i]
    for value in x:
        bucket = int((value - lowest) * scale)
        z[begin[bucket]] = (value - mean) / h
        begin[bucket] += 1
    if largest > 100:
        return np.sort(z), mean, h, lowest
    for i in range(1, n):
        value = z[i]
        j = i - 1
        while j >= 0 and z[j] > value:
            z[j + 1] = z[j]
            j -= 1
        z[j + 1] = value
    return z, mean, h, lowest


def _mass(z: np.ndarray) -> float:
    """Share of the smoothed density that lies within the range of the draws."""
    sums = _prefix_sums(z)
    return _cdf(z, sums, z[-1]) - _cdf(z, sums, z[0])


@njit(cache=True)
def _prefix_sums(z):
    sums = np.zeros((4, len(z) + 1))
    for i in range(len(z)):
        power = 1.0
        for k in range(4):
            sums[k, i + 1] = sums[k, i] + power
            power *= z[i]
    return sums


@njit(cache=True)
def _cdf(z, sums, t):
    """Integral of the smoothed density up to t: the mean of (2 + 3u - u³)/4 over u = t - z."""
    left = np.searchsorted(z, t - 1.0, side="right")
    right = np.searchsorted(z, t + 1.0, side="left")
    n = right - left
    s1 = sums[1, right] - sums[1, left]
    s2 = sums[2, right] - sums[2, left]
    s3 = sums[3, right] - sums[3, left]
    u1 = n * t - s1
    u3 = n * t**3 - 3 * t * t * s1 + 3 * t * s2 - s3
    return (left + (2 * n + 3 * u1 - u3) / 4) / len(z)


@njit(cache=True)
def _mode(z, sums):
    """The highest point of the smoothed density: each quadratic piece tried at its vertex."""
    n = len(z)
    best, at = -1.0, z[0]
    left, right = 0, np.searchsorted(z, z[0] + 1.0, side="left")
    start = z[0]
    while True:
        enters = z[right] - 1.0 if right < n else np.inf
        if left == right:  # a gap between the draws, wider than the kernel
            start = enters
            right += 1
            continue
        end = min(enters, z[left] + 1.0, z[n - 1])
        count = right - left
        s1 = sums[1, right] - sums[1, left]
        s2 = sums[2, right] - sums[2, left]
        t = min(max(s1 / count, start), end)
        f = count * (1 - t * t) + 2 * t * s1 - s2
        if f > best:
            best, at = f, t
        if end >= z[n - 1]:
            return at
        start = end
        if enters <= end:
            right += 1
        else:
            left += 1


@njit(cache=True)
def _solve(z, sums, centre, top, target):
    """The w in [0, top] at which the density within centre ± w reaches target, by bisection."""
    lo, hi = 0.0, top
    for _ in range(36):  # to 1e-11 of a kernel half-width
        w = 0.5 * (lo + hi)
        if _enclosed(z, sums, centre - w, centre + w) < target:
            lo = w
        else:
            hi = w
    return hi


@njit(cache=True)
def _enclosed(z, sums, a, b):
    return _cdf(z, sums, min(b, z[-1])) - _cdf(z, sums, max(a, z[0]))


@njit(cache=True)
def _interval(z, zero, level, want_quantile):
    """Mode, bounds and `level` quantile in standardised units; whether zero was reached first."""
    sums = _prefix_sums(z)
    mode = _mode(z, sums)
    target = level * _enclosed(z, sums, z[0], z[-1])
    reached_zero = _enclosed(z, sums, zero, 2 * mode - zero) < target
    if reached_zero:
        limit = np.nan
        if want_quantile:
            # centred on the lower end, the half-width that holds the target is the quantile
            limit = z[0] + _solve(z, sums, z[0], z[-1] - z[0], target)
        return mode, zero, np.nan, limit, True
    w = _solve(z, sums, mode, mode - zero, target)
    return mode, max(mode - w, z[0]), min(mode + w, z[-1]), np.nan, False


_STEP = 0.3  # kernel half-widths from the mode: differences of f' there give f''


@njit(cache=True)
def _noise(z, zero, mode, lo, hi, limit, reached_zero):
    """Noise of one independent draw in mode or bounds, in half-widths (the delta method).

    What a draw at z adds to the mode, −k'(mode − z)/f''(mode), and to the half-width, which
    keeps the enclosed mass; the kernel's half-width, 1 here, is taken as given.
    """
    n = len(z)
    quantile = reached_zero and limit == limit
    a, b = (zero, limit) if quantile else (lo, hi)
    bend = 0.0
    at_a = 0.0
    at_b = 0.0
    for x in z:
        for t in (mode - _STEP, mode + _STEP):
            if abs(t - x) < 1.0:
                bend += (t - x) * (1.0 if t > mode else -1.0)
        at_a += max(1.0 - (a - x) ** 2, 0.0)
        at_b += max(1.0 - (b - x) ** 2, 0.0)
    at_a *= 0.75 / n
    at_b *= 0.75 / n
    bend *= 1.5 / n / (2.0 * _STEP)
    sums = np.zeros(6)
    for x in z:
        u = mode - x
        m = -1.5 * u / bend if abs(u) < 1.0 else 0.0
        if quantile:
            low, high = 0.0, -_step(b - x) / at_b
        elif reached_zero:
            low, high = 0.0, 2.0 * m
        else:
            w = -(_step(b - x) - _step(a - x) + (at_b - at_a) * m) / (at_a + at_b)
            low, high = m - w, m + w
        sums[0] += m
        sums[1] += m * m
        sums[2] += low
        sums[3] += low * low
        sums[4] += high
        sums[5] += high * high
    sums /= n
    worst = max(
        0.0 if reached_zero else sums[1] - sums[0] ** 2,
        sums[3] - sums[2] ** 2,
        sums[5] - sums[4] ** 2,
    )
    half = 0.5 * (b - a)
    if reached_zero and not quantile:
        half = mode - zero
    return np.sqrt(max(worst, 0.0)) / half


@njit(cache=True)
def _step(u):
    """Integral of the kernel up to u."""
    u = min(max(u, -1.0), 1.0)
    return 0.25 * (2.0 + 3.0 * u - u**3)
