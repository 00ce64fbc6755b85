"""Rows of tables and JSON lines as records, and their fields as checked values."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import numpy as np
from astropy.table import Table

from ..catalog.fault import InputError
from ..catalog.names import name_problem
from .prep3_tables import MAX_COUNTS
from .regular import open_regular

JSON_SUFFIXES = (".jsonl", ".ndjson")
ASTROPY_FORMATS = {".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits"}
ASTROPY_FORMATS |= {".vot": "votable", ".xml": "votable"}


class Columns(NamedTuple):
    """What a table says of its columns: names, None for JSON lines; units; keywords."""

    names: list[str] | None
    units: Mapping[str, str] = MappingProxyType({})
    header: Mapping[str, object] = MappingProxyType({})


# What makes records of a row, chosen when the columns are known.
Arrange = Callable[[Columns], Callable[[dict], list[dict]]]


def records(path: str | os.PathLike, arrange: Arrange) -> Iterator[tuple[str, dict]]:
    """(place, record) of every row as arranged; a line that is no record is an empty one.

    Raises InputError if the table cannot be read, and what `arrange` raises.
    """
    suffix = Path(path).suffix.lower()
    with open_regular(path) as file:
        try:
            if suffix in JSON_SUFFIXES:
                rows = _json_rows(path, file, arrange)
            elif suffix == ".csv":
                rows = _csv_rows(path, file, arrange)
            else:
                rows = _astropy_rows(path, arrange, ASTROPY_FORMATS.get(suffix))
            for place, found in rows:
                for record in found:
                    yield place, record
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{path}: cannot be read ({reason}); check the path") from error


def with_columns(path: str | os.PathLike, required: Collection[str]) -> Arrange:
    """Rows as they are, of a table that must have these columns."""

    def arrange(columns: Columns):
        missing = [name for name in required if name not in (columns.names or required)]
        if missing:
            raise InputError(f"{path}: without the columns {', '.join(missing)}; add them")
        return lambda row: [row]

    return arrange


def _json_rows(path: str | os.PathLike, file: BinaryIO, arrange: Arrange):
    arranged = arrange(Columns(None))
    for row, line in enumerate(file, 1):
        if line.strip():
            record = None
            with suppress(ValueError, RecursionError):
                record = json.loads(line)
            yield f"{path}, line {row}", arranged(record) if isinstance(record, dict) else [{}]


def _csv_rows(path: str | os.PathLike, file: BinaryIO, arrange: Arrange):
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.reader(lines, skipinitialspace=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            _check_names(path, names)
            arranged = arrange(Columns(names))
            for values in reader:
                if not values:
                    continue
                fits = len(values) <= len(names)
                record = {k: v for k, v in zip(names, values) if v != ""} if fits else {}
                yield f"{path}, line {reader.line_num}", arranged(record) if record else [{}]
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _astropy_rows(path: str | os.PathLike, arrange: Arrange, kind: str | None):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = Table.read(path, format=kind)
            columns = {name: table[name].tolist() for name in table.colnames}
            units = {name: str(table[name].unit or "") for name in table.colnames}
    except OSError:
        raise
    except Exception as error:  # astropy's readers raise whatever their parsers do
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{path}: cannot be read as a table ({type(error).__name__}: {reason}); check the file "
            "and its suffix"
        ) from error
    _check_names(path, list(columns))
    arranged = arrange(Columns(list(columns), units, dict(table.meta)))
    for row, values in enumerate(zip(*columns.values()), 1):
        record = {k: v for k, v in zip(columns, values) if v is not None and v != ""}
        yield f"{path}, row {row}", arranged(record)


def _check_names(path: str | os.PathLike, names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise InputError(f"{path}: two columns have the same name; rename one")


def get(record: dict, column: str) -> object:
    """A value that must be there."""
    if (value := record.get(column)) is None:
        raise InputError(f"column {column}: no value; give one")
    return value


def text(record: dict, column: str) -> str:
    """A name: text, or a whole number that stands for its digits."""
    value = get(record, column)
    if type(value) is str and not name_problem(value):
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise InputError(f"column {column}: {value!r}, expected a name; correct it")
    if problem := name_problem(value):
        raise InputError(f"column {column}: the name {value!r} {problem}; rename it")
    return value


def choice(record: dict, column: str, allowed: Collection[str]) -> str:
    """One of the allowed names."""
    value = text(record, column)
    if value not in allowed:
        raise InputError(f"column {column}: {value!r}, expected one of {', '.join(allowed)}")
    return value


def number(record: dict, column: str, positive: bool = False) -> float:
    """A finite number that is not negative, or not zero either."""
    value = get(record, column)
    try:
        is_number = (
            isinstance(value, (int, float, str)) and value is not True and value is not False
        )
        result = float(value) if is_number else math.nan
    except (ValueError, OverflowError):
        result = math.nan
    if not 0 <= result < math.inf or (positive and result == 0):
        kind = "a positive number" if positive else "a number that is not negative"
        raise InputError(f"column {column}: {value!r}, expected {kind}; correct it")
    return result


def whole(record: dict, column: str) -> int:
    """A whole number that is not negative."""
    result = number(record, column)
    if not result.is_integer() or result > MAX_COUNTS:
        raise InputError(f"column {column}: {record[column]!r}, expected a whole number")
    return int(result)


def array(value: object, column: str) -> np.ndarray:
    """Nested lists of numbers as float64; whether they fit is for the caller."""
    result = np.array(None)
    with warnings.catch_warnings(), suppress(TypeError, ValueError, OverflowError):
        warnings.simplefilter("ignore")
        result = np.array(value)
    if result.dtype.kind not in "iuf":
        raise InputError(f"column {column}: expected numbers in lists of equal length; correct it")
    return result.astype(np.float64)
