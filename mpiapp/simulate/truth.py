"""Truth tables of simulated catalogs: rows collected field by field."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from astropy.io import fits
from astropy.table import Table

from ..files.fits_write import write_hdus


class TruthTable:
    """Rows of a truth table; `columns` are (name, numpy type, unit)."""

    def __init__(self, columns: Sequence[tuple[str, str, str]]):
        self._dtype = np.dtype([(name, kind) for name, kind, _ in columns])
        self._units = {name: unit for name, _, unit in columns if unit}
        self._parts = [np.empty(0, self._dtype)]

    def append(self, **columns) -> None:
        """Add rows; columns of length one are repeated."""
        rows = np.empty(max(np.size(values) for values in columns.values()), self._dtype)
        for name, values in columns.items():
            rows[name] = values
        self._parts.append(rows)

    def write(self, path: str | os.PathLike, name: str) -> None:
        """Write a FITS file with one extension of this name."""
        table = Table(np.concatenate(self._parts), copy=False, meta={"EXTNAME": name})
        for column, unit in self._units.items():
            table[column].unit = unit
        write_hdus(path, [fits.PrimaryHDU(), fits.table_to_hdu(table)])
