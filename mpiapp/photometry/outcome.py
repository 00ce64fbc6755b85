"""How a run ended: documented outcomes and flags, stable integers in every results file."""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np


class Outcome(IntEnum):
    """What the numbers of a result row are, or why there are none."""

    MEASURED = 0
    UPPER_LIMIT = 1
    NULL_PEGGED = 10
    NULL_FAILED = 11
    NULL_ENERGY_FLOOR = 12
    NULL_BAD_INPUT = 13
    NULL_TIME_LIMIT = 14
    NULL_UNSEEN = 15

    @property
    def text(self) -> str:
        return _TEXT[self]

    @property
    def is_null(self) -> bool:
        return self >= Outcome.NULL_PEGGED

    @property
    def is_planned(self) -> bool:
        """Whether the memo's rules end a run so; the others make the job's exit code non-zero."""
        return self not in (
            Outcome.NULL_FAILED,
            Outcome.NULL_BAD_INPUT,
            Outcome.NULL_TIME_LIMIT,
        )


_TEXT = {
    Outcome.MEASURED: "measured",
    Outcome.UPPER_LIMIT: "upper limit",
    Outcome.NULL_PEGGED: "NULL: pegged at a prior bound",
    Outcome.NULL_FAILED: "NULL: sampling failed",
    Outcome.NULL_ENERGY_FLOOR: "NULL: energy flux below the floor",
    Outcome.NULL_BAD_INPUT: "NULL: bad input",
    Outcome.NULL_TIME_LIMIT: "NULL: took too long",
    Outcome.NULL_UNSEEN: "NULL: no aperture sees it",
}
_CODES = {int(outcome) for outcome in Outcome}
_PLANNED = [int(outcome) for outcome in Outcome if outcome.is_planned]


def outcome_text(code: int) -> str:
    """What the code of a row means; one that is not of this version is shown as it is."""
    return Outcome(code).text if code in _CODES else f"unknown outcome {code}"


def n_unplanned(codes: np.ndarray) -> int:
    """How many of the runs with these outcomes did not end by the memo's rules."""
    found, counts = np.unique(codes, return_counts=True)
    return int(counts[~np.isin(found, _PLANNED)].sum())


class Flag(IntFlag):
    """What was done to get a result, and what to know about it."""

    PRIOR_RAISED = 1
    BACKGROUND_FROZEN = 2
    BACKGROUND_PRIOR_REDUCED = 4
    OBSID_EXCLUDED = 8
    RETUNED = 16
    UNCONVERGED = 32
    LOW_ESS = 64
    DIVERGENT = 128
    BEST_BLOCK = 512
    NOISY = 1024

    @property
    def text(self) -> str:
        """Names of the set flags, e.g. "prior raised, unconverged"."""
        return ", ".join(f.name.lower().replace("_", " ") for f in Flag if f in self)
