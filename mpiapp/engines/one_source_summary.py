"""Modes and bounds of problems with one source, all of one shape at once.

A problem is solved in units in which the largest element of each column of F is one, rounded
to 40 bits, and with priors that end where nothing is left of the likelihood: then the four
quantities of a source, whose matrices are often proportional, are one problem, and what was
found for one of them is scaled for the next.
"""

from __future__ import annotations

import numpy as np

from ..posterior import Smoothing
from . import _compiled
from .canonical import Found


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
    batch = counts, F, offset, row_obsid, upper, 1
    return Found(*_compiled.summarise_one_source(batch, as_numbers(smoothing), at))


def as_numbers(smoothing: Smoothing) -> tuple[float, float, bool]:
    """A smoothing as compiled functions take it."""
    return float(smoothing.bandwidth), float(smoothing.level), smoothing.wants_quantile
