"""Modes and bounds of problems with one source, one compiled loop over all of one shape."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from ..posterior import Smoothing
from ..posterior.series import integrals, moments, summarise_series
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The catalog's numbers of n problems with one source, in the limit of infinitely many draws.

    counts, offset : (n, rows); F : (n, rows, columns); row_obsid : (rows,); upper : (n, columns),
    of every problem as in `Problem`.  What a problem gives does not depend on its neighbours.

    Returns
    -------
    numbers : (n, 6) of NUMBERS; value and lolim are 0 for an upper limit
    is_limit : (n,) bool
    reach : (n, columns − 1) what mode + 3/2 (hilim − lolim) of each background cannot exceed
    status : (n,) SOLVED, UNRESOLVED or IMPOSSIBLE
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
    )


@njit(**OPTIONS)
def _summarise(
    counts, F, offset, row_obsid, upper, orders, nodes, bandwidth, level, wants_quantile
):
    n, columns = upper.shape
    numbers = np.full((n, 6), np.nan)
    is_limit = np.zeros(n, dtype=np.bool_)
    reach = np.full((n, columns - 1), np.inf)
    status = np.zeros(n, dtype=np.int8)
    # The smoothed density is log-concave.  Its mode is within √3 of its standard deviations of
    # the mean, and within w of the mode lies all but (4/9) (2σ/w)² (Gauss); 1/e at least lies
    # above the mean, and so within the prior (less a hundredth, where its end is as far as this).
    spread = np.sqrt(1.0 + 0.2 * bandwidth * bandwidth)
    spread *= np.sqrt(3.0) + 4.0 / np.sqrt(0.36 * (1.0 - level))
    for i in range(n):
        impossible, _, kept, f, omega, rest, first, f_sum, omega_sum, bounds = compress_rows(
            counts[i], F[i], offset[i], row_obsid, upper[i], 1
        )
        if impossible >= 0:
            status[i] = 2
            continue
        lo, hi, coefficients, _, background, std = find_series(
            kept, f, omega, rest, first, f_sum, omega_sum, bounds, orders, nodes
        )
        if len(coefficients) == 0:
            status[i] = 1
            continue
        A = integrals(coefficients)
        centre, half = 0.5 * (hi + lo), 0.5 * (hi - lo)
        mode, lolim, hilim, reached_zero = summarise_series(
            A, -centre / half, (bounds[0] - centre) / half, bandwidth, level, wants_quantile
        )
        mean, rms = moments(A)
        mode, lolim, hilim = centre + half * mode, centre + half * lolim, centre + half * hilim
        lolim = 0.0 if reached_zero else max(lolim, 0.0)
        numbers[i, 0] = 0.0 if reached_zero else mode
        numbers[i, 1] = lolim
        numbers[i, 2] = hilim
        numbers[i, 3] = mode
        numbers[i, 4] = centre + half * mean
        numbers[i, 5] = half * rms
        is_limit[i] = reached_zero
        for k in range(columns - 1):
            reach[i, k] = background[k] + spread * std[k]
    return numbers, is_limit, reach, status
