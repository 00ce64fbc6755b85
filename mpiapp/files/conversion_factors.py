"""Conversion factors of a prep3 file's sources (SRCINFO), and the matrices that follow from them.

A column conversion_<model> of SRCINFO has the flux for a net count rate of 1 / s of each
component, band and aperture, in erg cm-2 count-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from ..catalog.bundle import KNOWN
from ..catalog.fault import Fault, InputError
from ..catalog.model_fluxes import model_matrices
from ..catalog.quantities import MODEL_FLUXES
from .fits_read import HDU
from .prep3_tables import INFO, INFO_KEY, Prep3Tables, decoded

UNIT = "erg cm-2 count-1"


def add_model_fluxes(hdus: Sequence[HDU], tables: Prep3Tables) -> None:
    """Add F of every model whose factors the file has, from its F of count rates.

    A model is absent where a bundle has no factor, or no F of count rates; factors of some of its
    components only, or factors that are none, cost the bundle this model, band and aperture.
    """
    info = next((hdu for hdu in hdus if hdu.name == INFO), None)
    if info is None or "rate" not in tables.F:
        return
    names: set[str] = set()
    with suppress(InputError):  # damaged, it is asked for nothing
        names = info.column_names()
    rates = tables.F["rate"]
    for quantity in [q for q in MODEL_FLUXES.values() if q.conversion in names]:
        try:
            wanted = dict.fromkeys(INFO_KEY, "text") | {quantity.conversion: "number"}
            columns = info.columns(wanted)
        except InputError as error:
            tables.faults.append(Fault(str(error), tables.header.path, quantity=quantity.name))
            continue
        place = f"{info.place}, column {quantity.conversion}"
        factor_of = dict(
            zip(
                zip(*(decoded(columns[name]) for name in INFO_KEY)),
                columns[quantity.conversion].astype(float).tolist(),
            )
        )
        F = np.full(rates.shape, np.nan)
        for name, bundle in tables.bundles.items():
            for pair, rows in bundle.rows.items():
                keys = [(name, component, *pair) for component in bundle.components]
                factors = np.array([factor_of.get(key, np.nan) for key in keys])
                size = len(factors) + 1
                if np.isnan(factors).all() or rows.stop - rows.start != size:
                    continue
                if bad := [i for i, k in enumerate(factors) if not 0 < k < np.inf]:
                    tables.faults.append(
                        Fault(
                            f"{place}, bundle {name}, component {bundle.components[bad[0]]} (band "
                            f"{pair[0]}, {pair[1]}): {factors[bad[0]]}, expected {UNIT} above 0, "
                            "for all of a bundle's components or for none; correct it",
                            tables.header.path,
                            "",
                            name,
                            *pair,
                            quantity.name,
                        )
                    )
                    continue
                is_known = tables.counts[rows.stop - 1] == KNOWN
                F[rows, :size] = model_matrices(rates[rows, :size], factors, is_known)
        tables.places[quantity.name] = place
        tables.F[quantity.name] = F
