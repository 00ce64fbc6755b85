"""Modes and bounds of problems with one source, one compiled loop over all of one shape.

A problem is solved in units in which the largest element of each column of F is one, rounded
to 40 bits, and with priors that end where nothing is left of the likelihood: then the four
quantities of a source, whose matrices are often proportional, are one problem, and what was
found for one of them is scaled for the next.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from ..posterior import Smoothing
from ..posterior.series import catalog_numbers, integrals, normalised
from .canonical import Found, nothing_found, own_problems, to_given_units
from .compressed import compress_rows
from .one_source import NODES, ORDERS, find_series

SOLVED, UNRESOLVED, IMPOSSIBLE = 0, 1, 2


def summarise_problems(
    counts: np.ndarray,
    F: np.ndarray,
    offset: np.ndarray,
    row_obsid: np.ndarray,
    upper: np.ndarray,
    smoothing: Smoothing,
    points: int = 0,
) -> Found:
    """The catalog's numbers of n problems with one source, in the limit of infinitely many draws.

    counts, offset : (n, rows); F : (n, rows, columns); row_obsid : (rows,); upper : (n, columns),
    of every problem as in `Problem`.  What a problem gives does not depend on its neighbours.
    points : at how many equidistant points of its range to tabulate each density
    """
    at = np.linspace(-1.0, 1.0, points)
    arrays = counts, F, offset, row_obsid, upper
    return _summarise(*arrays, ORDERS, NODES, as_numbers(smoothing), at)


def as_numbers(smoothing: Smoothing) -> tuple[float, float, bool]:
    """A smoothing as compiled functions take it."""
    return float(smoothing.bandwidth), float(smoothing.level), smoothing.wants_quantile


@njit(**OPTIONS)
def _summarise(counts, F, offset, row_obsid, upper, orders, nodes, smoothing, at):
    bandwidth, level, wants_quantile = smoothing
    # The smoothed density is log-concave.  Its mode is within √3 of its standard deviations of
    # the mean, and within w of the mode lies all but (4/9) (2σ/w)² (Gauss); 1/e at least lies
    # above the mean, and so within the prior (less a hundredth, where its end is as far as this).
    spread = np.sqrt(1.0 + 0.2 * bandwidth * bandwidth)
    spread *= np.sqrt(3.0) + 4.0 / np.sqrt(0.36 * (1.0 - level))
    same, own, bounds, units = own_problems(counts, F, offset, upper, 1, 4.0 + bandwidth)
    found = nothing_found(same, 1, upper.shape[1], len(at))
    found.numbers[:, :, 6] = 0.0
    for i in np.flatnonzero(~found.is_scaled):
        impossible, p = compress_rows(counts[i], own[i], offset[i], row_obsid, bounds[i], 1)
        if impossible >= 0:
            found.status[i] = IMPOSSIBLE
            continue
        lo, hi, coefficients, _, background, std = find_series(p, orders, nodes)
        if len(coefficients) == 0:
            found.status[i] = UNRESOLVED
            continue
        A = integrals(coefficients)
        _, _, _, found.is_limit[i, 0] = catalog_numbers(
            A, lo, hi, bounds[i, 0], bandwidth, level, wants_quantile, found.numbers[i, 0]
        )
        for k in range(len(std)):
            found.reach[i, 1 + k] = background[k] + spread * std[k]
        if len(at):
            found.ends[i, 0, 0], found.ends[i, 0, 1] = lo, hi
            found.tables[i, 0] = normalised(coefficients, A, at)
    to_given_units(found, same, units)
    return found
