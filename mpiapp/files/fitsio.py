"""Reading the part of FITS that prep3 and mst3 need: binary tables with checksums.

Reading goes straight from the bytes to numpy, because opening an extension
with a general library costs more than sampling a problem with a fast engine,
and a catalog has a million extensions.  Everything that is wrong with a file
is raised as InputError with the file and the HDU in its message.

Format: FITS Standard 4.0, sections 4 (headers) and 7.3 (binary tables),
appendix J (checksums).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ..catalog.bundle import InputError

BLOCK = 2880
MAX_HEADER_BLOCKS = 200
_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^/]*))")
_TFORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])")
_BYTES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16}
_NUMPY = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
_NUMPY |= {"P": ">i4", "Q": ">i8"}


@dataclass(frozen=True)
class Rejection:
    """A part of a file that cannot be used, and the runs that it concerns.

    `message` names file, HDU, column and row and says what to do.  The other
    attributes are None where the problem concerns all of them or is not known
    to belong to one.
    """

    message: str
    bundle: str | None = None
    band: str | None = None
    aperture: str | None = None
    quantity: str | None = None
    master: str | None = None

    def concerns(self, bundle: str, quantity: str, band: str, aperture: str) -> bool:
        """Whether a run of this bundle and matrix needs what was rejected."""
        asked = (bundle, quantity, band, aperture)
        mine = (self.bundle, self.quantity, self.band, self.aperture)
        return all(m is None or m == a for m, a in zip(mine, asked))


@dataclass(frozen=True, eq=False)
class HDU:
    """A header and where its data are; `place` is how messages call it."""

    place: str
    header: Mapping[str, object]
    header_bytes: bytes
    file: BinaryIO
    data_start: int
    data_size: int

    @property
    def name(self) -> str:
        return str(self.header.get("EXTNAME", ""))

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """`size` bytes of the data from `start`, or all of them."""
        self.file.seek(self.data_start + start)
        return self.file.read(self.data_size - start if size is None else size)

    def integer(self, keyword: str, default: int | None = None) -> int:
        """Value of a keyword that must be a whole number that is not negative."""
        value = self.header.get(keyword, default)
        if type(value) is not int or value < 0:
            raise InputError(
                f"{self.place}: keyword {keyword} is {value!r}, expected a whole number; the "
                "header is damaged, get the file again"
            )
        return value

    def text(self, keyword: str) -> str:
        """Value of a keyword that must be a string with something in it."""
        value = self.header.get(keyword)
        if not isinstance(value, str) or not value:
            raise InputError(f"{self.place}: keyword {keyword} is missing or not a string; add it")
        return value

    def verify(self) -> None:
        """Raise InputError if the HDU has a checksum and it does not fit its bytes."""
        if "CHECKSUM" not in self.header:
            return
        padded = -(-self.data_size // BLOCK) * BLOCK
        total = checksum(self.header_bytes, checksum(self.read(0, padded)))
        if total not in (0, 0xFFFFFFFF):
            raise InputError(
                f"{self.place}: checksum mismatch, the contents changed after they were written; "
                "get the file again (or read it unverified if the change was meant)"
            )


@contextmanager
def open_hdus(path: str | os.PathLike) -> Iterator[Iterator[HDU]]:
    """The HDUs of a FITS file, headers only until their data are asked for."""
    try:
        with open(path, "rb") as file:
            yield _hdus(file, str(path))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error


def _hdus(file: BinaryIO, path: str) -> Iterator[HDU]:
    end = file.seek(0, os.SEEK_END)
    start = number = 0
    while start < end:
        place = f"{path}, HDU {number}"
        header_bytes = _header_bytes(file, start, place)
        header = parse_header(header_bytes)
        if ("XTENSION" if number else "SIMPLE") not in header:
            raise InputError(f"{place}: not a FITS header; the file is damaged or no FITS file")
        if header.get("EXTNAME"):
            place += f" ({header['EXTNAME']})"
        hdu = HDU(place, header, header_bytes, file, start + len(header_bytes), 0)
        axes = hdu.integer("NAXIS")
        if axes > 999:
            raise InputError(f"{place}: keyword NAXIS is {axes}; the header is damaged")
        size = 0
        if axes:
            bits = header.get("BITPIX")
            if bits not in (8, 16, 32, 64, -32, -64):
                raise InputError(f"{place}: keyword BITPIX is {bits!r}; the header is damaged")
            size = 1
            for axis in range(axes):
                size *= hdu.integer(f"NAXIS{axis + 1}")
            size = (size + hdu.integer("PCOUNT", 0)) * hdu.integer("GCOUNT", 1) * abs(bits) // 8
        start = hdu.data_start + -(-size // BLOCK) * BLOCK
        if start > end:
            raise InputError(
                f"{place}: the file is truncated, {end} bytes where {start} are needed; get it "
                "again"
            )
        yield HDU(place, header, header_bytes, file, hdu.data_start, size)
        number += 1
    if number == 0:
        raise InputError(f"{path}: the file is empty; get it again")


def _header_bytes(file: BinaryIO, start: int, place: str) -> bytes:
    file.seek(start)
    header = b""
    for _ in range(MAX_HEADER_BLOCKS):
        block = file.read(BLOCK)
        header += block
        if len(block) < BLOCK:
            break
        if any(block[i : i + 8] == b"END     " for i in range(0, BLOCK, 80)):
            return header
    raise InputError(f"{place}: the header has no end; the file is truncated or no FITS file")


def parse_header(header: bytes) -> dict[str, object]:
    """Keywords and values of a FITS header; what cannot be understood stays text."""
    values: dict[str, object] = {}
    last = ""
    for i in range(0, len(header), 80):
        card = header[i : i + 80].decode("latin-1")
        keyword = card[:8].rstrip()
        if keyword == "END":
            break
        if keyword == "CONTINUE" and str(values.get(last, "")).endswith("&"):
            values[last] = str(values[last])[:-1] + str(_value(card[8:]))
        elif card[8:10] == "= ":
            last = keyword
            values[keyword] = _value(card[10:])
    return values


def _value(text: str) -> object:
    quoted, bare = _VALUE.match(text).groups()
    if quoted is not None:
        return quoted.replace("''", "'").rstrip()
    bare = bare.strip()
    if bare in ("T", "F"):
        return bare == "T"
    for kind in (int, float):
        try:
            return kind(bare.replace("D", "E"))
        except ValueError:
            pass
    return bare


def read_columns(
    hdu: HDU, wanted: Mapping[str, str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """The wanted columns of a binary table, as views of its bytes.

    Parameters
    ----------
    wanted : mapping of column name -> kind
        Kind "text" gives (n_rows,) bytes, "number" (n_rows,) of the column's
        big-endian type, "array" (n_rows, 2) int: length and heap offset of a
        variable-length double column.
    optional : names
        Columns that may be absent; they are then absent from the result.
    """
    if hdu.header.get("XTENSION") != "BINTABLE" or hdu.header.get("BITPIX") != 8:
        raise InputError(f"{hdu.place}: not a binary table; write it as one")
    width, n_rows = hdu.integer("NAXIS1"), hdu.integer("NAXIS2")
    if width * n_rows > hdu.data_size or width >= 2**31:
        raise InputError(f"{hdu.place}: the rows do not fit into the data; the header is damaged")
    # FITS does not distinguish capitals in the names of columns.
    called = {name.lower(): name for name in wanted}
    found: dict[str, tuple[np.dtype, int]] = {}
    offset = 0
    for i in range(1, hdu.integer("TFIELDS") + 1):
        form = _TFORM.match(str(hdu.header.get(f"TFORM{i}", "")))
        if form is None:
            raise InputError(
                f"{hdu.place}: keyword TFORM{i} is {hdu.header.get(f'TFORM{i}')!r}; the header is "
                "damaged"
            )
        repeat, code = int(form[1] or 1), form[2]
        if repeat > 8 * width:
            raise InputError(f"{hdu.place}: TFORM{i} is {form.string!r}, wider than the row")
        name = called.get(str(hdu.header.get(f"TTYPE{i}", "")).lower())
        if name:
            if f"TSCAL{i}" in hdu.header or f"TZERO{i}" in hdu.header:
                raise InputError(f"{hdu.place}, column {name}: scaled columns are not supported")
            found[name] = (_column_type(hdu, name, wanted[name], repeat, form), offset)
        if code == "X":
            offset += -(-repeat // 8)
        elif code in "PQ":
            offset += (8 if code == "P" else 16) * min(repeat, 1)
        else:
            offset += repeat * _BYTES[code]
    if offset != width:
        raise InputError(
            f"{hdu.place}: the columns take {offset} bytes a row but NAXIS1 is {width}; the header "
            "is damaged"
        )
    missing = [name for name in wanted if name not in found and name not in optional]
    if missing:
        raise InputError(f"{hdu.place}: column {missing[0]} is missing; add it")
    rows = np.frombuffer(hdu.read(0, width * n_rows), dtype=f"V{width}" if width else "u1")
    types = np.dtype(
        {
            "names": list(found),
            "formats": [t for t, _ in found.values()],
            "offsets": [at for _, at in found.values()],
            "itemsize": width,
        }
    )
    table = rows.view(types) if width else np.zeros(0, types)
    result = {name: table[name] for name in found}
    for name, column in result.items():
        # Blanks at the end of a FITS string mean nothing; some programs pad with them.
        if wanted[name] == "text" and b" " in column.tobytes():
            result[name] = np.char.rstrip(column, b" ")
    return result


def _column_type(hdu: HDU, name: str, kind: str, repeat: int, form: re.Match) -> np.dtype:
    code = form[2]
    if kind == "text" and code == "A" and repeat:
        return np.dtype(f"S{repeat}")
    if kind == "number" and code in "BIJKED" and repeat == 1:
        return np.dtype(_NUMPY[code])
    if kind == "array" and code in "PQ" and form.string[form.end() :][:1] == "D" and repeat == 1:
        return np.dtype((_NUMPY[code], (2,)))
    expected = {"text": "text (nA)", "number": "a number (K or D)", "array": "doubles (QD)"}
    raise InputError(
        f"{hdu.place}, column {name}: format {form.string!r}, expected {expected[kind]}"
    )


def read_heap(hdu: HDU) -> bytes:
    """What follows the rows of a table: the variable-length arrays (THEAP to the end)."""
    start = hdu.integer("THEAP", hdu.integer("NAXIS1") * hdu.integer("NAXIS2"))
    return hdu.read(start) if start < hdu.data_size else b""


def checksum(data: bytes, start: int = 0) -> int:
    """Ones' complement sum of 32-bit words (FITS Standard 4.0, appendix J)."""
    total = start + int(np.frombuffer(data, dtype=">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total
