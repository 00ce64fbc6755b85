"""FITS tables written through astropy, whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

_BLOCK = 2880


def text_column(name: str, values: Sequence[str | bytes]) -> fits.Column:
    """A column of ASCII strings."""
    values = np.array(values, dtype=np.bytes_)
    return fits.Column(name, f"{values.dtype.itemsize}A", array=values)


def array_hdu(
    name: str,
    columns: Sequence[fits.Column],
    arrays: str,
    unit: str | None,
    heap: np.ndarray,
    counts: np.ndarray,
) -> fits.BinTableHDU:
    """A table of the columns and one more, `arrays`, of doubles of variable length.

    `heap` holds the doubles of all rows after one another, `counts` how many each row has.
    astropy would take a Python object for every row.
    """
    header = fits.BinTableHDU.from_columns(columns, name=name).header
    at = header["TFIELDS"] = len(columns) + 1
    header[f"TTYPE{at}"] = arrays
    header[f"TFORM{at}"] = f"QD({int(counts.max(initial=0))})"
    if unit:
        header[f"TUNIT{at}"] = unit
    fields = [(column.name, column.array.dtype.newbyteorder(">")) for column in columns]
    rows = np.empty(len(counts), [*fields, (arrays, ">i8", 2)])
    for column in columns:
        rows[column.name] = column.array
    rows[arrays] = np.stack([counts, 8 * (np.cumsum(counts) - counts)], axis=1)
    data = rows.tobytes() + heap.astype(">f8").tobytes()
    header["NAXIS1"], header["NAXIS2"], header["PCOUNT"] = rows.itemsize, len(rows), 8 * heap.size
    padding = b"\0" * (-len(data) % _BLOCK)
    return fits.BinTableHDU.fromstring(header.tostring().encode("ascii") + data + padding)


def write_hdus(path: str | os.PathLike, hdus: Sequence[fits.PrimaryHDU | fits.BinTableHDU]) -> None:
    """Write the HDUs with checksums beside `path`, then rename: `path` is never half a file."""
    path = Path(path)
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    written = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(written, output_verify="ignore")
    written.seek(0)
    try:
        # Checksums of arrays of variable length fit only where they have not been unpacked
        # (astropy 6.0); without a comment of ours the same data would not give the same bytes.
        with fits.open(written, lazy_load_hdus=False) as fresh:
            for hdu in fresh:
                hdu.add_checksum(when="of the contents as written")
            fresh.writeto(partial, overwrite=True)
        os.replace(partial, path)
    except OSError as error:
        # A full disk does not say by itself which file it was.
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
