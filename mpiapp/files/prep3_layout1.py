"""Layout 1 of prep3 files, with a PSF extension for each kind of matrix, as tables of layout 2.

PSF_<QUANTITY>_<BAND>_<APERTURE> had a row for each bundle: its name, n, its number of
components, and F, (n + 1) x (n + 1) numbers of variable length, row after row.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import numpy as np

from ..catalog.fault import Fault, InputError
from ..catalog.quantities import APERTURES, BANDS, INSTRUMENT_BANDS, QUANTITIES, Matrix
from .fits_read import HDU, FitsFile
from .prep3_tables import Prep3Tables, decoded


def read_layout1_matrices(file: FitsFile, tables: Prep3Tables) -> None:
    """Add the matrices of the PSF extensions to the tables of their file.

    An extension that cannot be used costs its matrices.  Raises InputError if there is none.
    """
    extensions = [hdu for hdu in file.hdus if hdu.name.startswith("PSF_")]
    if not extensions:
        raise InputError(f"{file.path}: no PSF extension (PSF_*); add the matrices")
    width = 1 + max((len(b.components) for b in tables.bundles.values()), default=0)
    seen: set[Matrix] = set()
    for hdu in extensions:
        try:
            matrix = _matrix(hdu, tables.header.instrument)
            if matrix in seen:
                raise InputError(f"{hdu.place}: a second extension of this kind; keep one")
            columns = hdu.columns({"bundle": "text", "n": "number", "F": "arrays"})
        except InputError as error:
            known = {}
            for name in Matrix._fields:
                with suppress(InputError):
                    known[name] = hdu.keyword(name.upper())
            tables.faults.append(Fault(str(error), file.path, **known))
            continue
        seen.add(matrix)
        tables.places.setdefault(matrix.quantity, f"{file.path}, {matrix.quantity} (layout 1)")
        table = tables.F.setdefault(matrix.quantity, np.full((len(tables.counts), width), np.nan))
        names = decoded(columns["bundle"])
        times = Counter(names)
        for row, (name, n, values) in enumerate(zip(names, columns["n"].tolist(), columns["F"]), 1):
            problem = "column bundle: the bundle has several rows; keep one"
            if times[name] == 1:
                problem = _add(table, tables, matrix, name, n, values)
            if problem:
                message = f"{hdu.place}, row {row}, bundle {name}: {problem}"
                tables.faults.append(Fault(message, file.path, "", name, *matrix))


def _matrix(hdu: HDU, instrument: str) -> Matrix:
    """Which matrices an extension has."""
    band = hdu.choice("BAND", INSTRUMENT_BANDS.get(instrument, BANDS))
    return Matrix(band, hdu.choice("APERTURE", APERTURES), hdu.choice("QUANTITY", QUANTITIES))


def _add(
    table: np.ndarray,
    tables: Prep3Tables,
    matrix: Matrix,
    name: str,
    n: float,
    values: np.ndarray | None,
) -> str:
    """Add the matrix of one bundle to its rows of the table, or tell what is wrong with it."""
    bundle = tables.bundles.get(name)
    if bundle is None or matrix[:2] not in bundle.rows:
        return "column bundle: no usable counts for it in the source properties; add them"
    size = len(bundle.components) + 1
    if n != size - 1:
        return f"column n is {n}, expected {size - 1} as in the source properties"
    rows = bundle.rows[matrix[:2]]
    if values is None:
        return "column F: the values are not in the data of the extension; get the file again"
    if len(values) != size**2 or rows.stop - rows.start != size:
        return f"column F: {len(values)} values, expected {size**2} for n = {n}; correct it"
    table[rows, :size] = values.reshape(size, size)
    return ""
