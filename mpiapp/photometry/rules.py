"""The memo's rules about single results: for numbers and for arrays of them alike."""

from __future__ import annotations

import numpy as np

from .outcome import Outcome


def reach(mode, lolim, hilim):
    """mode + 3/2 (hilim − lolim): beyond the prior bound the result is pegged (Eq. 11)."""
    return mode + 1.5 * (hilim - lolim)


def energy_floor(quantity: str, floor: float) -> float:
    """Below which a result of this quantity means nothing: energy fluxes have such a floor."""
    return floor if quantity == "flux" else -np.inf


def judge(value, lolim, hilim, is_upper_limit, floor):
    """(value, lolim, hilim, outcome code): numbers not above the floor are NaN, each by itself.

    Upper limits have no floor (recommendation 8).
    """
    kept = [np.where(is_upper_limit | (v > floor), v, np.nan) for v in (value, lolim, hilim)]
    outcome = np.where(np.isnan(kept[0]), Outcome.NULL_ENERGY_FLOOR, Outcome.MEASURED)
    return *kept, np.where(is_upper_limit, Outcome.UPPER_LIMIT, outcome)
