"""The tables of a results file as HDF5 keeps them: made for rows, and recognised.

A table is one compound dataset in chunks.  A finished file has units and descriptions as plain
attributes and, for astropy, in `<name>.__table_column_meta__`; parts do without.  Text has a fixed
width in each file, the longest it holds; what pads it deflates to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import h5py
import numpy as np

from .. import __version__
from .schema import CHUNK_ROWS, SCHEMA_VERSION, TABLES, Column

_CHUNK_BYTES = 256 * 1024
# A chunk is read as a whole, however little of it is asked for.
_MAX_CHUNK_BYTES = 16 << 20
# From HDF5 1.8 on, a table's description has a checksum; deflated chunks have one of their own.
LIBVER = ("v108", "v108")
_PACKED = {"compression": "gzip", "compression_opts": 1}
_TEXT_ERRORS = "surrogateescape"  # as Python has it for the names of files


def create_file(file: h5py.File) -> None:
    """The attributes of an empty results file."""
    file.attrs["schema_version"] = SCHEMA_VERSION
    file.attrs["created_by"] = f"mpiapp {__version__}"


def create_table(
    file: h5py.File, name: str, n_rows: int, widths: Mapping[str, int] = {}
) -> h5py.Dataset:
    """A table of so many empty rows.

    widths : the longest text of each column of text, in bytes
    """
    columns, _ = TABLES[name]
    dtype = _dtype(columns, widths)
    if name in ("runs", "photometry"):
        chunk = CHUNK_ROWS
    else:
        chunk = max(1, min(n_rows, _CHUNK_BYTES // dtype.itemsize))
    return file.create_dataset(
        name,
        (n_rows,),
        dtype,
        maxshape=(None,),
        chunks=(chunk,),
        shuffle=not any(c.dtype == "text" for c in columns),
        **_PACKED,
    )


def describe(file: h5py.File) -> None:
    """Write units and descriptions of all tables."""
    for name, (columns, description) in TABLES.items():
        if name not in file:  # nobody has asked for it
            continue
        table = file[name]
        table.attrs["description"] = description
        for i, c in enumerate(columns):
            table.attrs[f"FIELD_{i}_NAME"] = c.name
            table.attrs[f"FIELD_{i}_UNITS"] = c.unit or ""
            table.attrs[f"FIELD_{i}_DESCRIPTION"] = c.description
        meta = _astropy_meta(columns, table.dtype)
        file.create_dataset(f"{name}.__table_column_meta__", data=meta)


def _dtype(columns: Sequence[Column], widths: Mapping[str, int]) -> np.dtype:
    def kind(c: Column):
        if c.dtype != "text":
            return c.dtype
        return h5py.string_dtype("utf-8", max(1, widths.get(c.name, 1)))

    return np.dtype([(c.name, kind(c)) for c in columns])


def encoded(rows: Sequence[Sequence], name: str) -> tuple[list[tuple], dict[str, int]]:
    """Rows of a table with their text in bytes, and the longest of each column."""
    columns, _ = TABLES[name]
    places = [i for i, c in enumerate(columns) if c.dtype == "text"]
    if not places:
        return rows, {}
    widths = dict.fromkeys((columns[i].name for i in places), 1)
    out = []
    for row in rows:
        row = list(row)
        for i in places:
            row[i] = row[i].encode("utf-8", _TEXT_ERRORS)
            widths[columns[i].name] = max(widths[columns[i].name], len(row[i]))
        out.append(tuple(row))
    return out, widths


def empty_rows(name: str) -> np.ndarray:
    """No rows of a table, as they are handed on."""
    columns, _ = TABLES[name]
    return np.empty(0, [(c.name, "O" if c.dtype == "text" else c.dtype) for c in columns])


def decoded(text: np.ndarray) -> list[str]:
    """Text of a table as str."""
    return [value.decode("utf-8", _TEXT_ERRORS) for value in text.tolist()]


def wrong_with(file: h5py.File, name: str, columns: Sequence[Column], text_kind: str) -> str:
    """Why an object is not the table that a writer makes; empty if it is.

    text_kind : numpy's letter for free text, S or O
    """
    # A link, or data outside of the file, could lead to any file of this machine.
    if name not in file:
        return "is missing"
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return "is a link"
    try:
        table = file[name]
    except (KeyError, OSError, RuntimeError) as error:  # all of which HDF5's errors become
        return f"cannot be read: {error.args[0]}"
    if not isinstance(table, h5py.Dataset) or table.ndim != 1 or table.chunks is None:
        return "is no table in chunks"
    if table.is_virtual or table.external:
        return "lies in other files"
    if table.dtype.names != tuple(c.name for c in columns) or not all(
        _is_of(table.dtype[c.name], c, text_kind) for c in columns
    ):
        return "has other columns than this schema"
    if table.chunks[0] * table.dtype.itemsize > _MAX_CHUNK_BYTES and table.chunks[0] > 1:
        return f"has chunks of {table.chunks[0]} rows"
    if table.id.get_num_chunks() != -(-len(table) // table.chunks[0]):
        return f"has not the {len(table)} rows that it says"
    return ""


def _is_of(dtype: np.dtype, column: Column, text_kind: str) -> bool:
    """Whether a field has the type of a column."""
    if column.dtype != "text":
        whole = np.dtype(column.dtype)
        is_narrower = dtype.kind == whole.kind == "S" and dtype.itemsize < whole.itemsize
        return dtype == whole or is_narrower
    return dtype.kind == text_kind and h5py.check_string_dtype(dtype) is not None


def _astropy_meta(columns: Sequence[Column], dtype: np.dtype) -> list[bytes]:
    """Units and descriptions as astropy keeps them: YAML, in the part of it that is JSON."""
    lines = ["datatype:"]
    for c in columns:
        of = dtype[c.name]
        is_number = of.kind != "S" and not of.shape
        entry = {"name": c.name, "datatype": of.name if is_number else "string"}
        if c.unit:
            entry["unit"] = c.unit
        if of.shape:
            entry["subtype"] = f"{of.base.name}{list(of.shape)}"
        lines.append(f"- {json.dumps(entry | {'description': c.description}, ensure_ascii=False)}")
    return [line.encode() for line in lines]
