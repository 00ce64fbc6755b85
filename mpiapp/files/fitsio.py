"""FITS tables through astropy, with whatever is wrong with a file raised as InputError.

astropy answers damage with exceptions of many types and with warnings; here
all of them become one InputError that names the file and the HDU.  Checksums
and arrays of variable length are read without astropy, which would hold
several copies of them in memory.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from ..catalog.fault import InputError
from ..catalog.names import name_problem
from .fits_headers import KnownTable, Layout, known_table, n_axes, remember
from .regular import open_regular

# FITS Standard 4.0, section 7.3.1.
MAX_FIELDS = 999
# A file up to this many bytes is kept in memory while it is in use.
SMALL = 8 << 20
_CHUNK = 1 << 20
_MOST_AXES = 999  # FITS Standard 4.0, 4.4.1.1
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


class _Source:
    """The bytes of a file as it was opened: from memory if it is small, else read when asked."""

    def __init__(self, path: str, file: BinaryIO):
        self.path = path
        self._identity = _identity(file)
        self.kept = file.read() if os.fstat(file.fileno()).st_size <= SMALL else None

    @property
    def nbytes(self) -> int:
        """How much memory it holds."""
        return len(self.kept or b"")

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes; InputError if the file is another one by now."""
        if self.kept is not None:
            return self.kept[start : start + size]
        with self._again() as file:
            file.seek(start)
            return file.read(size)

    def digest(self) -> str:
        """BLAKE2b digest of all of them; InputError if the file is another one by now."""
        h = hashlib.blake2b(self.kept or b"", digest_size=16)
        if self.kept is None:
            with self._again() as file:
                while chunk := file.read(_CHUNK):
                    h.update(chunk)
        return h.hexdigest()

    def _again(self) -> BinaryIO:
        file = open_regular(self.path)
        if _identity(file) == self._identity:
            return file
        file.close()
        raise InputError(f"{self.path}: changed while it was in use; measure it again")


def _identity(file: BinaryIO) -> tuple[int, ...]:
    stat = os.fstat(file.fileno())
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


