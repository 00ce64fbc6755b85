"""A table of counts in source and background apertures as `mpiapp.measure_table` takes it."""

from __future__ import annotations

import os

import numpy as np
from astropy.table import Table

from ..catalog.fault import Fault, InputError
from .layouts import OPTIONAL, REQUIRED, Given, find_layout
from .records import Columns, number, records, whole
from .source_info import as_array

_COUNTS = ("cnts", "cnts_bkg")
_NUMBERS = (*_COUNTS, "psf_frac", "psf_frac_bkg", "area", "area_bkg")


def read_counts(path: str | os.PathLike, given: Given | None = None) -> tuple[Table, list[Fault]]:
    """The rows of a table that `mpiapp import` takes, which need no names here; what is wrong.

    A row per source and background aperture pair and band.  Columns are found as for an import,
    and those that are not needed come along.  A number that cannot be used is NaN, and told.

    Raises InputError if the table cannot be read, lacks a column or holds no row of this kind.
    """

    names: list[str] = []

    def arrange(columns: Columns):
        names.extend(columns.names or [])
        return find_layout(path, *columns, given or Given(), _NUMBERS).records

    rows, faults = [], []
    for place, record in records(path, arrange):
        if "components" in record:
            raise InputError(f"{place}: a bundle of sources; `mpiapp import` takes those")
        for name in (*_NUMBERS, *OPTIONAL):
            if name in record or name in _NUMBERS:
                try:
                    record[name] = (whole if name in _COUNTS else number)(record, name)
                except InputError as error:
                    faults.append(Fault(f"{place}: {error}", str(path)))
                    record[name] = np.nan
        rows.append(record)
    if not rows:
        raise InputError(f"{path}: no row in it; check that it is the right table")
    table = Table()
    found = dict.fromkeys(name for row in rows for name in row)
    order = [*(name for name in REQUIRED if name not in _NUMBERS), *names, *found]
    for name in dict.fromkeys(name for name in order if name in found):
        values = [row.get(name) for row in rows]
        if (column := as_array(values)) is not None:
            table[name] = column
    return table, faults
