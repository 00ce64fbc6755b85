"""Writing the part of FITS that prep3 and mst3 need: binary tables with checksums.

The counterpart of `fitsio`: whole HDUs as bytes, made from numpy columns.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from .fitsio import BLOCK, checksum


@dataclass(frozen=True, eq=False)
class Column:
    """A column to be written: bytes strings, integers, doubles, or a list of double arrays."""

    name: str
    values: np.ndarray | Sequence[np.ndarray]
    unit: str = ""
    comment: str = ""


def primary_hdu(cards: Sequence[tuple[str, object, str]]) -> bytes:
    """A primary HDU without data."""
    head = [("SIMPLE", True, ""), ("BITPIX", 8, ""), ("NAXIS", 0, ""), ("EXTEND", True, "")]
    return _with_checksum([*head, *cards], b"")


def table_hdu(
    name: str, columns: Sequence[Column], cards: Sequence[tuple[str, object, str]] = ()
) -> bytes:
    """A binary table HDU with its checksums; lists of arrays go to the heap as double (QD)."""
    n_rows = len(columns[0].values)
    types, described, heap = [], [], []
    fields = []
    heap_size = 0
    for i, column in enumerate(columns, 1):
        if isinstance(column.values, list):
            lengths = np.fromiter(map(np.size, column.values), dtype=np.int64, count=n_rows)
            descriptor = np.empty((n_rows, 2), dtype=np.int64)
            descriptor[:, 0] = lengths
            descriptor[:, 1] = heap_size + 8 * (np.cumsum(lengths) - lengths)
            heap += [np.ascontiguousarray(v, dtype=">f8").tobytes() for v in column.values]
            heap_size += 8 * int(lengths.sum())
            fields.append(descriptor)
            types.append((f"f{i}", ">i8", (2,)))
            form = f"QD({int(lengths.max(initial=0))})"
        elif column.values.dtype.kind == "S":
            fields.append(column.values)
            types.append((f"f{i}", column.values.dtype))
            form = f"{column.values.dtype.itemsize}A"
        else:
            is_whole = column.values.dtype.kind in "iu"
            fields.append(column.values)
            types.append((f"f{i}", ">i8" if is_whole else ">f8"))
            form = "K" if is_whole else "D"
        described.append((f"TTYPE{i}", column.name, column.comment))
        described.append((f"TFORM{i}", form, ""))
        if column.unit:
            described.append((f"TUNIT{i}", column.unit, ""))
    rows = np.empty(n_rows, dtype=types)
    for i, field in enumerate(fields, 1):
        rows[f"f{i}"] = field
    head = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, ""),
        ("NAXIS", 2, ""),
        ("NAXIS1", rows.dtype.itemsize, "bytes in a row"),
        ("NAXIS2", n_rows, "number of rows"),
        ("PCOUNT", heap_size, "bytes of variable-length arrays"),
        ("GCOUNT", 1, ""),
        ("TFIELDS", len(columns), "number of columns"),
        *described,
        ("EXTNAME", name, ""),
    ]
    return _with_checksum([*head, *cards], rows.tobytes() + b"".join(heap))


def replace_file(path: str | os.PathLike, hdus: Sequence[bytes]) -> None:
    """Write the HDUs beside `path`, then rename, so that `path` is never half a file."""
    path = Path(path)
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            file.writelines(hdus)
        os.replace(partial, path)
    except OSError as error:
        # A full disk does not say by itself which file it was.
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@lru_cache(maxsize=10_000)
def _card(keyword: str, value: object, kind: type, comment: str) -> str:
    # `kind` is part of the key because True == 1.
    if kind is float:
        # The library shortens a value to 20 characters; the standard lets it have them all.
        return f"{keyword:8}= {repr(value).upper():>20} / {comment}".ljust(80)[:80]
    # A long value leaves no room for the comment.
    return str(fits.Card(keyword, value, comment if len(str(value)) < 20 else ""))


def _with_checksum(cards: Sequence[tuple[str, object, str]], data: bytes) -> bytes:
    data += b"\0" * (-len(data) % BLOCK)
    data_sum = checksum(data)
    texts = [_card(keyword, value, type(value), comment) for keyword, value, comment in cards]
    if any(len(text) > 80 for text in texts):
        texts.append(_card("LONGSTRN", "OGIP 1.0", str, "long strings are continued"))
    texts.append(_card("DATASUM", str(data_sum), str, "sum of the data"))
    texts.append(_card("CHECKSUM", "0" * 16, str, "sum of the HDU"))
    header = "".join(texts) + f"{'END':80}"
    header = header.ljust(-(-len(header) // BLOCK) * BLOCK).encode("ascii")
    encoded = _encode_checksum(checksum(header, data_sum))
    at = header.index(b"CHECKSUM= '0000") + 11
    return header[:at] + encoded + header[at + 16 :] + data


def _encode_checksum(total: int) -> bytes:
    """Complement of `total` as 16 letters and digits (FITS Standard 4.0, appendix J.2)."""
    punctuation = {*range(0x3A, 0x41), *range(0x5B, 0x61)}
    out = bytearray(16)
    for i, byte in enumerate((0xFFFFFFFF - total).to_bytes(4, "big")):
        quarter, rest = divmod(byte, 4)
        letters = [quarter + 0x30 + rest, *[quarter + 0x30] * 3]
        while punctuation & set(letters):
            for j in (0, 2):
                if letters[j] in punctuation or letters[j + 1] in punctuation:
                    letters[j] += 1
                    letters[j + 1] -= 1
        out[i::4] = bytes(letters)
    return bytes(out[-1:] + out[:-1])
