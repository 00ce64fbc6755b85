"""The memo's rules about results, for all problems of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..catalog.outcome import Outcome
from ..catalog.quantities import MODEL_FLUXES
from ..posterior import Solutions


def eq11(mode, lolim, hilim):
    """mode + 3/2 (hilim − lolim): beyond the prior bound the result is pegged (Eq. 11)."""
    return mode + 1.5 * (hilim - lolim)


def pegged(found: Solutions, reported: Sequence[int], upper: np.ndarray) -> np.ndarray:
    """(n, n_columns) which parameters do not stay below their prior bounds `upper` (Eq. 11)."""
    reached, numbers = found.eq11.copy(), found.numbers[:, reported]
    reached[:, reported] = eq11(numbers["mode"], numbers["lolim"], numbers["hilim"])
    return ~(reached <= upper)


def energy_floor(quantity: str, floor: float) -> float:
    """Below which a result of this quantity means nothing: energy fluxes have such a floor."""
    return floor if quantity == "flux" or quantity in MODEL_FLUXES else -np.inf


def judge(numbers: np.ndarray, is_upper_limit: np.ndarray, floors: np.ndarray) -> None:
    """Give numbers (n, n_sources) their outcomes; those not above the (n,) floors become NaN.

    Each by itself; upper limits have no floor (rec. 8).
    """
    for name in ("value", "lolim", "hilim"):
        numbers[name][~(is_upper_limit | (numbers[name] > floors[:, None]))] = np.nan
    outcome = np.where(np.isnan(numbers["value"]), Outcome.NULL_ENERGY_FLOOR, Outcome.MEASURED)
    numbers["outcome"] = np.where(is_upper_limit, Outcome.UPPER_LIMIT, outcome)
