"""`mpiapp measure`: a table of counts with its photometry, and how its rows ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from astropy.table import MaskedColumn, Table

from .. import __version__
from ..catalog.outcome import Outcome, outcome_text, unplanned
from ..catalog.quantities import QUANTITIES
from ..files.aperture_counts import Counts
from .columns import BASIC, EXTRAS, Field, plain_column

# Of the results' names where the table has a column that differs from one in capitals at most.
PREFIX = "mpiapp_"


def measured_table(
    counts: Counts,
    quantities: Sequence[str],
    found: np.ndarray,
    prefix: str,
    more: Sequence[Field] = (),
) -> Table:
    """The columns of the user as they were, and beside them those of the results.

    found : (n, n_quantities), as of `tables.measure_counts`; more : fields beside those of all

    What is no number is masked; descriptions, units and UCDs are set.
    """
    given = counts.source.table
    out = Table(given[counts.rows] if counts.layout.is_wide else given, masked=True, copy=False)
    for name in [name for name in out.colnames if out[name].dtype.kind == "O"]:
        # Of JSON lines: lists, or numbers beside text.
        text = ["" if cell is None else str(cell) for cell in out[name].tolist()]
        out[name] = MaskedColumn(text, mask=np.ma.getmaskarray(out[name]))
    for column in out.itercols():
        column.meta = {"ucd": column.meta.get("ucd")}
    for name in ("band", "aperture"):
        if counts.layout.is_wide and name in counts.names and name not in out.colnames:
            out[name] = MaskedColumn(counts.names[name], meta={"ucd": None})
    for k, quantity in enumerate(quantities):
        for field in (*BASIC, *(EXTRAS[name] for name in ("mode", "mean", "rms")), *more):
            what = plain_column(QUANTITIES[quantity], field)
            values = found[field.source][:, k]
            out[prefix + what.name] = MaskedColumn(
                np.ma.masked_invalid(values) if values.dtype.kind == "f" else values,
                unit=what.unit or None,
                description=what.description,
                meta={"ucd": what.ucd},
            )
        codes, which = np.unique(found["outcome"][:, k], return_inverse=True)
        words = np.array([outcome_text(code) for code in codes.tolist()], dtype=str)
        out[f"{prefix}{QUANTITIES[quantity].column}_outcome_text"] = MaskedColumn(
            words[which.reshape(-1)],
            description=f"outcome in words: {QUANTITIES[quantity].description}",
            meta={"ucd": "meta.note"},
        )
    out.meta = {"creator": f"mpiapp {__version__}"}
    return out


def tally(counts: Counts, quantities: Sequence[str], found: np.ndarray) -> str:
    """How many rows were measured, are limits or NULL, and why; by quantity where they differ."""
    said: dict[str, list[str]] = {}
    for k, quantity in enumerate(quantities):
        said.setdefault(_tally_of(counts, quantity, found["outcome"][:, k]), []).append(
            QUANTITIES[quantity].column
        )
    parts = [f"{', '.join(who)}: {how}" for how, who in said.items()] if len(said) > 1 else said
    return f"{len(counts)} rows: {'; '.join(parts)}"


def _tally_of(counts: Counts, quantity: str, outcomes: np.ndarray) -> str:
    is_limit = outcomes == Outcome.UPPER_LIMIT
    is_null = (outcomes != Outcome.MEASURED) & ~is_limit
    why: dict[str, list[str]] = {}
    lacking, own = counts.lacks(quantity), QUANTITIES[quantity]
    for pair in np.flatnonzero(is_null).tolist():
        if error := counts.problems.get(pair):
            kind, reason = error.kind, str(error).removeprefix("column ")
        elif lacking[pair]:
            kind = reason = f"no {counts.called(own.conversion or own.exposure_column)}"
        else:
            kind = reason = outcome_text(int(outcomes[pair]))
        why.setdefault(kind, []).append(reason)
    counted = sorted(why.values(), key=len, reverse=True)
    reasons = "; ".join(f"{len(reasons)}: {reasons[0]}" for reasons in counted)
    n_null = int(is_null.sum())
    return (
        f"{len(outcomes) - n_null - int(is_limit.sum())} measured, {int(is_limit.sum())} limits, "
        f"{n_null} NULL{f' ({reasons})' if reasons else ''}"
    )


def n_failed(counts: Counts, quantities: Sequence[str], found: np.ndarray) -> int:
    """How many rows did not end by the memo's rules, for another reason than a missing exposure."""
    failed = unplanned(found["outcome"])
    for k, quantity in enumerate(quantities):
        failed[counts.lacks(quantity), k] = False
    return len(set(counts.problems) | set(np.flatnonzero(failed.any(axis=1)).tolist()))
