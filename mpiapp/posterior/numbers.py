"""The numbers of a result: one record a source, from the engine to the row in a file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .tabulated import Tabulated

# In the unit of the quantity, NaN where NULL: value, lolim, hilim and mode as in `Summary`, mean
# and rms of the posterior, not smoothed.  `noise` as in `Summary`.  n_draws, rhat and ess are
# of the source's own draws: 0, NaN and NaN where the engine drew none.  The codes of
# mpiapp.Outcome and the bits of mpiapp.Flag are set by the rules, not by an engine.
NUMBERS = np.dtype(
    [(name, "f8") for name in ("value", "lolim", "hilim", "mode", "mean", "rms", "noise")]
    + [("n_draws", "i4"), ("rhat", "f8"), ("ess", "f8"), ("outcome", "i2"), ("flags", "i4")]
)
_NOTHING = np.array(
    tuple(np.nan if kind.kind == "f" else 0 for kind, _ in NUMBERS.fields.values()), NUMBERS
)


def no_numbers(*shape: int, outcome=0, flags=0) -> np.ndarray:
    """Records (NUMBERS) without numbers; with an outcome and flags, or arrays of them."""
    records = np.full(shape, _NOTHING)
    records["outcome"], records["flags"] = outcome, flags
    return records


class Solutions(NamedTuple):
    """An engine's numbers for n problems of one shape.

    Attributes
    ----------
    numbers : (n, n_sources) NUMBERS
    is_upper_limit : (n, n_sources) bool
    eq11 : (n, n_columns) float64
        mode + 3/2 (hilim − lolim) of each parameter (Eq. 11), or what it cannot exceed; not used
        of sources that are reported, whose numbers tell.
    is_solved : (n,) bool
        The numbers of the others mean nothing.
    method : (n,) bytes
        How each was found.
    tabulated : Tabulated or None
        The densities of all, with axes (n, n_sources) before its own, if they were asked for.
    """

    numbers: np.ndarray
    is_upper_limit: np.ndarray
    eq11: np.ndarray
    is_solved: np.ndarray
    method: np.ndarray
    tabulated: Tabulated | None = None
