"""`mpiapp compare`: how well two sets of photometry agree, laid out as the memo's Table 3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from ..catalog.bundle import InputError
from ..catalog.outcome import Flag, Outcome, outcome_text
from ..catalog.quantities import QUANTITIES
from ..files.replacing import replacing
from ..files.schema import PHOTOMETRY_DTYPE
from .groups import groups
from .matching import Side, distance, pairs
from .references import KEY
from .text import lay_out, number, text

GROUPINGS = ("level", "quantity", "band", "aperture")
TABLE_SUFFIXES = (".txt", ".ecsv", ".tex")
DEFAULT_WORST = 10
# Pairs of values kept for the figures; the statistics use every row.
PAIRS_KEPT = 20_000

_COMPARED = ("value", "lolim", "hilim", "outcome", "flags")
BESIDE_DTYPE = np.dtype(
    [(name, PHOTOMETRY_DTYPE[name]) for name in (*KEY, *_COMPARED)]
    + [(f"reference_{name}", PHOTOMETRY_DTYPE[name]) for name in (*_COMPARED, "ess")]
    + [("f", "f8")]
)


@dataclass
class Comparison:
    """One set of photometry beside a reference.

    Attributes
    ----------
    sample : str
    f : dict of group to (n,) float32
        The distances of Eqs. 9 and 10; a group is (level, quantity, band, aperture).
    n_total, n_success, n_reference : by group
        Rows that both sides have; those with a result; those the reference has a result for.
    n_unmatched, n_reference_unmatched : int
        Rows that only one side has.
    worst, pairs : array of BESIDE_DTYPE
        Both sides of the rows with the largest f, largest first, and of a random choice of
        PAIRS_KEPT rows; `value` is the unforced mode on this side.
    """

    sample: str
    f: dict[tuple, np.ndarray] = field(default_factory=dict)
    n_total: Counter[tuple] = field(default_factory=Counter)
    n_success: Counter[tuple] = field(default_factory=Counter)
    n_reference: Counter[tuple] = field(default_factory=Counter)
    n_unmatched: int = 0
    n_reference_unmatched: int = 0
    worst: np.ndarray = field(default_factory=lambda: np.zeros(0, BESIDE_DTYPE))
    pairs: np.ndarray = field(default_factory=lambda: np.zeros(0, BESIDE_DTYPE))


def compare(
    side: Side, reference: Side, sample: str | None = None, n_worst: int = DEFAULT_WORST
) -> Comparison:
    """Hold `side` against `reference`, row by row.

    Memory is four bytes a row for the distances, beside the rows of the
    reference that matching keeps.

    Raises
    ------
    InputError
        If no row of one is in the other.
    """
    found = Comparison(side.path.stem if sample is None else sample)
    parts: dict[tuple, list[np.ndarray]] = {}
    rng = np.random.default_rng(0)
    lottery = np.zeros(0)
    n_found = 0
    for rows, theirs, n_unmatched in pairs(side, reference):
        found.n_unmatched += n_unmatched
        n_found += len(rows)
        f = distance(rows, theirs)
        for group, chosen in groups(rows, GROUPINGS):
            kept = f[chosen]
            parts.setdefault(group, []).append(kept[np.isfinite(kept)].astype(np.float32))
            found.n_total[group] += len(kept)
            found.n_success[group] += _n_results(rows["outcome"][chosen])
            found.n_reference[group] += _n_results(theirs["outcome"][chosen])
        usable = np.flatnonzero(np.isfinite(f))
        top = usable[np.argsort(-f[usable], kind="stable")[:n_worst]]
        worst = np.concatenate([found.worst, _beside(rows, theirs, f, top)])
        found.worst = worst[np.argsort(-worst["f"], kind="stable")[:n_worst]]
        # Each row draws a number; the rows with the smallest ones stay.
        tickets = rng.random(len(usable))
        hopeful = tickets < (lottery[-1] if len(lottery) == PAIRS_KEPT else 1.0)
        lottery = np.concatenate([lottery, tickets[hopeful]])
        drawn = _beside(rows, theirs, f, usable[hopeful])
        found.pairs = np.concatenate([found.pairs, drawn])
        stay = np.argsort(lottery, kind="stable")[:PAIRS_KEPT]
        lottery, found.pairs = lottery[stay], found.pairs[stay]
    if not n_found:
        raise InputError(f"{side.path}: no row of it is in {reference.path}: nothing to compare")
    found.n_reference_unmatched = reference.n_rows - n_found
    found.f = {group: np.concatenate(chunks) for group, chunks in parts.items()}
    return found


def _n_results(outcomes: np.ndarray) -> int:
    return int((outcomes < Outcome.NULL_PEGGED).sum())


def _beside(rows: np.ndarray, theirs: np.ndarray, f: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Some rows as BESIDE_DTYPE."""
    new = np.zeros(len(chosen), BESIDE_DTYPE)
    rows, theirs = rows[chosen], theirs[chosen]
    for name in (*KEY, *_COMPARED):
        new[name] = rows["mode" if name == "value" else name]
    for name in (*_COMPARED, "ess"):
        new[f"reference_{name}"] = theirs[name]
    new["f"] = f[chosen]
    return new


