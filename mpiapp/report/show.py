"""`mpiapp show`: the photometry of a results file as text, alone or beside published values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from ..catalog.bundle import InputError
from ..files.results import Results
from ..photometry.outcome import Flag, Outcome
from .text import lay_out, number, text

KEY = ("level", "target", "component", "band", "aperture", "quantity")


def photometry_table(results: Results, level: str | None = None) -> str:
    """Every row of /photometry, sorted by key; only one level if it is given."""
    rows = results.table("photometry")
    return _photometry(rows[rows["level"] == level.encode()] if level else rows)


def _photometry(rows: np.ndarray) -> str:
    rows = rows[np.argsort(rows[list(KEY)], order=KEY)]
    table = Table({name: [text(v) for v in rows[name]] for name in KEY})
    for name in ("value", "lolim", "hilim", "mode"):
        table[name] = [number(v) for v in rows[name]]
    table["unit"] = [text(v) for v in rows["unit"]]
    table["outcome"] = [Outcome(o).text for o in rows["outcome"]]
    table["flags"] = [Flag(int(f)).text for f in rows["flags"]]
    table["rhat"] = [f"{v:.3f}" for v in rows["rhat"]]
    table["ess"] = [f"{v:.0f}" for v in rows["ess"]]
    return lay_out(table)


def failures_table(results: Results) -> str:
    """What failed, and why, with tracebacks where there are any."""
    rows = results.table("failures")
    if not len(rows):
        return f"{results.path}: nothing failed"
    lines = []
    for row in rows:
        lines.append(f"{row['where']}: {row['type']}: {row['message']}")
        lines += ["    " + line for line in row["traceback"].splitlines()]
    return "\n".join(lines)


def read_published(path: str | Path) -> Table:
    """A table of published values: the key columns, value, lolim and hilim.

    Raises
    ------
    InputError
        If the table cannot be read or lacks a column.
    """
    try:
        table = Table.read(path)
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from error
    if missing := [n for n in (*KEY, "value", "lolim", "hilim") if n not in table.colnames]:
        raise InputError(f"{path}: column {missing[0]} is missing")
    return table


def match_published(results: Results, path: str | Path) -> Table:
    """Rows of /photometry that a published table also has, with both values.

    `distance` is |value - published| in published half-widths (Eq. 9), or for
    upper limits on both sides |hilim - published hilim| in the same unit (Eq. 10);
    `width_ratio` compares the intervals, `alike` the decision on upper limits.
    """
    published = read_published(path)
    theirs = {tuple(str(row[name]) for name in KEY): row for row in published}
    found = []
    for row in results.table("photometry"):
        key = tuple(text(row[name]) for name in KEY)
        other = theirs.get(key)
        if other is None or Outcome(row["outcome"]).is_null:
            continue
        width = other["hilim"] - other["lolim"]
        limits = (other["value"] == 0, row["outcome"] == Outcome.UPPER_LIMIT)
        ours_at, theirs_at = ("hilim", "hilim") if all(limits) else ("value", "value")
        found.append(
            (
                *key, other["value"], other["lolim"], other["hilim"],
                row["value"], row["lolim"], row["hilim"],
                2 * abs(row[ours_at] - other[theirs_at]) / width,
                (row["hilim"] - row["lolim"]) / width, limits[0] == limits[1], all(limits),
            )
        )  # fmt: skip
    names = (
        *KEY, "published", "published_lolim", "published_hilim", "value", "lolim", "hilim",
        "distance", "width_ratio", "alike", "is_upper_limit",
    )  # fmt: skip
    if not found:
        raise InputError(f"{path}: no row of {results.path} has a published value there")
    return Table(rows=sorted(found), names=names)


def published_table(results: Results, path: str | Path) -> str:
    """Published and recomputed values side by side, and how well they agree."""
    t = match_published(results, path)

    def interval(value, lolim, hilim) -> str:
        if value == 0:
            return f"< {number(hilim)}"
        return f"{number(value)} ({number(lolim)}, {number(hilim)})"

    table = Table({name: list(t[name]) for name in ("target", "band", "quantity")})
    table["published"] = [
        interval(*row) for row in t["published", "published_lolim", "published_hilim"].iterrows()
    ]
    table["recomputed"] = [interval(*row) for row in t["value", "lolim", "hilim"].iterrows()]
    table["distance"] = [f"{v:.3f}" for v in t["distance"]]
    table["width ratio"] = [f"{v:.3f}" for v in t["width_ratio"]]
    measured = ~np.array(t["is_upper_limit"])
    summary = (
        f"{len(t)} rows; |value - published| in published half-widths: median "
        f"{np.median(t['distance'][measured]):.3f}, largest {np.max(t['distance'][measured]):.3f}; "
        f"interval width / published: median {np.median(t['width_ratio'][measured]):.3f}; upper "
        f"limits decided alike: {np.sum(t['alike'])} of {len(t)}"
    )
    return f"{lay_out(table)}\n{summary}"
