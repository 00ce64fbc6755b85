"""How a run ended: documented outcomes and flags, stable integers in every results file."""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np


class Outcome(IntEnum):
    """What the numbers of a result row are, or why there are none.

    Attributes
    ----------
    text : str
        What it is, in words.
    numbers, advice : str
        What the numbers of such a row are, and what to do about it.
    """

    def __new__(cls, code: int, text: str, numbers: str, advice: str):
        member = int.__new__(cls, code)
        member._value_ = code
        member.text, member.numbers, member.advice = text, numbers, advice
        return member

    MEASURED = (
        0,
        "measured",
        "`value` is the mode of the MPDF, `lolim` and `hilim` enclose 68 % of it",
        "use them",
    )
    UPPER_LIMIT = (
        1,
        "upper limit",
        "`value` and `lolim` are 0, `hilim` is the limit; `mode` keeps the unforced mode",
        "use `hilim`; for another definition see `summary.upper_limit`",
    )
    NULL_PEGGED = (
        10,
        "NULL: pegged at a prior bound",
        "NaN",
        "the intensity is beyond ten times the prior bound of Table 1; look at the obsid, raise "
        "`ladder.prior_factor`",
    )
    NULL_FAILED = (
        11,
        "NULL: sampling failed",
        "NaN",
        "every rung failed; `mpiapp show --failures` prints the last traceback",
    )
    NULL_ENERGY_FLOOR = (
        12,
        "NULL: energy flux below the floor",
        "NaN where below the floor, each number by itself; `mode` is kept",
        "fewer counts than an energy flux needs; use the photon flux, or change "
        "`ladder.energy_floor`",
    )
    NULL_BAD_INPUT = (
        13,
        "NULL: bad input",
        "NaN",
        "`mpiapp show --failures` names file, HDU, column and row; mend the file and run it again",
    )
    NULL_TIME_LIMIT = (
        14,
        "NULL: took too long",
        "NaN",
        "the run passed `limits.run_seconds`, or its rank no longer answered; raise the limit and "
        "measure it by itself",
    )
    NULL_UNSEEN = (
        15,
        "NULL: no aperture sees it",
        "NaN",
        "even at ten times its prior bound the source gives less than one count in all apertures, "
        "so nothing bounds it; it leaves the problem, and its neighbours are measured without it.  "
        "Also a master source in a block whose obsids do not see it",
    )

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


_CODES = {int(outcome) for outcome in Outcome}
_PLANNED = [int(outcome) for outcome in Outcome if outcome.is_planned]
_UNPLANNED = 1000  # beyond all codes


def outcome_text(code: int) -> str:
    """What the code of a row means; one that is not of this version is shown as it is."""
    return Outcome(code).text if code in _CODES else f"unknown outcome {code}"


def unplanned(codes: np.ndarray) -> np.ndarray:
    """(n,) whether the runs with these outcomes did not end by the memo's rules."""
    return ~np.isin(codes, _PLANNED)


def n_unplanned(codes: np.ndarray) -> int:
    """How many of the runs with these outcomes did not end by the memo's rules."""
    return int(unplanned(codes).sum())


def worst(codes: np.ndarray, starts: np.ndarray | None = None) -> np.ndarray:
    """The worst outcome along the last axis: one that is not planned is worse than any that is.

    With `starts` the worst of each run, of the (n,) outcomes of all rows; runs begin there.
    """
    codes = np.asarray(codes)
    order = codes + _UNPLANNED * unplanned(codes)
    largest = order.max(-1) if starts is None else np.maximum.reduceat(order, starts)
    return largest % _UNPLANNED


class Flag(IntFlag):
    """What was done to get a result, and what to know about it.

    Each has a `meaning`, and in `memo` the section or recommendation it comes from.
    """

    def __new__(cls, bit: int, meaning: str, memo: str = "–"):
        member = int.__new__(cls, bit)
        member._value_ = bit
        member.meaning, member.memo = meaning, memo
        return member

    PRIOR_RAISED = (
        1,
        "a mode + 3/2 (hilim − lolim) passed P_upper, whose bound was multiplied by 10",
        "6.2, rec. 5",
    )
    BACKGROUND_FROZEN = (
        2,
        "sampling failed; the backgrounds are fixed at B/Ω_b",
        "6.1, rec. 7",
    )
    BACKGROUND_PRIOR_REDUCED = (
        4,
        "that failed too; the bounds of the background priors are divided by 10",
        "rec. 7",
    )
    OBSID_EXCLUDED = (
        8,
        "a parameter stayed pegged with several obsids; `/attempts` names those left out",
        "rec. 5",
    )
    RETUNED = 16, "r-hat was above `ladder.rhat_limit`, sampled again with twice the tuning"
    UNCONVERGED = 32, "r-hat is above the limit even so: do not trust the bounds"
    LOW_ESS = (
        64,
        "fewer effective draws than `ladder.ess_limit`, or the engine's limit came before its "
        "target",
    )
    DIVERGENT = 128, "NUTS had divergent transitions after tuning"
    BEST_BLOCK = (
        512,
        "the Bayesian Block with the largest exposure, the plain master value of the catalog",
        "2.2.3",
    )
    NOISY = (
        1024,
        "several sources: the `noise` of a source of this run is above `engine.exact.accuracy`",
    )
    GAMMA_PRIOR = 2048, "the source, or a background of its problem, has a Gamma prior"
    KNOWN_BACKGROUND = 4096, "the background of an observation is known instead of measured"

    @property
    def text(self) -> str:
        """Names of the set flags, e.g. "prior raised, unconverged"."""
        return ", ".join(f.name.lower().replace("_", " ") for f in Flag if f in self)
