"""Rows of /photometry on request: chosen by what names them, printed or written as a table."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from fnmatch import translate
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from ..catalog.bundle import InputError
from ..catalog.names import natural
from ..catalog.outcome import Flag, Outcome, outcome_text
from ..catalog.quantities import APERTURES, QUANTITIES
from ..files.results import Results
from ..files.schema import PHOTOMETRY, PHOTOMETRY_DTYPE
from .references import KEY
from .text import lay_out, number, text

OUTCOMES = ("null", *(outcome.name.lower().replace("_", "-") for outcome in Outcome))
FLAGS = tuple(flag.name.lower().replace("_", "-") for flag in Flag)


class Filter(NamedTuple):
    """Conditions on rows of /photometry; None lets all of them pass.

    target : the target or the component, or some whole parts of them between
        slashes, in which * and ? stand for any text
    outcome, flag : one of OUTCOMES and FLAGS
    """

    target: str | None = None
    level: str | None = None
    band: str | None = None
    aperture: str | None = None
    quantity: str | None = None
    outcome: str | None = None
    flag: str | None = None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The rows of /photometry that pass the filter."""
        for name in ("level", "band", "aperture", "quantity"):
            if wanted := getattr(self, name):
                rows = rows[rows[name] == wanted.encode()]
        if self.outcome == "null":
            rows = rows[rows["outcome"] >= Outcome.NULL_PEGGED]
        elif self.outcome:
            rows = rows[rows["outcome"] == _member(Outcome, self.outcome)]
        if self.flag:
            rows = rows[(rows["flags"] & int(_member(Flag, self.flag))) != 0]
        if self.target:
            names, where = np.unique(rows[["target", "component"]], return_inverse=True)
            pattern = re.compile(translate(f"*/{self.target}/*"))
            paths = (f"/{t.decode()}/{c.decode()}/" for t, c in names.tolist())
            found = np.array([bool(pattern.match(path)) for path in paths], bool)
            rows = rows[found[where.reshape(-1)]]
        return rows


FILTERS = Filter._fields


def _check(what: str, value: str | None, expected: Collection[str]) -> None:
    if value is not None and value not in expected:
        raise InputError(f"{what} {value!r}: expected one of {', '.join(expected)}")


def _member(kind, name: str):
    return kind[name.upper().replace("-", "_")]


def chosen_rows(results: Results, wanted: Filter) -> Iterator[np.ndarray]:
    """The rows that pass a filter, some at a time, in the order of the file.

    Raises InputError if the filter asks for an outcome, a flag or another word that there is not.
    """
    _check("aperture", wanted.aperture, APERTURES)
    _check("quantity", wanted.quantity, tuple(QUANTITIES))
    _check("outcome", wanted.outcome, OUTCOMES)
    _check("flag", wanted.flag, FLAGS)
    for rows in results.chunks("photometry"):
        if len(rows := wanted(rows)):
            yield rows


def rows_table(results: Results, wanted: Filter, limit: int) -> str:
    """The rows that pass a filter, sorted by key, at most `limit` of them, and their number."""
    if limit < 0:
        raise InputError(f"limit {limit}: expected a number of rows")
    n, kept = 0, [np.zeros(0, PHOTOMETRY_DTYPE)]
    for rows in chosen_rows(results, wanted):
        if n < limit:
            kept.append(rows[: limit - n])
        n += len(rows)
    rows = np.concatenate(kept)
    if n <= limit:
        return f"{_laid_out(rows)}\n{n} rows" if n else f"{results.path}: no such rows"
    return (
        f"{_laid_out(rows)}\nthe first {limit} of {n} rows in the file; --out FILE writes all of "
        "them, --limit N shows more"
    )


def _laid_out(rows: np.ndarray) -> str:
    order = sorted(range(len(rows)), key=lambda i: [natural(text(rows[k][i])) for k in KEY])
    rows = rows[order]
    table = Table({name: [text(v) for v in rows[name]] for name in KEY})
    for name in ("value", "lolim", "hilim", "mode"):
        table[name] = [number(v) for v in rows[name]]
    table["unit"] = [text(v) for v in rows["unit"]]
    table["outcome"] = [outcome_text(o) for o in rows["outcome"]]
    table["flags"] = [Flag(int(f)).text for f in rows["flags"]]
    table["noise"] = [f"{v:.3f}" for v in rows["noise"]]
    drawn = rows["n_draws"] > 0
    table["rhat"] = [f"{v:.3f}" if d else "" for v, d in zip(rows["rhat"], drawn)]
    table["ess"] = [f"{v:.0f}" if d else "" for v, d in zip(rows["ess"], drawn)]
    return lay_out(table)


def photometry(results: Results, wanted: Filter) -> Table:
    """The rows that pass a filter, with the columns of /photometry, text as str, described.

    Raises InputError if there are none.
    """
    parts = list(chosen_rows(results, wanted))
    if not parts:
        raise InputError(f"{results.path}: no such rows")
    rows = np.concatenate(parts)
    table = Table(masked=True)
    for column in PHOTOMETRY:
        values = rows[column.name]
        if column.dtype == "u8":  # VOTable knows no unsigned integers
            values = values.view("i8")
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
        table[column.name] = np.ma.masked_invalid(values) if values.dtype.kind == "f" else values
        table[column.name].description = column.description
        table[column.name].meta["ucd"] = ""
    return table
