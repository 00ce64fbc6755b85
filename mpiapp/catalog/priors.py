"""The uniform priors of a problem's parameters (memo, Table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .fault import InputError
from .quantities import INSTRUMENT_BANDS, QUANTITIES


def prior_bounds(
    quantities: Sequence[str],
    instruments: Sequence[str],
    n_sources: int,
    prior_upper: Mapping[str, float] | None = None,
) -> np.ndarray:
    """P_upper of each quantity's problem, (n_quantities, n_sources + n_obsids); from 0 to there.

    instruments : that of each obsid
    prior_upper : bounds that replace Table 1's, {"source": …, "background": …}

    Raises InputError for an unknown quantity, instrument or key.
    """
    given = dict(prior_upper or {})
    if unknown := given.keys() - {"source", "background"}:
        raise InputError(f"prior_upper: unknown key {unknown.pop()!r}")
    if unknown := set(instruments) - INSTRUMENT_BANDS.keys():
        raise InputError(f"instrument {unknown.pop()!r}: expected {' or '.join(INSTRUMENT_BANDS)}")
    bounds = []
    for quantity in quantities:
        if quantity not in QUANTITIES:
            raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
        table = [QUANTITIES[quantity].prior_upper(instrument) for instrument in instruments]
        source = given.get("source", QUANTITIES[quantity].source_upper)
        backgrounds = [given.get("background", background) for _, background in table]
        bounds.append([*[source] * n_sources, *backgrounds])
    return np.array(bounds, float)