class RowArrays:
    """A column of arrays of doubles of variable length; a row is read when it is asked for.

    `descriptors` is (n_rows, 2) int64: number of doubles, and where they begin
    in the heap of `size` bytes at `start`.
    """

    def __init__(self, source: _Source, start: int, size: int, descriptors: np.ndarray):
        self._source, self._start, self._size = source, start, size
        self._descriptors = descriptors

    def __len__(self) -> int:
        return len(self._descriptors)

    def __getitem__(self, row: int) -> np.ndarray:
        count, offset = self._descriptors[row].tolist()
        if count < 0 or offset < 0 or offset + 8 * count > self._size:
            raise InputError(f"{count} doubles from byte {offset} do not fit into the heap")
        data = self._source.read(self._start + offset, 8 * count)
        return np.frombuffer(data, ">f8", count).astype(np.float64)

    def gather(self, rows: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """(n, size) doubles of rows of that size, and (n,) whether the row is one and is there.

        rows : (n,) int64.  The part of the heap that has them all is read at once; rows that are
        not at multiples of eight bytes from each other count as absent.
        """
        count, offset = self._descriptors[rows].T
        there = (count == size) & (offset >= 0) & (offset + 8 * size <= self._size)
        begin = int(offset[there].min(initial=self._size))
        there &= (offset - begin) % 8 == 0
        at = np.where(there, offset - begin, 0) // 8
        n_doubles = int(at.max(initial=-1)) + size if there.any() else size
        data = self._source.read(self._start + begin, 8 * n_doubles) if there.any() else b""
        heap = np.frombuffer(data, ">f8") if len(data) == 8 * n_doubles else np.zeros(n_doubles)
        there &= len(data) == 8 * n_doubles
        return heap[at[:, None] + np.arange(size)].astype(np.float64), there


@dataclass(frozen=True, eq=False)
class HDU:
    """An HDU of an open file; `place` is how messages call it."""

    place: str
    name: str
    content: fits.PrimaryHDU | fits.BinTableHDU | KnownTable
    begin: int
    start: int
    source: _Source

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
        if not isinstance(value, str):
            raise InputError(f"{self.place}: keyword {keyword} is missing or no name; correct it")
        if problem := name_problem(value):
            place = f"{self.place}, keyword {keyword}"
            raise InputError(f"{place}: the name {value!r} {problem}; rename it")
        return value

    def columns(
        self, wanted: Mapping[str, str], optional: Sequence[str] = ()
    ) -> dict[str, np.ndarray | RowArrays]:
        """The wanted columns of a binary table, each with an entry per row.

        Parameters
        ----------
        wanted : mapping of column name -> kind
            Kind "text" gives bytes, "number" numbers, and "array" RowArrays, the
            doubles of each row.
        optional : names
            Columns that may be absent; they are then absent from the result.
        """
        with _named(self.place):
            table = self.content
            if not isinstance(table, (fits.BinTableHDU, KnownTable)):
                raise InputError(f"{self.place}: not a binary table; write it as one")
            header = table.header
            if not 0 <= header["TFIELDS"] <= MAX_FIELDS:
                raise InputError(f"{self.place}: keyword TFIELDS is {header['TFIELDS']}")
            is_known = isinstance(table, KnownTable)
            layout = table.layout if is_known else Layout.of(table.columns)
            width, n_rows = header["NAXIS1"], header["NAXIS2"]
            # Before astropy makes room for the rows.
            if layout.dtype.itemsize != width or width * n_rows > table.size:
                raise InputError(
                    f"{self.place}: the columns do not fit into the rows, or the rows not into the "
                    "data; the header is damaged, get the file again"
                )
            if not is_known:
                remember(self.source.read(self.begin, self.start - self.begin), table, layout)
            missing = [n for n in wanted if n.lower() not in layout.formats and n not in optional]
            if missing:
                raise InputError(f"{self.place}: column {missing[0]} is missing; add it")
            data = self.source.read(self.start, width * n_rows)
            rows = np.frombuffer(data, layout.dtype, n_rows)
            return {
                name: self._column(rows, kind, *layout.formats[name.lower()])
                for name, kind in wanted.items()
                if name.lower() in layout.formats
            }

    def _column(
        self, rows: np.ndarray, kind: str, name: str, format: str, scaled: bool
    ) -> np.ndarray | RowArrays:
        place = f"{self.place}, column {name}"
        with _named(place):
            letters = format.lstrip("0123456789")[:2]
            if letters in ("PD", "QD"):
                found = "array"
            elif letters[:1] == "A":
                found = "text"
            else:
                found = "number" if letters[:1] in "BIJKED" else None
            values = rows[name]
            if found != kind or values.ndim != (2 if kind == "array" else 1):
                expected = _EXPECTED[kind]
                raise InputError(f"{place}: format {format!r}, expected {expected}")
            if kind == "array":
                if scaled:
                    raise InputError(f"{place}: TSCAL or TZERO; write the doubles themselves")
                return self._row_arrays(values.astype(np.int64))
            if kind == "number":
                # astropy knows how unsigned numbers are written.
                return np.asarray(self.content.data[name]) if scaled else values
            # Blanks at the end of a FITS string mean nothing; some programs pad with them.
            return np.char.rstrip(values, b" ")

    def _row_arrays(self, descriptors: np.ndarray) -> RowArrays:
        header = self.content.header
        rows = header["NAXIS1"] * header["NAXIS2"]
        heap = header.get("THEAP", rows)
        size = rows + header["PCOUNT"] - heap
        if not (rows <= heap and size >= 0):
            raise InputError(f"{self.place}: keyword THEAP is {heap}; the header is damaged")
        return RowArrays(self.source, self.start + heap, size, descriptors)


@contextmanager
def open_hdus(path: str | os.PathLike, verify: bool) -> Iterator[Iterator[HDU]]:
    """The HDUs of a FITS file, each read when it is reached.

    With `verify`, the checksums of those that have them are compared.
    """
    with open_regular(path) as file:
        source = _Source(str(path), file)
        yield _hdus(file if source.kept is None else io.BytesIO(source.kept), source, verify)


def _hdus(file: BinaryIO, source: _Source, verify: bool) -> Iterator[HDU]:
    path = source.path
    size = file.seek(0, os.SEEK_END)
    end = number = 0
    with _named(f"{path}, HDU 0"):
        _check_axes(file, 0, f"{path}, HDU 0")
        file.seek(0)
        hdus = fits.open(
            file,
            memmap=False,
            character_as_bytes=True,
            disable_image_compression=True,
        )
    while end < size:
        place = f"{path}, HDU {number}"
        with _named(place):
            hdu = known_table(file, end, size)
            if hdu is None:
                _check_axes(file, end, place)
                hdu = hdus[number]
                name = hdu.name  # astropy reads EXTNAME only now
                start, span = (hdu.fileinfo()[key] for key in ("datLoc", "datSpan"))
            else:
                name, start, span = hdu.name, hdu.start, hdu.span
            place += f" ({name})" if number else ""
            if not end < start <= start + span <= size:
                raise InputError(
                    f"{place}: does not fit into the file's {size} bytes; get it again"
                )
            begin, end = end, start + span
            if verify and hdu.header.get("CHECKSUM") and not _sums_to_zero(file, begin, end):
                raise InputError(
                    f"{place}: checksum mismatch, the contents changed after they were written; "
                    "get the file again (or read it unverified if the change was meant)"
                )
        yield HDU(place, name, hdu, begin, start, source)
        number += 1


def _check_axes(file: BinaryIO, begin: int, place: str) -> None:
    """InputError for more axes than FITS has: astropy would look for each, for hours."""
    if (found := n_axes(file, begin)) > _MOST_AXES:
        raise InputError(
            f"{place}: keyword NAXIS is {found}, and FITS has at most {_MOST_AXES}; the header "
            "is damaged: get the file again"
        )


def _sums_to_zero(file: BinaryIO, begin: int, end: int) -> bool:
    """Whether the words of an HDU sum to zero in ones' complement (FITS Standard 4.0, 4.4.2.7)."""
    total, back = 0, file.tell()
    file.seek(begin)
    for at in range(begin, end, _CHUNK):
        words = np.frombuffer(file.read(min(_CHUNK, end - at)), ">u4")
        total += int(words.sum(dtype=np.uint64))
    file.seek(back)
    return total % 0xFFFFFFFF == 0
