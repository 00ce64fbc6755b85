"""Opening the files of an observation: FITS, packed or not, and short texts.

Whatever a broken file makes astropy raise becomes an InputError with the file's name.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from ..catalog.fault import InputError
from ..files.regular import open_regular

# An event list of a deep field has some 10^8 bytes; a packed one that grows beyond this is none.
MAX_BYTES = 4 << 30
_MAX_TEXT = 64 << 20
# Primary header and that of the events, with the history that CIAO's tools write.
_HEADERS = 2 << 20
# Types of columns that need no conversion.
_PLAIN = re.compile(rb"TFORM\d+\s*= '\d*[ABIJKED] *'")


@dataclass(frozen=True, eq=False)
class Described:
    """What a table's header says of its columns; tables that are alike have one in common.

    layout : of the rows in the file; None if columns have to be converted
    """

    header: fits.Header
    layout: np.dtype | None


Table = tuple[dict[str, np.ndarray], Described]


def read_bytes(path: str | os.PathLike, limit: int = MAX_BYTES, only: int = 0) -> bytes:
    """All of a file, unpacked if it is gzip; InputError if it cannot be read or is too large.

    only : so many bytes of its begin, if more than 0
    """
    with open_regular(path, packed=True) as file:
        start = file.peek(2)[:2]
        try:
            stream = gzip.GzipFile(fileobj=file) if start == b"\x1f\x8b" else file
            content = stream.read(only or limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: cannot be unpacked ({error}); get it anew") from None
    if len(content) > limit:
        raise InputError(f"{path}: more than {limit} bytes; check that it is the right file")
    return content


def read_text(path: str | os.PathLike) -> str:
    """A text file as UTF-8, other bytes replaced."""
    return read_bytes(path, _MAX_TEXT).decode("utf-8-sig", "replace")


@contextmanager
def open_fits(path: str | os.PathLike, headers: bool = False) -> Iterator[fits.HDUList]:
    """The HDUs of a FITS file; any failure to use them is an InputError that names the file.

    headers : of a large file only its first headers are wanted
    """
    with _opened(path, read_bytes(path, only=_HEADERS if headers else 0)) as hdus:
        yield hdus


@contextmanager
def _opened(path: str | os.PathLike, content: bytes) -> Iterator[fits.HDUList]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            with fits.open(io.BytesIO(content), memmap=False) as hdus:
                yield hdus
        except InputError:
            raise
        except Exception as error:  # whatever astropy makes of broken bytes
            what = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{path}: cannot be read ({what}); get it anew") from error


def read_tables(path: str | os.PathLike) -> dict[str, Table]:
    """Columns by their names in capitals, and what describes them, of every binary table.

    Text is bytes.  For small tables: a fifth of the time in which astropy alone makes columns.
    """
    content = read_bytes(path)
    with _opened(path, content) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
        return {hdu.name: _read_table(hdu, content) for hdu in tables}


def _read_table(hdu: fits.BinTableHDU, content: bytes) -> Table:
    place = hdu.fileinfo()
    cards = (content[i : i + 80] for i in range(place["hdrLoc"], place["datLoc"], 80))
    described = _describe(tuple(card for card in cards if card.startswith(b"T")))
    layout = described.layout
    if layout is None or layout.itemsize != hdu.header["NAXIS1"]:
        return {name.upper(): np.asarray(hdu.data[name]) for name in hdu.columns.names}, described
    rows = np.frombuffer(content, layout, hdu.header["NAXIS2"], place["datLoc"])
    return {name.upper(): rows[name] for name in layout.names}, described


@lru_cache(maxsize=64)
def _describe(cards: tuple[bytes, ...]) -> Described:
    header = fits.Header.fromstring(b"".join(cards))
    formats = [card for card in cards if card.startswith(b"TFORM")]
    is_scaled = any(card.startswith((b"TSCAL", b"TZERO")) for card in cards)
    if is_scaled or not all(map(_PLAIN.match, formats)):
        return Described(header, None)
    columns = [
        fits.Column(header[f"TTYPE{n}"], header[f"TFORM{n}"], dim=header.get(f"TDIM{n}"))
        for n in range(1, len(formats) + 1)
    ]
    return Described(header, fits.ColDefs(columns).dtype.newbyteorder(">"))
