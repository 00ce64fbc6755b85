"""Gamma priors of a prep3 file's sources and backgrounds (SRCINFO).

Columns prior_alpha_<quantity> and prior_beta_<quantity> of SRCINFO have α and β of a component in a
band and aperture, with the suffix _bkg those of the background of its bundle; NaN is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from ..catalog.fault import Fault, InputError
from ..catalog.priors import PriorKey, gamma_problem
from ..catalog.quantities import TABLE_1
from .fits_read import HDU
from .prep3_tables import INFO, INFO_KEY, Prep3Tables, decoded

_ENDS = (("", False), ("_bkg", True))


def prior_columns(gamma: Mapping[str, np.ndarray], i: int) -> dict[str, float]:
    """α and β of pair i as columns of SRCINFO, NaN for none.

    gamma : quantity -> (n, 2, 2) α − 1 and β of source and background
    """
    found = {}
    for quantity, values in gamma.items():
        for (end, _), (counts, beta) in zip(_ENDS, values[i].tolist()):
            found[f"prior_alpha_{quantity}{end}"] = counts + 1.0 if beta else np.nan
            found[f"prior_beta_{quantity}{end}"] = beta or np.nan
    return found


def add_priors(hdus: Sequence[HDU], tables: Prep3Tables) -> None:
    """Add the priors that the file has; one that cannot be used costs what it is for."""
    info = next((hdu for hdu in hdus if hdu.name == INFO), None)
    names: set[str] = set()
    with suppress(InputError):  # damaged, it is asked for nothing
        names = info.column_names() if info else names
    for quantity in TABLE_1:
        for end, is_background in _ENDS:
            pair = [f"prior_{kind}_{quantity}{end}" for kind in ("alpha", "beta")]
            if names.intersection(pair):
                _add(info, pair, quantity, is_background, tables)


def _add(
    info: HDU, pair: Sequence[str], quantity: str, is_background: bool, tables: Prep3Tables
) -> None:
    try:
        columns = info.columns(dict.fromkeys(INFO_KEY, "text") | dict.fromkeys(pair, "number"))
    except InputError as error:
        tables.faults.append(Fault(str(error), tables.header.path, quantity=quantity))
        return
    alpha, beta = (columns[name].astype(float) for name in pair)
    problems = gamma_problem(alpha, beta)
    header = tables.header
    keys = list(zip(*(decoded(columns[name]) for name in INFO_KEY)))
    for row in np.flatnonzero(~(np.isnan(alpha) & np.isnan(beta))).tolist():
        bundle, component, band, aperture = keys[row]
        if problems[row]:
            said = f"{info.place}, row {row + 1}, columns {' and '.join(pair)}: {problems[row]}"
            place = (header.path, "", bundle, band, aperture, quantity)
            tables.faults.append(Fault(said, *place))
            continue
        key = PriorKey(
            header.stack, header.obsid, component, band, aperture, quantity, is_background
        )
        tables.priors[key] = float(alpha[row]) - 1.0, float(beta[row])