def table_3(comparisons: Sequence[Comparison], by: Sequence[str] = GROUPINGS[:3]) -> Table:
    """The memo's Table 3: a row per sample and group, with the statistics of f.

    `by` names what tells groups apart; what it leaves out is pooled, and the
    bands and apertures that a row pools are listed in it.
    """
    if unknown := set(by) - set(GROUPINGS):
        raise InputError(
            f"cannot group by {unknown.pop()!r}: expected some of {', '.join(GROUPINGS)}"
        )
    tables = [_rows_of(c, by) for c in comparisons]
    table = vstack(tables, metadata_conflicts="silent")
    table.meta["comments"] = ["f: distance in half-widths of the reference (memo, Eqs. 9 and 10)"]
    return table


def _rows_of(c: Comparison, by: Sequence[str]) -> Table:
    pooled: dict[tuple, list[tuple]] = {}
    for group in c.f:
        key = tuple(v for name, v in zip(GROUPINGS, group) if name in by)
        pooled.setdefault(key, []).append(group)
    rows = []
    for together in pooled.values():
        levels, quantities, bands, apertures = (sorted(set(v)) for v in zip(*together))
        f = np.concatenate([c.f[g] for g in together]).astype(float)
        has = len(f) > 0
        rows.append(
            (
                c.sample,
                ", ".join(levels),
                ", ".join(q for q in QUANTITIES if q in quantities),
                ",".join(bands),
                ", ".join(apertures),
                sum(c.n_success[g] for g in together),
                sum(c.n_total[g] for g in together),
                sum(c.n_reference[g] for g in together),
                len(f),
                f.mean() if has else np.nan,
                np.median(f) if has else np.nan,
                np.percentile(f, 99) if has else np.nan,
                100 * np.mean(f <= 1) if has else np.nan,
            )
        )
    names = (
        "sample", "level", "quantity", "band", "aperture", "n_success", "n_total", "n_reference",
        "n_f", "f_mean", "f_median", "f_99", "percent_f_below_1",
    )  # fmt: skip
    rows.sort(key=lambda row: row[:5])
    return Table(rows=rows, names=names)


def formatted(table: Table) -> Table:
    """Table 3 for people: the memo's columns, rounded as far as they mean something."""
    shown = Table()
    shown["Sample"] = table["sample"]
    shown["Level"] = table["level"]
    shown["Quantity"] = table["quantity"]
    shown["Energy Band"] = table["band"]
    if len(set(table["aperture"])) > 1:
        shown["Aperture"] = table["aperture"]
    shown["N_success/N_total"] = [f"{a}/{b}" for a, b in table["n_success", "n_total"].iterrows()]
    shown["Reference"] = [f"{a}/{b}" for a, b in table["n_reference", "n_total"].iterrows()]
    for name, title in (("f_mean", "f mean"), ("f_median", "f median"), ("f_99", "f 99 %")):
        shown[title] = ["N/A" if np.isnan(v) else f"{v:.3g}" for v in table[name]]
    shown["% f <= 1"] = ["N/A" if np.isnan(v) else f"{v:.1f}%" for v in table["percent_f_below_1"]]
    return shown


