"""Fields of a row of a table, or of a JSON object, as checked values."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Collection, Iterator
from contextlib import suppress

import numpy as np

from ..catalog.fault import InputError
from ..catalog.names import name_problem
from .prep3_tables import MAX_COUNTS


class RowError(InputError):
    """Why a row cannot be used; `kind` is what rows with the same mistake have in common."""

    def __init__(self, message: str, kind: str = ""):
        super().__init__(message)
        self.kind = kind or message


def unexpected(column: str, value: object, expected: str) -> RowError:
    """A value of a column is not one of those expected."""
    said = repr(value.item() if isinstance(value, np.generic) else value).removesuffix(".0")
    return RowError(f"column {column}: {said}, expected {expected}", f"{column}: {expected}")


def missing(column: str) -> RowError:
    """A column has no value where one is needed."""
    return RowError(f"column {column}: no value")


def json_lines(data: bytes) -> Iterator[tuple[int, dict | None]]:
    """(number of the line, object) of lines that are not blank; None for one that is no object."""
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            found = None
            with suppress(ValueError, RecursionError):
                found = json.loads(line)
            yield number, found if isinstance(found, dict) else None


def name_of(value: object, column: str) -> str:
    """A name: text without the blanks at its ends, or a whole number that stands for its digits."""
    if type(value) is str and not name_problem(value):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is np.ma.masked:
        raise missing(column)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise unexpected(column, value, "a name")
    if problem := name_problem(value := value.strip(" ")):
        raise RowError(f"column {column}: the name {value!r} {problem}; rename it", problem)
    return value


def get(record: dict, column: str) -> object:
    """A value that must be there."""
    if (value := record.get(column)) is None:
        raise missing(column)
    return value


def text(record: dict, column: str) -> str:
    """A name that must be there."""
    return name_of(record.get(column), column)


def choice(value: str, column: str, allowed: Collection[str]) -> str:
    """One of the allowed names."""
    if value not in allowed:
        raise unexpected(column, value, f"one of {', '.join(allowed)}")
    return value


def number(record: dict, column: str) -> float:
    """A finite number that is not negative."""
    value = get(record, column)
    result = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            result = float(value)
    if not 0 <= result < math.inf:
        raise unexpected(column, value, "a number that is not negative")
    return result


def whole(record: dict, column: str) -> int:
    """A whole number that is not negative."""
    result = number(record, column)
    if not result.is_integer() or result > MAX_COUNTS:
        raise unexpected(column, record[column], "a whole number")
    return int(result)


def array(value: object, column: str) -> np.ndarray:
    """Nested lists of numbers as float64; whether they fit is for the caller."""
    result = np.array(None)
    with warnings.catch_warnings(), suppress(TypeError, ValueError, OverflowError):
        warnings.simplefilter("ignore")
        result = np.array(value)
    if result.dtype.kind not in "iuf":
        raise RowError(f"column {column}: expected numbers in lists of equal length; correct it")
    return result.astype(np.float64)
