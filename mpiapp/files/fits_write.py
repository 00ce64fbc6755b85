"""FITS files by astropy: with checksums, whole or not at all.

The same contents give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from .replacing import replacing

# Without a comment of ours astropy writes the time, and the same data would give other bytes.
_MADE = "of the contents as written"


class Field(NamedTuple):
    """A column of a table: int64, float64 or bytes, (n_rows,), or float64 (n_rows, width)."""

    name: str
    array: np.ndarray
    unit: str = ""
    comment: str = ""


def text_array(values: Sequence[str | bytes]) -> np.ndarray:
    """ASCII strings of a column."""
    return np.array(values, dtype=np.bytes_)


def table_hdu(name: str, fields: Sequence[Field]) -> fits.BinTableHDU:
    """A binary table."""
    columns = []
    for field in fields:
        kind, width = field.array.dtype, field.array.shape[1:]
        form = {"i": "K", "f": f"{width[0]}D" if width else "D"}.get(kind.kind)
        form = form or f"{kind.itemsize}A"
        columns.append(fits.Column(field.name, form, field.unit or None, array=field.array))
    # Text stays bytes, which astropy would decode and encode again.
    hdu = fits.BinTableHDU.from_columns(columns, name=name, character_as_bytes=True)
    for i, field in enumerate(fields, 1):
        if field.comment:
            hdu.header.comments[f"TTYPE{i}"] = field.comment
    return hdu


def write_hdus(path: str | os.PathLike, hdus: Iterable) -> None:
    """Write the HDUs with checksums beside `path`, then rename: `path` is never half a file."""
    hdus = fits.HDUList(list(hdus))
    for hdu in hdus:
        hdu.add_checksum(when=_MADE)
    with replacing(path) as partial, open(partial, "wb") as file:
        hdus.writeto(file)