def worst_table(comparisons: Sequence[Comparison], above: float = 0.0) -> Table:
    """The worst offenders by name, those with f beyond `above`."""
    rows = []
    for c in comparisons:
        for w in c.worst[c.worst["f"] > above]:
            rows.append(
                (
                    c.sample, *(text(w[name]) for name in KEY), f"{w['f']:.3g}",
                    number(w["value"]), number(w["hilim"]), _said(w["outcome"], w["flags"]),
                    number(w["reference_value"]), number(w["reference_hilim"]),
                    _said(w["reference_outcome"], w["reference_flags"], w["reference_ess"]),
                )
            )  # fmt: skip
    names = (
        "sample", *KEY, "f", "mode", "hilim", "outcome", "reference", "reference hilim",
        "reference outcome",
    )  # fmt: skip
    if not rows:
        return Table(names=names, dtype=["U1"] * len(names))
    return Table(rows=rows, names=names)


def _said(outcome: int, flags: int, ess: float = np.nan) -> str:
    parts = [outcome_text(outcome)]
    if flags & ~Flag.BEST_BLOCK:
        parts.append(Flag(int(flags)).text)
    if np.isfinite(ess):
        parts.append(f"ESS {ess:.0f}")
    return ", ".join(parts)


def summary(c: Comparison) -> str:
    """One line about rows that only one side has; empty if there are none."""
    parts = []
    if c.n_unmatched:
        parts.append(f"{c.n_unmatched} rows are not in the reference")
    if c.n_reference_unmatched:
        parts.append(f"{c.n_reference_unmatched} rows of the reference are not here")
    return f"{c.sample}: {'; '.join(parts)}" if parts else ""


def report(
    comparisons: Sequence[Comparison],
    by: Sequence[str] = GROUPINGS[:3],
    n_worst: int = DEFAULT_WORST,
) -> str:
    """Table 3 and the worst offenders as text."""
    parts = [lay_out(formatted(table_3(comparisons, by)))]
    if n_worst:
        parts.append(f"Largest f\n{lay_out(worst_table(comparisons))}")
    parts += [line for c in comparisons if (line := summary(c))]
    return "\n\n".join(parts)


def write_table(table: Table, path: str | Path) -> None:
    """Write Table 3 in the form that the suffix names: .txt, .ecsv (all digits) or .tex.

    Raises InputError for another suffix.
    """
    path = Path(path)
    if path.suffix not in TABLE_SUFFIXES:
        raise InputError(
            f"{path}: unknown kind of table; give it one of the suffixes "
            f"{', '.join(TABLE_SUFFIXES)}"
        )
    with replacing(path) as new:
        if path.suffix == ".txt":
            new.write_text(lay_out(formatted(table)) + "\n")
        elif path.suffix == ".ecsv":
            table.write(new, format="ascii.ecsv")
        else:
            _latex(table).write(new, format="ascii.latex")


def _latex(table: Table) -> Table:
    """Table 3 with the texts of LaTeX."""
    latex = formatted(table)
    for name in latex.colnames:
        latex[name] = [str(v).replace("%", r"\%").replace("_", r"\_") for v in latex[name]]
    titles = {
        "N_success/N_total": r"$N_\mathrm{success}/N_\mathrm{total}$",
        "f mean": r"$\bar{f}$",
        "f median": r"$f_\mathrm{median}$",
        "f 99 %": r"$f_{99}$",
        "% f <= 1": r"\% with $f \leq 1.0$",
    }
    for old, new in titles.items():
        latex.rename_column(old, new)
    return latex
