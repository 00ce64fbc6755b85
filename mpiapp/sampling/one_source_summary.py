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
from .canonical import to_own_units
from .compressed import compress_rows
from .one_source import NODES, ORDERS, find_series

SOLVED, UNRESOLVED, IMPOSSIBLE = 0, 1, 2

# Columns of what `summarise_problems` finds.
NUMBERS = ("value", "lolim", "hilim", "mode", "mean", "rms")


def summarise_problems(
    counts: np.ndarray,
    F: np.ndarray,
    offset: np.ndarray,
    row_obsid: np.ndarray,
    upper: np.ndarray,
    smoothing: Smoothing,
    points: int = 0,
) -> tuple[np.ndarray, ...]:
    """The catalog's numbers of n problems with one source, in the limit of infinitely many draws.

    counts, offset : (n, rows); F : (n, rows, columns); row_obsid : (rows,); upper : (n, columns),
    of every problem as in `Problem`.  What a problem gives does not depend on its neighbours.
    points : at how many equidistant points of its range to tabulate each density

    Returns
    -------
    numbers : (n, 6) of NUMBERS; value and lolim are 0 for an upper limit
    is_limit : (n,) bool
    reach : (n, columns − 1) what mode + 3/2 (hilim − lolim) of each background cannot exceed
    status : (n,) SOLVED, UNRESOLVED or IMPOSSIBLE
    is_scaled : (n,) bool; whether it was the problem before in other units
    ends : (n, 2) where the density begins and ends, NaN if it is not found or not tabulated
    tables : (n, points) density per half of that range
    """
    return _summarise(
        counts,
        F,
        offset,
        row_obsid,
        upper,
        ORDERS,
        NODES,
        smoothing.bandwidth,
        smoothing.level,
        smoothing.wants_quantile,
        np.linspace(-1.0, 1.0, points),
    )


@njit(**OPTIONS)
def is_same(counts, other_counts, offset, other_offset, F, other_F, upper, other_upper):
    """Whether two problems in their own units are one."""
    return (
        (counts == other_counts).all()
        and (upper == other_upper).all()
        and (other_F == F).all()
        and (offset == other_offset).all()
    )


@njit(**OPTIONS)
def _summarise(
    counts, F, offset, row_obsid, upper, orders, nodes, bandwidth, level, wants_quantile, at
):
    n, columns = upper.shape
    numbers = np.full((n, 6), np.nan)
    is_limit = np.zeros(n, dtype=np.bool_)
    reach = np.full((n, columns - 1), np.inf)
    status = np.zeros(n, dtype=np.int8)
    is_scaled = np.zeros(n, dtype=np.bool_)
    ends = np.full((n, 2), np.nan)
    tables = np.zeros((n, len(at)))
    # The smoothed density is log-concave.  Its mode is within √3 of its standard deviations of
    # the mean, and within w of the mode lies all but (4/9) (2σ/w)² (Gauss); 1/e at least lies
    # above the mean, and so within the prior (less a hundredth, where its end is as far as this).
    spread = np.sqrt(1.0 + 0.2 * bandwidth * bandwidth)
    spread *= np.sqrt(3.0) + 4.0 / np.sqrt(0.36 * (1.0 - level))
    F_own, F_last = np.empty(F.shape[1:]), np.empty(F.shape[1:])
    bounds, bounds_last = np.empty(columns), np.empty(columns)
    units = np.empty(columns)
    last = -1
    found = np.empty(6)
    backgrounds = np.empty(columns - 1)
    found_ends = np.empty(2)
    table = np.zeros(len(at))
    for i in range(n):
        to_own_units(counts[i], F[i], upper[i], 1, 4.0 + bandwidth, F_own, bounds, units)
        if last >= 0 and is_same(
            counts[i], counts[last], offset[i], offset[last], F_own, F_last, bounds, bounds_last
        ):
            is_scaled[i] = True
            status[i] = status[last]
            is_limit[i] = is_limit[last]
        else:
            last = i
            F_own, F_last = F_last, F_own
            bounds, bounds_last = bounds_last, bounds
            impossible, p = compress_rows(counts[i], F_last, offset[i], row_obsid, bounds_last, 1)
            if impossible >= 0:
                status[i] = IMPOSSIBLE
                continue
            lo, hi, coefficients, _, background, std = find_series(p, orders, nodes)
            if len(coefficients) == 0:
                status[i] = UNRESOLVED
                continue
            A = integrals(coefficients)
            _, _, _, is_limit[i] = catalog_numbers(
                A, lo, hi, bounds_last[0], bandwidth, level, wants_quantile, found
            )
            for k in range(columns - 1):
                backgrounds[k] = background[k] + spread * std[k]
            if len(at):
                found_ends[0], found_ends[1] = lo, hi
                table = normalised(coefficients, A, at)
        if status[i] == SOLVED:
            for j in range(6):
                numbers[i, j] = found[j] / units[0]
            for k in range(columns - 1):
                reach[i, k] = backgrounds[k] / units[1 + k]
            if len(at):
                ends[i, 0] = found_ends[0] / units[0]
                ends[i, 1] = found_ends[1] / units[0]
                tables[i] = table
    return numbers, is_limit, reach, status, is_scaled, ends, tables
