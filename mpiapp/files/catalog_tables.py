"""Any table as an astropy table with clean columns: from a file, by its content, or from Python.

Text (`text_tables`), ECSV, FITS, VOTable, Parquet and JSON lines, each also packed by gzip; an
astropy table, a pandas DataFrame, or a mapping of names to columns.  A column is numbers or text,
masked where there is no value, with unit, description and UCD (`meta["ucd"]`).
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.votable import parse as parse_votable
from astropy.table import Column, MaskedColumn, Table

from ..catalog.fault import InputError
from .fields import RowError, json_lines
from .regular import open_regular
from .text_tables import read_text

_OF_A_TABLE = re.compile(r"[A-Za-z]\w*\.([A-Za-z]\w*)")
# Names between bars, and below these the types of the columns.
_IPAC = re.compile(
    rb"(\\.*\r?\n)*\|.*\r?\n(\|\s*-?(char|c|date|int|i|long|l|double|d|float|f|real|r)\s*)+\|\s*\n"
)
_GZIP = b"\x1f\x8b"
# Most bytes that a packed table may take in memory.
_MAX_UNPACKED = 1 << 32
JSON_SUFFIXES = (".jsonl", ".ndjson")
Suits = Callable[[Sequence[str]], bool]


@dataclass
class CatalogTable:
    """A table, and where its rows are.

    Attributes
    ----------
    name : str
        The file, with its HDU if it has several tables; "table" for one of Python.
    table : Table
        As it was given but for the cleaning; `meta` has the keywords of its header.
    lines : (n,) int or None
        The line of each row, where the file is text.
    spoiled : dict
        Rows, by number, that are none, and why.
    repeated : frozenset of str
        Names that several columns have; all but the first got a number.
    notes : list of str
        What the reader did to read it.
    """

    name: str
    table: Table
    lines: np.ndarray | None = None
    spoiled: Mapping[int, RowError] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    path: str = ""

    def where(self, row: int) -> str:
        """The line or row, as a person counts them; in Python from 0."""
        if self.lines is not None:
            return f"line {self.lines[row]}"
        return f"row {row + 1 if self.path else row}"


def read_table(source, suits: Suits = lambda names: True) -> CatalogTable:
    """The table in a file, or one of Python.

    suits : whether a table with these columns is the one that is wanted, for files with several;
    without any the first table is read, and its user says which columns it lacks

    Raises InputError if there is no table, or none that can be read.
    """
    if isinstance(source, (str, os.PathLike)):
        return _from_file(source, suits)
    if not isinstance(source, Table) and hasattr(source, "iloc"):
        source = Table.from_pandas(source, index=source.index.name is not None)
    try:
        return CatalogTable("table", _clean(Table(source)))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"a table is a path, an astropy table, a DataFrame or a dict of columns, not "
            f"{type(source).__name__} ({error})"
        ) from error


def file_bytes(path: str | os.PathLike, size: int | None = None) -> bytes:
    """The content of a regular file, or its first bytes, unpacked if gzip packed it."""
    with open_regular(path, packed=True) as file:
        packed = file.read(2) == _GZIP
    with open_regular(path, packed) as file:
        try:
            if not packed:
                return file.read(size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                data = unpacked.read(size or _MAX_UNPACKED + 1)
        except (OSError, EOFError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{path}: cannot be read ({reason}); check the file") from error
    if len(data) > _MAX_UNPACKED:
        raise InputError(f"{path}: unpacks to more than {_MAX_UNPACKED >> 30} GiB; unpack it first")
    return data


def is_json(path: str | os.PathLike, data: bytes) -> bool:
    """Whether a file holds JSON lines."""
    return Path(path).suffix.lower() in JSON_SUFFIXES or data[:1] == b"{"


def of_records(
    path: str, lines: Sequence[int], records: Sequence[dict], spoiled: Mapping[int, RowError] = {}
) -> CatalogTable:
    """JSON objects as the rows of a table."""
    table = Table(masked=True)
    for name in dict.fromkeys(name for record in records for name in record):
        table[name] = _column([record.get(name) for record in records])
    return CatalogTable(path, table, np.array(lines), spoiled, path=path)


def _from_file(source: str | os.PathLike, suits: Suits) -> CatalogTable:
    path = os.fspath(source)
    if Path(path).suffix.lower() in (".xlsx", ".xls", ".ods"):
        raise InputError(f"{path}: a spreadsheet; save it as CSV")
    data = file_bytes(path)
    if not data.strip():
        raise InputError(f"{path}: empty; check that it is the right file")
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:512]
    if is_json(path, data):
        found = list(json_lines(data))
        spoiled = {
            row: RowError("no JSON object; correct it")
            for row, (_, record) in enumerate(found)
            if record is None
        }
        records = [record or {} for _, record in found]
        return of_records(path, [line for line, _ in found], records, spoiled)
    if data[:1] == b"[":
        with suppress(ValueError, RecursionError):
            records = json.loads(data)
            if all(isinstance(record, dict) for record in records):
                found = of_records(path, [], records)
                found.lines = None
                return found
        raise InputError(f"{path}: no array of JSON objects; correct it")
    if data.startswith(b"\x89HD"):
        said = "cannot be read as a table (HDF5); `mpiapp export` makes one of results"
        raise InputError(f"{path}: {said}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if data.startswith(b"SIMPLE"):
                found = _from_fits(path, data, suits)
            elif data.startswith(b"PAR1"):
                found = _from_parquet(path, data)
            elif start.startswith(b"<"):
                found = _from_votable(path, data, start, suits)
            elif _IPAC.match(data):
                ipac = Table.read(data.decode("utf-8", "replace"), format="ascii.ipac")
                found = CatalogTable(path, ipac, path=path)
            else:
                found = _from_text(path, data, start.startswith(b"# %ECSV"))
    except InputError:
        raise
    except Exception as error:  # readers raise whatever their parsers do
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{path}: cannot be read as a table ({type(error).__name__}: {reason}); check the file"
        ) from error
    found.table = _clean(found.table)
    _drop_table_names(found.table)
    return found


def _drop_table_names(table: Table) -> None:
    """Drop the tables' names, where a query put one before each column's name."""
    parts = [_OF_A_TABLE.fullmatch(name) for name in table.colnames]
    if all(parts) and len({part[1] for part in parts}) == len(parts):
        table.rename_columns(table.colnames, [part[1] for part in parts])


def _from_text(path: str, data: bytes, is_ecsv: bool) -> CatalogTable:
    if is_ecsv:
        # A row or cell that is wrong costs itself alone where the file is read as text, and what
        # is a class of astropy's comes as plain columns.
        with suppress(Exception):
            table = Table.read(data.decode("utf-8-sig").splitlines(), format="ascii.ecsv")
            table = Table(table, copy=False)
            if all(isinstance(column, Column) for column in table.itercols()):
                return CatalogTable(path, table, path=path)
    table, lines, spoiled, notes = read_text(path, data)
    repeated = frozenset(table.meta.pop("repeated"))
    return CatalogTable(path, table, lines, spoiled, repeated, notes, path)


def _from_fits(path: str, data: bytes, suits: Suits) -> CatalogTable:
    with fits.open(io.BytesIO(data), memmap=False) as hdus:
        tables = [
            (i, hdu) for i, hdu in enumerate(hdus) if isinstance(hdu, (fits.BinTableHDU,
                                                                       fits.TableHDU))
        ]  # fmt: skip
        if not tables:
            raise InputError(f"{path}: no table in it; check that it is the right file")
        i, hdu = next((t for t in tables if suits(t[1].columns.names)), tables[0])
        names, passed = list(hdu.columns.names), []
        for column in hdu.columns:
            # The format for printing is nothing to us, and often one that does not fit.
            column.disp = None
        repeated = frozenset(name for name in names if names.count(name) > 1)
        for k, name in enumerate(names):
            if names.index(name) < k:
                hdu.columns[k].name = f"{name}_{names[:k].count(name) + 1}"
        table = Table.read(hdu)
        for column in list(hdu.columns):
            if "P" in column.format.upper() or "Q" in column.format.upper():
                passed.append(column.name)
        table.remove_columns(passed)
        header = dict(hdus[0].header) | dict(hdu.header)
        for k, name in enumerate(hdu.columns.names, 1):
            if name in table.colnames:
                _describe(table[name], header.get(f"TCOMM{k}"), header.get(f"TUCD{k}"))
        keywords = ("OBS_ID", "INSTRUME", "EXPOSURE", "MJD_OBS", "MJD-OBS")
        table.meta = {key: header[key] for key in keywords if key in header}
    place = path if len(tables) == 1 else f"{path}, HDU {i} ({hdu.name})"
    notes = [f"columns of variable length passed over: {', '.join(passed)}"] if passed else []
    return CatalogTable(place, table, repeated=repeated, notes=notes, path=path)


def _from_votable(path: str, data: bytes, start: bytes, suits: Suits) -> CatalogTable:
    if b"<html" in start.lower():
        raise InputError(f"{path}: a page of the web, not a table; look at what it says")
    votable = parse_votable(io.BytesIO(data), verify="ignore")
    infos = list(votable.infos)
    for resource in votable.resources:
        infos += [info for info in resource.infos if info.name == "QUERY_STATUS"]
    status = {str(info.value).upper(): (info.content or "").strip() for info in infos
              if info.name == "QUERY_STATUS"}  # fmt: skip
    tables = list(votable.iter_tables())
    if "ERROR" in status or not tables:
        said = status.get("ERROR") or "no table in it"
        raise InputError(f"{path}: {said}; ask the service again")
    names = [[f.name or f.ID for f in t.fields] for t in tables]
    k = next((k for k, own in enumerate(names) if suits(own)), 0)
    table = tables[k].to_table(use_names_over_ids=True)
    for one, column in zip(tables[k].fields, table.itercols()):
        _describe(column, one.description, one.ucd)
    place = path if len(tables) == 1 else f"{path}, table {k + 1}"
    notes = ["the service cut it off (OVERFLOW): rows are missing"] if "OVERFLOW" in status else []
    repeated = frozenset(name for name in names[k] if names[k].count(name) > 1)
    table.meta = {}
    return CatalogTable(place, table, repeated=repeated, notes=notes, path=path)


def _from_parquet(path: str, data: bytes) -> CatalogTable:
    try:
        from pyarrow import parquet
    except ImportError:
        said = "Parquet needs pyarrow: pip install 'mpiapp[parquet]'"
        raise InputError(f"{path}: {said}") from None
    found = parquet.read_table(io.BytesIO(data))
    table = Table(masked=True)
    for one, values in zip(found.schema, found.columns):
        column = _column(values.to_pylist())
        about = {k.decode(): v.decode() for k, v in (one.metadata or {}).items()}
        column.unit = about.get("unit") or None
        _describe(column, about.get("description"), about.get("ucd"))
        table[one.name] = column
    return CatalogTable(path, table, path=path)


def _describe(column: Column, description: object, ucd: object) -> None:
    column.description = str(description) if description else column.description
    column.meta = {"ucd": str(ucd)} if ucd else {}


def _column(values: Sequence[object]) -> MaskedColumn:
    """Python objects as a column, masked where None; numbers only if all of them are."""
    mask = [value is None for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds and (kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, bool})):
        filler = next(value for value in values if value is not None)
        try:
            array = np.array([filler if value is None else value for value in values])
            if array.dtype.kind in "iufbU":
                return MaskedColumn(array, mask=mask)
        except OverflowError:
            pass
    array = np.empty(len(values), object)
    array[:] = values
    return MaskedColumn(array, mask=mask)


def _clean(table: Table) -> Table:
    """Text as str, vectors of one number as numbers, NaN masked."""
    for name in table.colnames:
        if isinstance(table[name], Column):
            table.replace_column(name, _clean_column(table[name]))
    return table


def _clean_column(column: Column) -> Column:
    data, mask = np.asarray(np.ma.getdata(column)), np.ma.getmaskarray(column)
    if data.ndim == 2 and data.shape[1] == 1:
        data, mask = data[:, 0], mask[:, 0]
    if data.dtype.kind == "S":
        data = np.char.decode(data, "utf-8", "replace")
    elif data.dtype.kind == "O" and data.ndim == 1:
        cells = [None if gone else cell for cell, gone in zip(data, mask)]
        if all(isinstance(cell, (str, bytes, type(None))) for cell in cells):
            words = [c.decode("utf-8", "replace") if isinstance(c, bytes) else c for c in cells]
            data = np.array([word or "" for word in words], dtype=str)
            mask = np.array([word is None for word in words], dtype=bool)
    elif not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    if data.dtype.kind == "f":
        mask = mask | np.isnan(data)
    about = {"unit": column.unit, "description": column.description, "meta": column.meta}
    return MaskedColumn(data, mask=mask, **about) if mask.any() else Column(data, **about)
