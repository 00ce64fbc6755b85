"""Binary tables of a FITS file: the cards of its headers read by astropy, its rows by numpy.

`astropy.io.fits.open` takes 6 ms for a file of six HDUs, however short, because it makes objects
of columns and rows.  A catalog with a file for each bundle, band and aperture, which is measured
in less than a millisecond, would feel it (bench_prep3).

Whatever is wrong with a file is raised as InputError that names file, HDU and column.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from ..catalog.fault import InputError
from ..catalog.names import name_problem
from .fits_header import BLOCK, Header, read_header
from .regular import open_regular

# FITS Standard 4.0, sections 4.4.1.1 and 7.3.1.
_MOST_AXES = MAX_FIELDS = 999
_FORM = re.compile(r"(\d{0,9})([LXBIJKAEDCMPQ])")
_NUMBERS = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_OTHER_BYTES = {"L": 1, "X": 1 / 8, "C": 8, "M": 16}
_DESCRIPTORS = {"P": ">i4", "Q": ">i8"}  # of arrays of variable length: how many, from which byte
_SCALED = "TSCAL or TZERO; write the numbers themselves"
_EXPECTED = {
    "text": "text (nA)",
    "number": "a number (K or D)",
    "vector": "a fixed number of doubles (nD)",
    "arrays": "doubles of variable length (QD)",
}


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Errors and warnings of astropy inside, as an InputError that begins with `place`."""
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
    """An HDU: how messages call it, EXTNAME in capitals, its header, and its data's bytes."""

    place: str
    name: str
    header: Header | fits.Header
    data: memoryview

    def keyword(self, keyword: str) -> object:
        """Value of a keyword, None if it is absent."""
        with naming(f"{self.place}, keyword {keyword}"):
            return self.header.get(keyword)

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

    def column_names(self) -> set[str]:
        """The columns of a binary table, in small letters."""
        with naming(self.place):
            return set(self._layout().names)

    def columns(
        self, wanted: Mapping[str, str], optional: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """The wanted columns of a binary table, each with an entry per row.

        Parameters
        ----------
        wanted : mapping of column name -> kind
            Kind "text" gives (n_rows,) bytes, "number" (n_rows,) numbers, "vector"
            (n_rows, width) numbers and "arrays" a list of arrays of any length, None
            for those that are not in the data.
        optional : names
            Columns that may be absent; they are then absent from the result.
        """
        with naming(self.place):
            layout = self._layout()
            missing = [n for n in wanted if n.lower() not in layout.names and n not in optional]
            if missing:
                raise InputError(f"{self.place}: column {missing[0]} is missing; add it")
            n_rows = self.header["NAXIS2"]
            rows = np.frombuffer(self.data, layout.dtype, n_rows)
            return {
                name: self._column(rows, kind, *layout.names[name.lower()])
                for name, kind in wanted.items()
                if name.lower() in layout.names
            }

    def _layout(self) -> _Layout:
        header = self.header
        if str(header.get("XTENSION", "")).strip() != "BINTABLE":
            raise InputError(f"{self.place}: not a binary table; write it as one")
        n_fields = header["TFIELDS"]
        if not 0 <= n_fields <= MAX_FIELDS:
            raise InputError(f"{self.place}: keyword TFIELDS is {n_fields}")
        names, offset, formats, offsets = {}, 0, [], []
        for i in range(1, n_fields + 1):
            form = str(header[f"TFORM{i}"])
            kind, width = _numpy_format(form)
            name = str(header.get(f"TTYPE{i}", "")).strip()
            names[name.lower()] = name, form, f"f{i}", i
            formats.append(kind)
            offsets.append(offset)
            offset += width
        width, n_rows = header["NAXIS1"], header["NAXIS2"]
        if offset != width or not 0 <= width * n_rows <= len(self.data):
            raise InputError(
                f"{self.place}: the columns do not fit into the rows, or the rows not into the "
                "data; the header is damaged, get the file again"
            )
        fields = [f"f{i}" for i in range(1, n_fields + 1)]
        kinds = {"names": fields, "formats": formats, "offsets": offsets, "itemsize": width}
        return _Layout(np.dtype(kinds), names)

    def _column(
        self, rows: np.ndarray, kind: str, name: str, form: str, field: str, i: int
    ) -> np.ndarray:
        place = f"{self.place}, column {name}"
        with naming(place):
            values = rows[field]
            found = {"S": "text", "V": None}.get(values.dtype.kind, "number")
            if found == "number" and values.ndim > 1:
                found = "arrays" if form.lstrip("01")[:2] in ("PD", "QD") else "vector"
            if found != kind:
                raise InputError(f"{place}: format {form!r}, expected {_EXPECTED[kind]}")
            if kind == "text":
                # Blanks at the end of a FITS string mean nothing; some programs pad with them.
                is_padded = b" " in values.tobytes()
                return np.char.rstrip(values, b" ") if is_padded else values
            scale, zero = self.header.get(f"TSCAL{i}", 1), self.header.get(f"TZERO{i}", 0)
            if kind != "arrays":
                return _unscaled(values, scale, zero)
            if (scale, zero) != (1, 0):
                raise ValueError(_SCALED)
            return self._arrays(values)

    def _arrays(self, descriptors: np.ndarray) -> list[np.ndarray | None]:
        """The doubles of each row (FITS Standard 4.0, 7.3.5)."""
        heap = self.header.get("THEAP", self.header["NAXIS1"] * self.header["NAXIS2"])
        return [
            np.frombuffer(self.data, ">f8", count, heap + offset)
            if min(count, offset) >= 0 and heap + offset + 8 * count <= len(self.data)
            else None
            for count, offset in descriptors.tolist()
        ]


class _Layout(NamedTuple):
    """Rows of a table, and lower-case name -> (name, TFORM, field of the dtype, number)."""

    dtype: np.dtype
    names: dict[str, tuple[str, str, str, int]]


def _numpy_format(form: str) -> tuple[object, int]:
    """numpy's type of a column in the rows, and its bytes."""
    match = _FORM.match(form.strip())
    if match is None:
        raise ValueError(f"format {form!r} is none of FITS")
    repeat, letter = int(match[1] or 1), match[2]
    if letter == "A" and repeat:
        return f"S{repeat}", repeat
    if letter in _NUMBERS and repeat:
        kind = np.dtype(_NUMBERS[letter])
        return (kind if repeat == 1 else (kind, (repeat,))), repeat * kind.itemsize
    if letter in _DESCRIPTORS and repeat == 1:
        kind = np.dtype((_DESCRIPTORS[letter], (2,)))
        return kind, kind.itemsize
    width = math.ceil(repeat * _OTHER_BYTES.get(letter, 1))
    return f"V{width}", width


def _unscaled(values: np.ndarray, scale: object, zero: object) -> np.ndarray:
    """Numbers without TSCAL and TZERO, which may only say that whole numbers have no sign."""
    if scale == 1 and zero == 0:
        return values
    bits = 8 * values.dtype.itemsize
    if scale != 1 or values.dtype.kind != "i" or zero != 2 ** (bits - 1):
        raise ValueError(_SCALED)
    unsigned = values.astype(f"i{bits // 8}").view(f"u{bits // 8}")
    return unsigned ^ unsigned.dtype.type(zero)


class FitsFile(NamedTuple):
    """A FITS file that has been read: its bytes and its HDUs, the primary one first."""

    path: str
    content: bytes
    hdus: list[HDU]

    def digest(self) -> str:
        """BLAKE2b digest of its bytes."""
        return hashlib.blake2b(self.content, digest_size=16).hexdigest()


def read_fits(path: str | os.PathLike, verify: bool) -> FitsFile:
    """Read a FITS file; with `verify`, the checksums of HDUs that have one are compared.

    Raises InputError if an HDU is damaged or does not fit into the file.
    """
    with open_regular(path) as file:
        content = file.read()
    hdus = []
    end = 0
    while end < len(content) or not hdus:
        begin, place = end, f"{path}, HDU {len(hdus)}"
        with naming(place):
            header, start = read_header(content, begin, place)
            size = _data_size(header, place)
            end = start + size + -size % BLOCK
            if not 0 <= size <= end - start <= len(content) - start:
                raise InputError(
                    f"{place}: does not fit into the file's {len(content)} bytes; get it again"
                )
            name = str(header.get("EXTNAME", "")).strip().upper()
            place += f" ({name})" if hdus else ""
            if verify and header.get("CHECKSUM") and not _sums_to_zero(content[begin:end]):
                raise InputError(
                    f"{place}: checksum mismatch, the contents changed after they were written; "
                    "get the file again or, if the change was meant, write new checksums: "
                    "astropy.io.fits.open(path).writeto(new_path, checksum=True)"
                )
        hdus.append(HDU(place, name, header, memoryview(content)[start : start + size]))
    return FitsFile(str(path), content, hdus)


def _data_size(header: fits.Header, place: str) -> int:
    """Bytes of the data of an HDU (FITS Standard 4.0, equations 1 and 2)."""
    n_axes = header["NAXIS"]
    if not 0 <= n_axes <= _MOST_AXES:
        raise InputError(
            f"{place}: keyword NAXIS is {n_axes}, and FITS has at most {_MOST_AXES}; the header "
            "is damaged: get the file again"
        )
    axes = [header[f"NAXIS{i}"] for i in range(1, n_axes + 1)]
    n_elements = math.prod(axes) if axes else 0
    size = abs(header["BITPIX"]) * header.get("GCOUNT", 1) * (header.get("PCOUNT", 0) + n_elements)
    if min([*axes, size], default=0) < 0 or size % 8:
        raise ValueError("the header has a size that makes no sense")
    return size // 8


def _sums_to_zero(content: bytes) -> bool:
    """Whether the words of an HDU sum to zero in ones' complement (FITS Standard 4.0, 4.4.2.7)."""
    return int(np.frombuffer(content, ">u4").sum(dtype=np.uint64)) % 0xFFFFFFFF == 0
