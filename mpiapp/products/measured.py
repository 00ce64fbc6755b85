"""`mpiapp measure`: the table that `measure_table` returns, as a product."""

from __future__ import annotations

import numpy as np
from astropy.table import MaskedColumn, QTable, Table

from .. import __version__
from .columns import CatalogColumn, plain_columns


def measured_table(table: QTable, engine: str, seed: int) -> Table:
    """With descriptions and UCDs, and what is no number masked; provenance stands in `meta`."""
    ours = plain_columns()
    out = Table(masked=True)
    for name in table.colnames:
        values = np.asarray(getattr(table[name], "value", table[name]))
        own = ours.get(name) or CatalogColumn(name, "", "", "")
        out[name] = MaskedColumn(
            np.ma.masked_invalid(values) if values.dtype.kind == "f" else values,
            unit=table[name].unit,
            description=own.description or None,
            meta={"ucd": own.ucd or None},
        )
    out.meta = {"creator": f"mpiapp {__version__}", "engine": engine, "seed": str(seed)}
    return out
