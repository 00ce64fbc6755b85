"""`mpiapp verify --catalog ROWS`: published rows of the catalog recomputed, and how they agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from ..catalog.fault import InputError
from ..catalog.problem import Problem
from ..catalog.quantities import BANDS, TABLE_1
from ..engines import ENGINES, require
from ..report.compare import Comparison, formatted, table_3, worst_table, write_table
from ..report.figures import comparison_figures, save
from ..report.text import lay_out
from . import studies
from .effective import Responses
from .real_catalog import (
    CLASSES,
    CNTS,
    Recomputed,
    as_comparison,
    class_of,
    distances,
    recompute,
)
from .real_limits import classes_table, grid_ends, limits, rules_table, third_class
from .real_products import (
    densities,
    hardness_table,
    master_fluxes,
    master_table,
    variability,
    variability_table,
)
from .real_rows import RealRows, read_rows
from .verify_report import markdown, pictures, write_markdown

_FROZEN = 500
Section = tuple[str, str, list[Table]]


def verify_catalog(
    path: str | Path,
    engines: Sequence[str] = ("exact",),
    folder: str | Path | None = None,
    size: int = 0,
    seed: int = 0,
) -> str:
    """Recompute published rows; returns the report as text.

    Parameters
    ----------
    path : path
        A table with the catalog's columns at level obsid: counts, and what was published of them.
    engines : sequence of str
        The last one is that of the figures.
    folder : path, optional
        Where `catalog.md`, its tables and figures are written.
    size : int
        How many rows, drawn at random; 0 for all.  Hardness, variability and master fluxes
        are of all rows.

    Raises InputError if the table has no such columns, or an engine is unknown; EngineMissing.
    """
    for engine in engines:
        if engine not in ENGINES:
            raise InputError(f"engine {engine}: not one of {', '.join(ENGINES)}")
        require(engine)
    rows = read_rows(path)
    responses = Responses(rows.counts)
    chosen = rows
    if size and size < len(rows.counts):
        chosen = drawn(rows, size, seed)
    own = responses if chosen is rows else Responses(chosen.counts)
    found: dict[str, Recomputed] = {}
    for engine in engines:
        found[engine] = recompute(chosen, own, engine, seed)
        found[f"{engine}, left out"] = recompute(chosen, own, engine, seed, left_out=True)
    comparisons = [as_comparison(chosen, numbers, name) for name, numbers in found.items()]
    whole = found.get("exact") if chosen is rows else None
    whole = whole or recompute(rows, responses, "exact")
    sections = [
        *_agreement(chosen, found, comparisons),
        *_limits(rows, responses, seed),
        *_products(rows, whole),
    ]
    title = f"{rows.path.name}: {len(rows.counts)} detections"
    if rows.ignored:
        title += f"; {rows.ignored} cells make no sense and are left out"
    if folder:
        _write(Path(folder), title, sections, comparisons, chosen, whole if size == 0 else None)
    return "\n\n".join([title, *(_as_text(*section) for section in sections)])


def drawn(rows: RealRows, size: int, seed: int) -> RealRows:
    """A random choice of rows."""
    n = len(rows.counts)
    some = np.sort(np.random.default_rng(seed).permutation(n)[:size])

    def of(field):
        if isinstance(field, dict):
            return {key: values[some] for key, values in field.items()}
        return field[some] if isinstance(field, np.ndarray) else field

    return RealRows(*map(of, rows))


def _agreement(rows, found: dict[str, Recomputed], comparisons: list[Comparison]):
    yield (
        "Table 3",
        "f: distance in published half-widths (Eqs. 9 and 10). Left out: f and r of a band from "
        "the other bands of its row. Exposures of photon and energy fluxes are fitted to the "
        "band's own numbers in both, so that their upper limits, one number each, have no f.",
        [formatted(table_3([c], by=("quantity",))) for c in comparisons]
        + [formatted(table_3([c], by=("quantity", "band"))) for c in comparisons],
    )
    yield (
        "Net counts by kind of result",
        "Alike: an upper limit on both sides, or on none. Width: of the bounds, ours ÷ published.",
        [vstack([_classes(rows, numbers, name) for name, numbers in found.items()])],
    )
    worst = worst_table(comparisons[:1], above=1.0)
    if len(worst):
        kept = [n for n in worst.colnames if n not in ("sample", "level", "component", "aperture")]
        yield "Largest f", "Above 1, ten at most.", [worst[kept]]


def _classes(rows: RealRows, found: Recomputed, name: str) -> Table:
    kinds, f = class_of(rows), distances(rows, found)
    ours, theirs = found.numbers[:, CNTS], rows.published[:, CNTS]
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = (ours[..., 4] == 1) == (theirs[..., 0] == 0)
        width = (ours[..., 2] - ours[..., 1]) / (theirs[..., 2] - theirs[..., 1])
    out = []
    groups = [*((kind, kinds == i) for i, kind in enumerate(CLASSES)), ("all", kinds >= 0)]
    for kind, mine in groups:
        mine = mine & np.isfinite(f)
        if mine.any():
            q = np.quantile(f[mine], (0.5, 0.99))
            low, middle, high = np.percentile(width[mine], (16, 50, 84))
            out.append((name, kind, int(mine.sum()), *(f"{v:.3f}" for v in q),
                        f"{np.mean(f[mine] <= 1):.2%}", f"{np.mean(alike[mine]):.1%}",
                        f"{middle:.3f} ({low:.3f}-{high:.3f})"))  # fmt: skip
    names = ("Sample", "Published", "N", "f median", "f 99 %", "f <= 1", "alike", "width ratio")
    return Table(rows=out or None, names=names)


def _limits(rows: RealRows, responses: Responses, seed: int) -> Iterator[Section]:
    found = limits(rows, responses, seed=seed)
    if found:
        yield (
            "Upper limits",
            "Limits by several rules ÷ published ones, median (16 to 84 %), with f and r from "
            "bands with values; C: counts in the source aperture. "
            f"{third_class(found)}{grid_ends(found)}",
            [rules_table(found), classes_table(found)],
        )


def _products(rows: RealRows, found: Recomputed) -> Iterator[Section]:
    kept = densities(rows, found)
    sections = (
        (
            "Hardness ratios",
            "Distance of the modes in published half-widths, by how many of the two fluxes are "
            "limits.",
            hardness_table(rows, kept),
        ),
        (
            "Variability between observations",
            "Ours ÷ published sigma, ours - published probability, and the index; 3 is next to 0.",
            variability_table(variability(rows, kept)),
        ),
        (
            "Master sources",
            "f of the energy flux in band b of sources that do not vary, from the counts of all "
            "their observations; nothing is fitted to the master's numbers.",
            master_table(master_fluxes(rows, found)),
        ),
    )
    for title, said, table in sections:
        if len(table):
            yield title, said, [table]
    flux = rows.published[:, list(TABLE_1).index("photflux"), list(BANDS).index("b")]
    with np.errstate(invalid="ignore", divide="ignore"):
        significance = 2 * flux[:, 0] / (flux[:, 2] - flux[:, 1])
        off = np.abs(significance - rows.significance)[np.isfinite(rows.significance)]
    off = off[np.isfinite(off)]
    if len(off):
        said = f"{len(off)} published ones differ from photon flux / half-width by "
        said += f"{np.median(off):.4f} in the median, {np.quantile(off, 0.99):.3f} at 99 %."
        yield "Significance", said, []


def _as_text(title: str, said: str, tables: list[Table]) -> str:
    return "\n\n".join([f"{title}\n{said}", *(lay_out(table) for table in tables)])


def _write(
    folder: Path,
    title: str,
    sections: list[Section],
    comparisons: list[Comparison],
    rows: RealRows,
    whole: Recomputed | None,
) -> None:
    parts = ["# Real rows of the catalog", f"Made by `mpiapp verify --catalog`: {title}."]
    for name, said, tables in sections:
        parts += [f"## {name}", said, *map(markdown, tables)]
    for c in comparisons:
        suffix = c.sample.replace(", ", "_").replace(" ", "_")
        write_table(table_3([c]), folder / "tables" / f"catalog_{suffix}.ecsv")
    figures = comparison_figures(
        comparisons[-2], folder / "figures" / "catalog", (comparisons[-2].sample, "published")
    )
    if whole is not None and (study := frozen_limits(rows, whole)):
        parts += ["## Frozen backgrounds (Figure 5)", study.text]
        figures.append(save(study.figure, folder / "figures" / "catalog" / "figure5.png"))
    write_markdown(folder / "catalog.md", [*parts, *pictures(figures, folder)])


def frozen_limits(rows: RealRows, found: Recomputed) -> studies.Study | None:
    """The memo's Figure 5 from published upper limits of net counts; None if there are none."""
    limit = (class_of(rows) >= 2) & np.isfinite(found.numbers[:, CNTS, :, 0])
    cells = np.argwhere(limit)
    if not len(cells):
        return None
    cells = cells[np.random.default_rng(0).permutation(len(cells))[:_FROZEN]]
    problems = []
    for i, band in cells:
        f = found.exposure[i, CNTS, band]
        F = np.array([[f, found.ratios[i, band]], [0.0, 1.0]])
        wide = {"source": 1e6, "background": 1e6}
        problems.append(
            Problem.of(rows.counts[i, band].astype(np.int64), F, 1, "cnts", "ACIS", wide)
        )
    return studies.frozen_backgrounds(problems, "cnts")
