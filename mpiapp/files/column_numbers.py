"""Cells of a table's column as numbers, and which of them make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from astropy.table import Column

from ..catalog.fault import InputError
from .prep3_tables import MAX_COUNTS
from .text_tables import MISSING


def floats(column: Column, what: str, may_be_wide: bool) -> tuple[np.ndarray, list[int]]:
    """A column as float64, NaN where there is no value; and the rows that are no numbers."""
    data, mask = np.asarray(np.ma.getdata(column)), np.ma.getmaskarray(column)
    if not isinstance(column, Column) or (data.ndim > 1 and not may_be_wide):
        raise InputError(f"{what}: expected numbers, one in each row")
    if data.dtype.kind in "iuf":
        return np.where(mask, np.nan, data.astype(np.float64)), []
    gone = mask if mask.ndim == 1 else mask.all(axis=1)
    cells = [None if gone[row] else cell for row, cell in enumerate(data)]
    if may_be_wide and any(isinstance(cell, (list, tuple, np.ndarray)) for cell in cells):
        width = max(np.size(cell) for cell in cells)
        wide, bad = np.full((len(cells), width), np.nan), []
        for row, cell in enumerate(cells):
            try:
                wide[row, : np.size(cell)] = np.ma.filled(np.ma.asarray(cell, dtype=float), np.nan)
            except (TypeError, ValueError):
                bad.append(row)
        return wide, bad
    values, bad = np.full(len(cells), np.nan), []
    for row, cell in enumerate(cells):
        if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
            continue
        number = None
        if not isinstance(cell, (bool, np.bool_, bytes)) and "_" not in str(cell):
            with suppress(TypeError, ValueError, OverflowError):
                number = float(cell)
        if number is None or (isinstance(cell, str) and not cell.isascii()):
            bad.append(row)
        else:
            values[row] = number
    return values, bad


def wrong(own: str, values: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """(rows, expectation) for each way in which numbers of a column can make no sense."""
    base = own.removesuffix("_bkg")
    per_row = values if values.ndim > 1 else values[:, None]

    def rows(is_bad):
        return is_bad.any(axis=1)

    yield rows((per_row < 0) | np.isinf(per_row)), "a number that is not negative"
    if base == "cnts":
        yield rows((per_row != np.floor(per_row)) & ~np.isnan(per_row)), "a whole number"
        yield rows(per_row > MAX_COUNTS), "at most 2^53"
    elif base == "psf_frac":
        yield rows(per_row > 1), "a fraction up to 1"
    elif own not in ("area", "exposure_s", "bkg", "bkg_err"):
        yield rows(per_row == 0), "a positive number"


def shown(column: Column | np.ndarray, row: int) -> object:
    """A value as messages show it."""
    value = column[row]
    return value.tolist() if isinstance(value, (np.ndarray, np.floating)) else value
