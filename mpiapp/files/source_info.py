"""SRCINFO of a prep3 file: the other columns of its sources in a table of counts.

A row per component, band and aperture that was imported, with the columns
bundle, component, band, aperture and then the table's own: positions, names,
whatever it had.  Of all this only conversion factors and Gamma priors are measured with
(`conversion_factors`, `prep3_gamma`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from astropy.io import fits
from astropy.table import Table

from ..catalog.fault import InputError
from .fits_read import MAX_FIELDS
from .fits_write import Field, table_hdu, text_array
from .prep3_tables import INFO as NAME
from .prep3_tables import INFO_KEY as KEY
from .regular import open_regular

# bundle, component, band, aperture, and the other columns
InfoRow = tuple[str, str, str, str, dict[str, object]]


def info_hdu(rows: Sequence[InfoRow]) -> fits.BinTableHDU | None:
    """The table of the rows; None if they have no other columns."""
    names = list(dict.fromkeys(name for row in rows for name in row[-1]))
    columns = [_column(name, [row[-1].get(name) for row in rows]) for name in names]
    columns = [column for column in columns if column is not None][: MAX_FIELDS - len(KEY)]
    if not columns:
        return None
    keys = [Field(name, text_array([row[i] for row in rows])) for i, name in enumerate(KEY)]
    return table_hdu(NAME, [*keys, *columns])


def _column(name: str, values: list) -> Field | None:
    """The column as whole numbers, numbers or text; None if FITS cannot hold it."""
    if not name.isascii() or not name.isprintable() or name.lower() in KEY:
        return None
    if (array := as_array(values)) is None:
        return None
    if array.dtype.kind not in "if":
        array = text_array([text.encode("ascii", "backslashreplace") for text in array])
    return Field(name, array)


def as_array(values: Sequence[object]) -> np.ndarray | None:
    """Values of a column as whole numbers, numbers or text; None if they are lists or the like."""
    if not all(isinstance(v, (str, bytes, int, float, type(None))) for v in values):
        return None
    with suppress(ValueError, OverflowError):
        # Only numbers that survive a round trip: the zeros of "007" make it a name.
        numbers = [int(v or 0) for v in values]
        if all(str(n) == str(v) for n, v in zip(numbers, values)):
            return np.array(numbers, dtype=np.int64)
    with suppress(ValueError, OverflowError):
        if not any(_is_code(v) for v in values):
            return np.array([np.nan if v in (None, "") else float(v) for v in values])
    return np.array([v.decode("latin-1") if isinstance(v, bytes) else str(v or "") for v in values])


def _is_code(value: object) -> bool:
    """Whether it is digits that are no plain number: 007, 1_0, or digits of other scripts."""
    if not isinstance(value, str) or (value.isascii() and value[:1] != "0" and "_" not in value):
        return False
    return not value.isascii() or "_" in value or (len(value) > 1 and value.isdigit())


def read_source_info(path: str | os.PathLike) -> Table | None:
    """SRCINFO of a prep3 file, None if it has none; InputError if it cannot be read.

    `meta` has STACKID and OBS_ID of the file.
    """
    with open_regular(path) as file:
        try:
            with fits.open(file, memmap=False) as hdus:
                if NAME not in hdus:
                    return None
                table = Table.read(hdus[NAME])
                table.meta |= {key: str(hdus[0].header[key]) for key in ("STACKID", "OBS_ID")}
                return table
        except Exception as error:
            raise InputError(f"{path}, {NAME}: cannot be read ({error})") from error
