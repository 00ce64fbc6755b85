"""FITS tables through astropy, with whatever is wrong with a file raised as InputError.

astropy answers damage with exceptions of many types and with warnings; here
all of them become one InputError that names the file and the HDU.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from ..catalog.bundle import is_name
from ..catalog.fault import InputError
from .regular import open_regular

# FITS Standard 4.0, section 7.3.1.
MAX_FIELDS = 999
_EXPECTED = {"text": "text (nA)", "number": "a number (K or D)", "array": "doubles (QD)"}


@contextmanager
def _named(place: str) -> Iterator[None]:
    """Whatever astropy raises or warns of inside, as an InputError that begins with `place`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", AstropyUserWarning)
            yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{place}: {reason or type(error).__name__}; the file is damaged or not the right "
            "one, get it again"
        ) from error


@dataclass(frozen=True, eq=False)
class HDU:
    """An HDU of an open file; `place` is how messages call it."""

    place: str
    name: str
    content: fits.PrimaryHDU | fits.BinTableHDU

    def keyword(self, keyword: str) -> object:
        """Value of a keyword, None if it is absent."""
        with _named(f"{self.place}, keyword {keyword}"):
            return self.content.header.get(keyword)

    def choice(self, keyword: str, allowed: Collection) -> object:
        """Value of a keyword that must be one of the allowed."""
        value = self.keyword(keyword)
        if value not in allowed:
            expected = ", ".join(map(str, allowed))
            raise InputError(
                f"{self.place}: keyword {keyword} is {value!r}, expected one of {expected}"
            )
        return value

    def text(self, keyword: str) -> str:
        """Value of a keyword that must be a name."""
        value = self.keyword(keyword)
        if not isinstance(value, str) or not is_name(value):
            raise InputError(f"{self.place}: keyword {keyword} is missing or no name; correct it")
        return value

    def columns(
        self, wanted: Mapping[str, str], optional: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """The wanted columns of a binary table, each with an entry per row.

        Parameters
        ----------
        wanted : mapping of column name -> kind
            Kind "text" gives bytes, "number" numbers, and "array" an array of
            objects, each of them the doubles of one row.
        optional : names
            Columns that may be absent; they are then absent from the result.
        """
        with _named(self.place):
            table = self.content
            if not isinstance(table, fits.BinTableHDU):
                raise InputError(f"{self.place}: not a binary table; write it as one")
            if not 0 <= table.header["TFIELDS"] <= MAX_FIELDS:
                raise InputError(f"{self.place}: keyword TFIELDS is {table.header['TFIELDS']}")
            width, n_rows = table.header["NAXIS1"], table.header["NAXIS2"]
            # Before astropy makes room for the rows.
            if table.columns.dtype.itemsize != width or width * n_rows > table.size:
                raise InputError(
                    f"{self.place}: the columns do not fit into the rows, or the rows not into the "
                    "data; the header is damaged, get the file again"
                )
            present = [name.lower() for name in table.columns.names]
            missing = [n for n in wanted if n.lower() not in present and n not in optional]
            if missing:
                raise InputError(f"{self.place}: column {missing[0]} is missing; add it")
            return {
                name: self._column(name, kind)
                for name, kind in wanted.items()
                if name.lower() in present
            }

    def _column(self, name: str, kind: str) -> np.ndarray:
        with _named(f"{self.place}, column {name}"):
            values = np.asarray(self.content.data[name])
            form = self.content.columns[name].format
            found = {"S": "text", "i": "number", "u": "number", "f": "number"}
            found["O"] = "array" if form.lstrip("1")[1:2] == "D" else None
            if found.get(values.dtype.kind) != kind or values.ndim != 1:
                raise InputError(
                    f"{self.place}, column {name}: format {form!r}, expected {_EXPECTED[kind]}"
                )
            # Blanks at the end of a FITS string mean nothing; some programs pad with them.
            return np.char.rstrip(values, b" ") if kind == "text" else values


@contextmanager
def open_hdus(path: str | os.PathLike, verify: bool) -> Iterator[Iterator[HDU]]:
    """The HDUs of a FITS file, each read when it is reached.

    With `verify`, the checksums of those that have them are compared.
    """
    with open_regular(path) as file:
        yield _hdus(file, str(path), verify)


def _hdus(file: BinaryIO, path: str, verify: bool) -> Iterator[HDU]:
    size = os.fstat(file.fileno()).st_size
    end = number = 0
    with _named(f"{path}, HDU 0"):
        hdus = fits.open(
            file,
            memmap=False,
            character_as_bytes=True,
            disable_image_compression=True,
        )
    while end < size:
        place = f"{path}, HDU {number}"
        with _named(place):
            hdu = hdus[number]
            name = hdu.name  # astropy reads EXTNAME only now
            place += f" ({name})" if number else ""
            start, span = (hdu.fileinfo()[key] for key in ("datLoc", "datSpan"))
            if not end < start <= start + span <= size:
                raise InputError(
                    f"{place}: does not fit into the file's {size} bytes; get it again"
                )
            end = start + span
            if verify and hdu.verify_checksum() == 0:
                raise InputError(
                    f"{place}: checksum mismatch, the contents changed after they were written; "
                    "get the file again (or read it unverified if the change was meant)"
                )
        yield HDU(place, name, hdu)
        number += 1


def text_column(name: str, values: Sequence[str | bytes]) -> fits.Column:
    """A column of ASCII strings."""
    values = np.array(values, dtype=np.bytes_)
    return fits.Column(name, f"{values.dtype.itemsize}A", array=values)


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
