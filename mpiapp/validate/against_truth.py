"""`mpiapp compare RESULTS CATALOG`: results against the truth of a simulated catalog."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..catalog.bundle import InputError
from ..catalog.quantities import LEVELS, TABLE_1
from ..report.figures import BLACK, BLUE, GREY, legend, name_panel, panels, save, unit_of
from ..report.matching import Side, open_side
from ..report.text import lay_out
from .truth import BRIGHT, Pulls, pulls, pulls_row, truth_of

Found = dict[tuple[str, str], Pulls]
_NAMES = ("level", "quantity", "measured", "pull mean", "pull spread", "truth in 68 %", "limits",
          "truth below limit")  # fmt: skip


def catalog_of(reference: str | Path) -> Path | None:
    """The folder of a simulated catalog if `reference` is one or its truth.fits, else None."""
    folder = Path(reference)
    folder = folder if folder.is_dir() else folder.parent
    is_named = Path(reference) == folder or Path(reference).name == "truth.fits"
    return folder if is_named and (folder / "truth.fits").is_file() else None


def compare_truth(
    results: str | Path, catalog: Path, name: str | None = None, folder: str | Path | None = None
) -> str:
    """The text of `mpiapp compare` for a simulated catalog; figures go to `folder`."""
    with open_side(results) as side:
        found = against_truth(side, catalog)
    paths = truth_figures(found, name or side.path.stem, folder) if folder else []
    return "\n".join([truth_report(found), *map(str, paths)])


def against_truth(side: Side, catalog: Path) -> Found:
    """How the results lie about the truth, by level and quantity.

    Raises InputError if no result has a truth.
    """
    truths = {}
    parts: dict[tuple[str, str], list[Pulls]] = defaultdict(list)
    for rows in side.chunks():
        for level in LEVELS:
            of_level = rows[rows["level"] == level.encode()]
            if not len(of_level):
                continue
            if level not in truths:
                truths[level] = truth_of(catalog, level)
            for quantity, found in pulls(of_level, truths[level]).items():
                parts[level, quantity].append(found)
    if not parts:
        raise InputError(f"{side.path}: no row of it has a truth in {catalog}; is it of another?")
    order = [(level, quantity) for level in LEVELS for quantity in TABLE_1]
    return {key: Pulls(*map(np.concatenate, zip(*parts[key]))) for key in order if key in parts}


def truth_report(found: Found) -> str:
    """The pulls, intervals and limits as text."""
    rows = [(*key, *pulls_row(pulls)) for key, pulls in found.items()]
    return (
        f"{lay_out(Table(rows=rows, names=_NAMES))}\n"
        f"pull: (mode - truth) / rms of sources whose truth is more than {BRIGHT:g} times its "
        "scatter; a Gaussian's interval,\nwidened by the smoothing, holds 72.5 %; "
        "errors allow for the events that bands, apertures and neighbours share"
    )


def truth_figures(found: Found, name: str, folder: str | Path) -> list[Path]:
    """For each level a figure: pulls of every quantity as a histogram, and against the truth."""
    paths = []
    for level in dict.fromkeys(level for level, _ in found):
        mine = {q: p for (of, q), p in found.items() if of == level and len(p.pulls)}
        if not mine:
            continue
        figure, axes = panels(2, len(mine), height=2.2)
        for row, (quantity, one) in zip(axes, mine.items()):
            _draw_pulls(row[0], one.pulls)
            name_panel(row[0], TABLE_1[quantity].description)
            row[1].axhline(0, color=GREY, lw=0.8, zorder=0)
            row[1].plot(
                one.truth, one.pulls, "o", ms=2, color=BLUE, rasterized=len(one.pulls) > 500
            )
            row[1].set(
                xscale="log", xlabel=f"truth ({unit_of(quantity)})", ylabel="(mode - truth) / rms",
                xlim=(10 ** np.floor(np.log10(one.truth.min())),
                      10 ** np.ceil(np.log10(one.truth.max()))),
            )  # fmt: skip
            row[1].xaxis.set_minor_formatter("")
        figure.suptitle(f"{name}, level {level}", fontsize=9)
        paths.append(save(figure, Path(folder) / f"{name}_{level}_truth.png"))
    return paths


def _draw_pulls(axes, values: np.ndarray) -> None:
    """Histogram of pulls beside the normal distribution."""
    edges = np.linspace(-5, 5, 41)
    axes.hist(np.clip(values, -5, 5), edges, color=BLUE)
    x = np.linspace(-5, 5, 201)
    expected = len(values) * (edges[1] - edges[0]) * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    axes.plot(x, expected, color=BLACK, lw=1, label="normal distribution")
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])
    axes.set(xlabel="(mode - truth) / rms", ylabel="results")
    legend(axes)
