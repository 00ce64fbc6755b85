"""FITS tables with checksums, made as bytes, written whole or not at all.

astropy would take some 10 ms for a table, however short; headers are those that it writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits

_BLOCK = 2880
_FORMS = {"i": "K", "f": "D"}
# Without a comment of ours astropy writes the time, and the same data would give other bytes.
_MADE = "of the contents as written"
_PUNCTUATION = frozenset(b":;<=>?@[\\]^_`")


class Field(NamedTuple):
    """A column of a table: int64, float64 or bytes."""

    name: str
    array: np.ndarray
    unit: str = ""
    comment: str = ""


class Arrays(NamedTuple):
    """A last column with doubles of variable length: those of all rows, and how many each has."""

    name: str
    heap: np.ndarray
    counts: np.ndarray
    unit: str = ""
    comment: str = ""


class HDU(NamedTuple):
    """A header without checksums and its end, and the data."""

    header: bytes
    data: bytes = b""

    def tobytes(self) -> bytes:
        """The HDU in blocks, with its checksums."""
        data = _padded(self.data, b"\0")
        of_data = _checksum(data)
        end = card("DATASUM", str(of_data), _MADE).encode() + b"END".ljust(80)
        zeros = _padded(self.header + card("CHECKSUM", "0" * 16, _MADE).encode() + end, b" ")
        said = _encoded(~_checksum(zeros, of_data) & 0xFFFFFFFF)
        return _padded(self.header + card("CHECKSUM", said, _MADE).encode() + end, b" ") + data


def text_array(values: Sequence[str | bytes]) -> np.ndarray:
    """ASCII strings of a column."""
    return np.array(values, dtype=np.bytes_)


def header_hdu(header: fits.Header) -> HDU:
    """A primary HDU, of which there is nothing but the header."""
    return HDU(header.tostring(endcard=False, padding=False).encode("ascii"))


def table_hdu(
    name: str,
    fields: Sequence[Field],
    arrays: Arrays | None = None,
    keywords: Iterable[tuple[str, str, str]] = (),
) -> HDU:
    """A binary table; `keywords` are (keyword, value, comment)."""
    types = [(field.name, field.array.dtype.newbyteorder(">")) for field in fields]
    n_rows = len(fields[0].array)
    heap = b""
    if arrays is not None:
        types.append((arrays.name, np.dtype((">i8", 2))))
        heap = arrays.heap.astype(">f8").tobytes()
    # Names of fields may be any that FITS allows, numpy's may not.
    rows = np.empty(n_rows, [(f"f{i}", kind) for i, (_, kind) in enumerate(types)])
    for i, field in enumerate(fields):
        rows[f"f{i}"] = field.array
    cards = [
        card("XTENSION", "BINTABLE", "binary table extension"),
        card("BITPIX", 8, "array data type"),
        card("NAXIS", 2, "number of array dimensions"),
        card("NAXIS1", rows.itemsize, "length of dimension 1"),
        card("NAXIS2", n_rows, "length of dimension 2"),
        card("PCOUNT", len(heap), "number of group parameters"),
        card("GCOUNT", 1, "number of groups"),
        card("TFIELDS", len(types), "number of table fields"),
    ]
    for i, field in enumerate(fields, 1):
        kind = field.array.dtype
        form = _FORMS.get(kind.kind) or f"{kind.itemsize}A"
        cards += _of_field(i, field.name, form, field.unit, field.comment)
    cards.append(card("EXTNAME", name, "extension name"))
    if arrays is not None:
        counts = arrays.counts
        rows[f"f{len(fields)}"] = np.stack([counts, 8 * (np.cumsum(counts) - counts)], axis=1)
        form = f"QD({int(counts.max(initial=0))})"
        cards += _of_field(len(types), arrays.name, form, arrays.unit, arrays.comment)
    cards += [card(*keyword) for keyword in keywords]
    return HDU("".join(cards).encode("ascii"), rows.tobytes() + heap)


def _of_field(i: int, name: str, form: str, unit: str, comment: str) -> list[str]:
    cards = [card(f"TTYPE{i}", name, comment), card(f"TFORM{i}", form)]
    return cards + ([card(f"TUNIT{i}", unit)] if unit else [])


def card(keyword: str, value: str | int, comment: str = "") -> str:
    """A header card, or several where a text is long."""
    said = f"{value:>20}" if isinstance(value, int) else f"'{value:8}'".ljust(20)
    line = f"{keyword:8}= {said}" + (f" / {comment}" if comment else "")
    if len(line) > 80 or value == "" or "'" in str(value):
        return fits.Card(keyword, value, comment or None).image
    return f"{line:80}"


def _padded(content: bytes, filling: bytes) -> bytes:
    return content + filling * (-len(content) % _BLOCK)


def _checksum(content: bytes, start: int = 0) -> int:
    """The ones' complement sum of 32-bit words (FITS Standard 4.0, appendix J)."""
    total = start + int(np.frombuffer(content, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value: int) -> str:
    """A checksum as 16 letters and digits whose own sum it is (the same, appendix J)."""
    found = bytearray(16)
    for i, byte in enumerate(value.to_bytes(4, "big")):
        four = [byte // 4 + 48 + (byte % 4), *[byte // 4 + 48] * 3]
        for j in (0, 2):
            while four[j] in _PUNCTUATION or four[j + 1] in _PUNCTUATION:
                four[j] += 1
                four[j + 1] -= 1
        found[i::4] = bytes(four)
    return (found[15:] + found[:15]).decode("ascii")


def write_hdus(path: str | os.PathLike, hdus: Iterable[HDU]) -> None:
    """Write the HDUs with checksums beside `path`, then rename: `path` is never half a file."""
    path = Path(path)
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            for hdu in hdus:
                file.write(hdu.tobytes())
        os.replace(partial, path)
    except OSError as error:
        # A full disk does not say by itself which file it was.
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
