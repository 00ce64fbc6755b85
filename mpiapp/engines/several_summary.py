"""Modes and bounds of problems with several sources, one compiled loop over all of one shape.

As for one source (`one_source_summary`) each is solved in units of its own, and what is the
same problem as the one before is scaled.  What chance leaves in mode and bounds follows from
the repeats of a marginal, each taken as a small change of their mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from ..posterior import Smoothing
from ..posterior.series import catalog_numbers, integrals, moments, normalised, smoothed
from .canonical import ROOM, Found, nothing_found, own_problems, to_given_units
from .compressed import compress_rows
from .one_source_summary import IMPOSSIBLE, SOLVED, UNRESOLVED, as_numbers
from .several import fit_posterior, grids, levels, repeats

LIMITED, UNSEEN = 3, 4

MARGIN = 0.5  # of the accuracy, what the moments of the repeats may disagree by
_LIMIT = 1.5  # accuracies, beyond which the noise is too large
# The same lattices for every problem: what is the same data gets the same numbers.
SHIFTS = np.random.SeedSequence(20210401)
_NUDGE = 0.01  # kernel half-widths: differences of the slope there give the curvature
_AT_END = 1e-6  # slope in units of density per kernel half-width, beyond which a bound is the mode


def summarise_several(
    counts: np.ndarray,
    F: np.ndarray,
    offset: np.ndarray,
    row_obsid: np.ndarray,
    upper: np.ndarray,
    n_sources: int,
    smoothing: Smoothing,
    accuracy: float,
    points: int = 0,
    wanted: Sequence[int] | None = None,
) -> Found:
    """The catalog's numbers of n problems with several sources; arguments as for one source.

    accuracy : standard deviation that chance may leave in mode and bounds, in half-widths
    wanted : the sources whose numbers are; all if it is not given

    The status is SOLVED; LIMITED where under the catalog's own smoothing more noise is left than
    was asked for; UNRESOLVED, IMPOSSIBLE, or UNSEEN if no aperture sees one of the sources, of
    which nothing is found.  Numbers of sources that are not wanted are NaN.
    """
    cube, weights = levels(n_sources, SHIFTS)
    sources = np.array(range(n_sources) if wanted is None else wanted, dtype=np.int64)
    return _summarise(
        counts, F, offset, row_obsid, upper, n_sources, sources, cube, weights, grids(), accuracy,
        as_numbers(smoothing), as_numbers(Smoothing()), np.linspace(-1.0, 1.0, points),
    )  # fmt: skip


@njit(**OPTIONS)
def _scatter(values):
    """Twice the standard error of the mean of values (n,); 0 of one.

    Twice, since eight repeats know it to a quarter only and there is an end of points where they
    happen to agree.  Of two rules it is by how much they disagree.
    """
    n = len(values)
    return 2.0 * np.std(values) / np.sqrt(n - 1.0) if n > 1 else 0.0


@njit(**OPTIONS)
def _noise(parts, best, zero, top, found, smoothing):
    """Noise of mode and bounds, in half-widths.

    parts : series of the integrals of the repeats, best : of their mean, with the summary found
    in the units of the series; a repeat moves the mode by its slope there over the
    curvature, and each bound so that the mass between them stays its share.
    """
    bandwidth, level, wants_quantile = smoothing
    mode, lolim, hilim, is_limit = found
    h = bandwidth * moments(best)[1]
    density, slope = smoothed(best, h, mode)[1:]
    bend = smoothed(best, h, mode + _NUDGE * h)[2] - smoothed(best, h, mode - _NUDGE * h)[2]
    bend /= 2.0 * _NUDGE * h
    moves = abs(slope) * h < _AT_END * density and bend < 0.0
    w = hilim - zero if is_limit else max(mode - lolim, hilim - mode)
    n = len(parts)
    modes, lows, highs = np.empty(n), np.zeros(n), np.empty(n)
    for k in range(n):
        A = parts[k]
        h = bandwidth * moments(A)[1]
        modes[k] = mode
        if moves:
            modes[k] -= smoothed(A, h, mode)[2] / bend
        if is_limit and not wants_quantile:
            highs[k] = 2.0 * modes[k]
            continue
        middle = zero if is_limit else modes[k]
        target = level * (smoothed(A, h, top)[0] - smoothed(A, h, zero)[0])
        high = smoothed(A, h, min(middle + w, top))
        low = smoothed(A, h, max(middle - w, zero))
        rate = (high[1] if middle + w < top else 0.0) + (low[1] if middle - w > zero else 0.0)
        change = (target - high[0] + low[0]) / rate if rate > 0.0 else 0.0
        highs[k] = min(middle + w + change, top)
        lows[k] = 0.0 if is_limit else max(middle - w - change, zero)
    width = hilim - zero if is_limit else hilim - lolim
    return 2.0 * max(_scatter(modes), _scatter(lows), _scatter(highs)) / width


@njit(**OPTIONS)
def _summary(lo, hi, upper, series, more, smoothing, out):
    """Fill out (7,) with the numbers of one source; whether it is an upper limit.

    more : noise that the repeats have in common
    """
    bandwidth, level, wants_quantile = smoothing
    best = integrals(series[0])
    parts = [integrals(series[k]) for k in range(1, len(series))]
    found = catalog_numbers(best, lo, hi, upper, bandwidth, level, wants_quantile, out)
    centre, half = 0.5 * (hi + lo), 0.5 * (hi - lo)
    out[6] = more + _noise(parts, best, -centre / half, (upper - centre) / half, found, smoothing)
    return found[3]


@njit(**OPTIONS)
def _solve(
    p, wanted, points, weights, g, accuracy, smoothing, usual, at,
    numbers, is_limit, depth, ends, tables,
):  # fmt: skip
    """Fill what is written of one problem in its own units, from `numbers`; returns its status.

    Points are added until moments, mode and bounds are as accurate as is asked for.
    """
    is_noisy = False
    other = np.empty(7)
    for j in wanted:
        noise = np.inf
        for level in range(len(points)):
            depth[j] = level
            lo, hi, series, error, ripple = repeats(p, j, points[level], weights[level], g)
            if len(series) == 0:
                return UNRESOLVED
            if error > MARGIN * accuracy and level < len(points) - 1:
                continue
            upper, more = p.model.upper[j], p.rule.error + ripple
            is_limit[j] = _summary(lo, hi, upper, series, more, smoothing, numbers[j])
            noise = numbers[j, 6]
            if smoothing != usual:
                _summary(lo, hi, upper, series, more, usual, other)
                noise = other[6]
            if noise <= accuracy:
                break
        if len(at):
            ends[j, 0], ends[j, 1] = lo, hi
            tables[j] = normalised(series[0], integrals(series[0]), at)
        is_noisy = is_noisy or not noise <= _LIMIT * accuracy  # NaN is
    return LIMITED if is_noisy else SOLVED


@njit(**OPTIONS)
def _summarise(
    counts, F, offset, row_obsid, upper, n_sources, wanted, points, weights, g, accuracy, smoothing,
    usual, at,
):  # fmt: skip
    same, own, bounds, units = own_problems(counts, F, offset, upper, n_sources, ROOM)
    found = nothing_found(same, n_sources, upper.shape[1], len(at))
    for i in np.flatnonzero(~found.is_scaled):
        impossible, c = compress_rows(counts[i], own[i], offset[i], row_obsid, bounds[i], n_sources)
        if impossible >= 0:
            found.status[i] = IMPOSSIBLE
        elif (c.f_sum <= 0.0).any():
            found.status[i] = UNSEEN
        else:
            p = fit_posterior(c)
            if not p.is_found:
                found.status[i] = UNRESOLVED
                continue
            found.status[i] = _solve(
                p, wanted, points, weights, g, accuracy, smoothing, usual, at, found.numbers[i],
                found.is_limit[i], found.depth[i], found.ends[i], found.tables[i],
            )  # fmt: skip
            if found.status[i] == UNRESOLVED:
                found.numbers[i] = np.nan
            else:
                found.reach[i] = p.reach
    to_given_units(found, same, units)
    return found
