"""Tables of text: CSV and its kin, from a spreadsheet, a program or a catalog service.

The head tells what separates the fields (tab, semicolon, comma, bar or blanks).  Lines that begin
with # are comments, unless they describe columns, as those of csccli (`#Column name (format)
description (table.column) [unit] [ucd]`) and of ECSV do, or are the only place of the names.
Below the names may be units, and a line of dashes, as VizieR writes them.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from astropy.table import Column, MaskedColumn, Table
from astropy.table.meta import get_header_from_yaml
from astropy.units import Unit

from ..catalog.fault import InputError
from .column_units import split_unit
from .fields import RowError
from .source_info import as_array

# How tables write that there is no value.
MISSING = frozenset({"", "nan", "null", "n/a", "na", "--", "none", "indef"})
# Where two are equally frequent the first one counts: blanks or tabs after commas are padding.
_SEPARATORS = ";,\t|"
# Digits that leading zeros make a name, and spellings that only Python takes for a number.
_NO_NUMBERS = re.compile(r"^0\d+$|_", re.MULTILINE)
_WHOLE = re.compile(r"(-?\d+\n)*-?\d+")
_DASHES = re.compile(r":?-+:?")
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


class TextTable(NamedTuple):
    """The rows of a text, and the numbers of their lines.

    `spoiled` has the rows that are none, which have no value in any column.
    """

    table: Table
    lines: np.ndarray
    spoiled: dict[int, RowError]
    notes: list[str]


def read_text(path: str, data: bytes) -> TextTable:
    """The table in a text; columns are whole numbers, numbers or text.

    Raises InputError if it is none.
    """
    text, notes = _decoded(path, data)
    lines = io.StringIO(text, newline=None).read().split("\n")
    n_above = next((i for i, line in enumerate(lines) if line.strip()[:1] not in ("", "#")), None)
    if n_above is None:
        raise InputError(f"{path}: no line with names and values in it; check that it is a table")
    comments = [line.strip() for line in lines[:n_above] if line.strip()]
    head = re.sub('"[^"]*"', "", lines[n_above])
    separator = max(_SEPARATORS, key=head.count)
    separator = separator if separator in head else " "
    body = [line.strip() for line in lines[n_above:]] if separator == " " else lines[n_above:]
    reader = csv.reader(
        io.StringIO("\n".join(body), newline=""),
        delimiter=separator,
        skipinitialspace=separator != "\t",
    )
    rows, numbers, spoiled = [], [], {}
    try:
        names = [name.strip() for name in next(reader)]
        if above := _names_above(comments, separator, names):
            rows.append(names)
            numbers.append(n_above + 1)
            names = above
        n_named = max((i for i, name in enumerate(names, 1) if name), default=0)
        for fields in reader:
            fields = [field.strip() for field in fields]
            while len(fields) > len(names) and not fields[-1]:
                fields.pop()
            is_comment = fields and fields[0].startswith("#") and len(fields) != len(names)
            if is_comment or not any(fields):
                continue
            if not n_named <= len(fields) <= len(names):
                said = f"{len(fields)} fields where the head has {n_named}"
                spoiled[len(rows)] = RowError(f"{said}; correct it", "another number of fields")
                fields = []
            rows.append(fields + [""] * (len(names) - len(fields)))
            numbers.append(n_above + reader.line_num)
    except csv.Error as error:
        line = n_above + reader.line_num
        raise InputError(f"{path}, line {line}: not a table of text ({error})") from error
    units, n_below = _units_below(rows)
    rows, numbers = rows[n_below:], numbers[n_below:]
    spoiled = {i - n_below: said for i, said in spoiled.items() if i >= n_below}
    table = _table(names, rows, units, _described(comments), separator != ",")
    return TextTable(table, np.array(numbers, dtype=int), spoiled, notes)


def _table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    units: Sequence[str],
    described: dict[str, dict[str, str]],
    decimal_comma: bool,
) -> Table:
    """The columns of the fields; `meta["repeated"]` has the names that come again."""
    table = Table(masked=True)
    taken: dict[str, int] = {}
    for i, name in enumerate(names):
        cells = [row[i] for row in rows]
        if not name and not any(cells):
            continue
        name, unit = split_unit(name) if name else (f"col{i + 1}", "")
        column = typed(cells, decimal_comma)
        about = described.get(name, {})
        unit = about.get("unit") or unit or (units[i] if units else None) or None
        column.unit, column.description = unit, about.get("about")
        column.meta.update({k: about[k] for k in ("ucd", "table") if about.get(k)})
        taken[name] = taken.get(name, 0) + 1
        table[name if taken[name] == 1 else f"{name}_{taken[name]}"] = column
    table.meta["repeated"] = [name for name, n in taken.items() if n > 1]
    return table


def _decoded(path: str, data: bytes) -> tuple[str, list[str]]:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace"), []
    if b"\0" in data:
        raise InputError(f"{path}: neither text nor a kind of table that is known; check the file")
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return data.decode("latin-1"), [f"line {line} is not UTF-8: taken as Latin-1"]


def _names_above(comments: Sequence[str], separator: str, first: Sequence[str]) -> list[str]:
    """The names in the comments, where the first line holds values; none otherwise."""
    told = [line.split("\t")[1] for line in comments if line.startswith("#Column\t")]
    if len(told) == len(first) and not set(told) & set(first):
        return told
    if not comments or 2 * sum(map(_is_number, first)) < len(first):
        return []
    names = next(csv.reader([comments[-1].lstrip("# \t")], delimiter=separator,
                            skipinitialspace=True), [])  # fmt: skip
    return [name.strip() for name in names] if len(names) == len(first) else []


def _units_below(rows: Sequence[Sequence[str]]) -> tuple[Sequence[str], int]:
    """(the units of the columns, how many rows below the names are no data)."""
    dashes = next((i for i, row in enumerate(rows[:2]) if all(map(_DASHES.fullmatch, row))), None)
    if dashes is not None:
        return (rows[0] if dashes else []), dashes + 1
    if len(rows) < 2 or not any(rows[0]) or any(map(_is_number, filter(None, rows[0]))):
        return [], 0
    if not any(map(_is_unit, filter(None, rows[0]))):
        return [], 0
    # words where all that follows is numbers, and nothing elsewhere
    below = list(zip(*rows[1:]))
    is_number = [all(_is_number(c) or c.lower() in MISSING for c in cells) for cells in below]
    is_units = all(number or not cell for cell, number in zip(rows[0], is_number))
    return (rows[0], 1) if is_units else ([], 0)


def _described(comments: Sequence[str]) -> dict[str, dict[str, str]]:
    """Unit, about and ucd of columns from comments, by name."""
    found = {}
    for line in comments:
        words = [word.strip() for word in line.split("\t")]
        if words[0] == "#Column" and len(words) >= 7:
            unit, ucd = (word.strip('[]"') for word in words[5:7])
            origin = words[4].strip("()").partition(".")[0]
            found[words[1]] = {"unit": unit, "about": words[3] or None, "ucd": ucd, "table": origin}
    if comments and comments[0].startswith("# %ECSV"):
        header = get_header_from_yaml([line[2:] for line in comments[1:]])
        for column in header["datatype"]:
            about = {"unit": str(column.get("unit", "")), "about": column.get("description")}
            found[column["name"]] = about | {"ucd": dict(column.get("meta", {})).get("ucd")}
    return found


def typed(cells: Sequence[str], decimal_comma: bool = False) -> Column:
    """The cells of a column as whole numbers or numbers, else as text; masked where missing.

    decimal_comma : whether 1,5 may be a number
    """
    if (numbers := _plain_numbers(cells)) is not None:
        return MaskedColumn(numbers, mask=np.isnan(numbers))
    first = next((cell for cell in cells if cell.lower() not in MISSING), "nan")
    if _is_number(first) or (decimal_comma and _COMMA_NUMBER.fullmatch(first)):
        mask = np.array([cell.lower() in MISSING for cell in cells], dtype=bool)
        there = [cell for cell, gone in zip(cells, mask) if not gone]
        values = as_array(there) if there else np.zeros(0)
        if decimal_comma and values.dtype.kind == "U":
            values = as_array([cell if "." in cell else cell.replace(",", ".") for cell in there])
        if values.dtype.kind in "if":
            column = np.zeros(len(cells), values.dtype)
            column[~mask] = values
            return MaskedColumn(column, mask=mask)
    text = np.array(cells, dtype=str)
    return MaskedColumn(text, mask=text == "")


def _plain_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """What nearly all columns of numbers are, without a look at each cell; None for others."""
    text = "\n".join(cells)
    if not cells or not text.isascii() or _NO_NUMBERS.search(text):
        return None
    with suppress(ValueError, OverflowError):
        return np.array(cells).astype(np.int64 if _WHOLE.fullmatch(text) else np.float64)
    return None


def _is_unit(text: str) -> bool:
    try:
        Unit(text)
    except ValueError:
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
