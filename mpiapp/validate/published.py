"""`mpiapp show --published`: photometry beside values that a catalog has published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table

from ..catalog.bundle import InputError
from ..catalog.outcome import Outcome
from ..files.results import Results
from ..report.matching import distance, open_side, pairs, results_side
from ..report.references import KEY
from ..report.text import lay_out, number, text


def match_published(results: Results, path: str | Path) -> Table:
    """Rows of /photometry that a published table also has, with both values.

    `distance` is the f of Eqs. 9 and 10, in published half-widths; `width_ratio`
    compares the intervals, `alike` the decision on upper limits.
    """
    with open_side(path) as published:
        found = [(rows, theirs) for rows, theirs, _ in pairs(results_side(results), published)]
    rows, theirs = map(np.concatenate, zip(*found))
    usable = np.isfinite(distance(rows, theirs))
    if not usable.any():
        raise InputError(f"{path}: no row of {results.path} has a published value there")
    rows, theirs = rows[usable], theirs[usable]
    table = Table({name: [text(v) for v in rows[name]] for name in KEY})
    for name in ("value", "lolim", "hilim"):
        table["published" if name == "value" else f"published_{name}"] = theirs[name]
        table[name] = rows[name]
    table["distance"] = distance(rows, theirs)
    table["width_ratio"] = (rows["hilim"] - rows["lolim"]) / (theirs["hilim"] - theirs["lolim"])
    limit = rows["outcome"] == Outcome.UPPER_LIMIT
    table["alike"] = limit == (theirs["value"] == 0)
    table["is_upper_limit"] = limit & table["alike"]
    table.sort(KEY)
    return table


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
