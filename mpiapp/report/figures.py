"""Figures of comparisons and studies, at page width, in colours that all eyes tell apart.

Needs matplotlib (extra `plot`), which is imported when a figure is drawn.
Every function that draws takes axes; every one that writes returns the paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np

from ..catalog.bundle import InputError
from ..catalog.quantities import QUANTITIES
from ..files.replacing import replacing
from .compare import Comparison
from .matching import signed_distance

PAGE_WIDTH = 6.5  # inches
# Okabe & Ito 2008, beginning with those of the highest contrast.
BLUE, ORANGE, GREEN, RED, BLACK, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#000000", "#888888",
)  # fmt: skip
_CYCLE = ", ".join(f"'{color}'" for color in (BLUE, ORANGE, GREEN, RED, BLACK, GREY))
_BARS = 300
STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', [{_CYCLE}])",
    "legend.frameon": False,
    "savefig.dpi": 150,
    # letters stay letters: journals embed fonts of type 42, and SVG can be searched
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "axes.formatter.useoffset": False,
    # texts depend on nothing but their words, so that a rerun gives the same file
    "svg.hashsalt": "mpiapp",
}


def panels(n_columns: int, n_rows: int = 1, height: float = 2.6):
    """A figure at page width and its axes, (n_rows, n_columns).

    Raises InputError if matplotlib is not installed.
    """
    with styled() as new_figure:
        figure = new_figure(figsize=(PAGE_WIDTH, height * n_rows), layout="constrained")
        return figure, figure.subplots(n_rows, n_columns, squeeze=False)


@contextmanager
def styled(**more) -> Iterator[type]:
    """matplotlib's `Figure`, to be filled within; `more` settings beside those of STYLE.

    Raises InputError if matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "figures need matplotlib, which is not installed: pip install 'mpiapp[plot]'"
        ) from None

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            """What notebooks show, which know figures of pyplot alone."""
            picture = BytesIO()
            self.savefig(picture, format="png")
            return picture.getvalue()

    with rc_context(STYLE | more):
        yield Shown


def save(figure, path: Path) -> Path:
    """Write a figure in the form that the suffix names."""
    from matplotlib import rc_context

    with rc_context(STYLE), replacing(path) as new:
        figure.savefig(new)
    return path


def name_panel(axes, text: str) -> None:
    """The title of one panel."""
    axes.set_title(text, fontsize=9, loc="left")


def legend(axes, loc: str = "upper left") -> None:
    """A legend that does not shout."""
    axes.legend(loc=loc, frameon=False, fontsize=7)


def unit_of(quantity: str) -> str:
    """The unit of a quantity as an axis label has it."""
    words = QUANTITIES[quantity].unit.split()
    return " ".join(p[:-2] + rf"$^{{{p[-2:]}}}$" if p[-1].isdigit() else p for p in words)


def draw_distances(axes, f: np.ndarray) -> None:
    """Histogram of log f, with its median and the line f = 1."""
    f = f[np.isfinite(f)]
    shown = np.clip(f, 1e-4, None)
    high = max(1.0, float(np.ceil(np.log10(shown.max()))))
    axes.hist(shown, bins=np.logspace(-4, high, int(8 * (high + 4)) + 1), color=BLUE)
    axes.axvline(np.median(f), color=ORANGE, lw=1.5, label=f"median {np.median(f):.2g}")
    axes.axvline(1.0, color=BLACK, lw=1, ls="--", label=r"$f = 1$")
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # room for the legend
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set(xscale="log", xlabel=r"distance $f$ (half-widths of the reference)", ylabel="runs")
    legend(axes)


def draw_values(axes, pairs: np.ndarray, quantity: str, names=("this", "reference")) -> None:
    """Value against value, a few with 68 % bounds; for limits of the reference, upper bounds."""
    p = pairs[pairs["quantity"] == quantity.encode()]
    limit = p["reference_value"] == 0
    v, lo, hi = (p[n][~limit] for n in ("value", "lolim", "hilim"))
    rv, rlo, rhi = (p[f"reference_{n}"][~limit] for n in ("value", "lolim", "hilim"))
    x, y = np.append(rv, p["reference_hilim"][limit]), np.append(v, p["hilim"][limit])
    low, high = (x[x > 0].min(), y[y > 0].min()), (x.max(), y.max())
    ends = [0.5 * min(low), 2 * max(high)]
    axes.plot(ends, ends, color=GREY, lw=0.8, zorder=0)

    def bars(value, lower, upper):
        # an upper limit on this side has its lower bound at zero, below any logarithmic axis
        return np.nan_to_num(np.abs([value - lower, upper - value]))

    if len(v) > _BARS:  # so many bars would hide all else
        axes.plot(rv, v, "o", ms=2, color=BLUE, label="values", rasterized=True)
    elif len(v):
        axes.errorbar(
            rv, v, xerr=bars(rv, rlo, rhi), yerr=bars(v, lo, hi), fmt="o", ms=2, lw=0.5,
            color=BLUE, label="values",
        )  # fmt: skip
    if limit.any():
        axes.plot(
            p["reference_hilim"][limit], p["hilim"][limit], "v", ms=3, color=ORANGE,
            label="upper limits",
        )  # fmt: skip
    far = p["f"] > 1
    axes.plot(
        np.where(limit, p["reference_hilim"], p["reference_value"])[far],
        np.where(limit, p["hilim"], p["value"])[far],
        "o", ms=6, mfc="none", mec=RED, label=r"$f > 1$" if far.any() else None,
    )  # fmt: skip
    unit = unit_of(quantity)
    axes.set(
        xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel=f"{names[1]} ({unit})",
        ylabel=f"{names[0]} ({unit})",
    )  # fmt: skip
    legend(axes)


def draw_diagonal(axes, x: np.ndarray, y: np.ndarray) -> None:
    """Positive numbers against each other on logarithmic axes, with the line of equality."""
    ends = [0.7 * min(x.min(), y.min()), 1.4 * max(x.max(), y.max())]
    axes.plot(ends, ends, color=GREY, lw=0.8, zorder=0)
    axes.plot(x, y, "o", ms=2, color=BLUE, rasterized=len(x) > 500)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)


def comparison_figures(
    found: Comparison, folder: str | Path, names: tuple[str, str] = ("this file", "reference")
) -> list[Path]:
    """For each quantity the distribution of f, and value against value (memo, Figure 2)."""
    paths = []
    for quantity in sorted({q.decode() for q in found.pairs["quantity"]}):
        f = np.concatenate([f for group, f in found.f.items() if group[1] == quantity])
        figure, axes = panels(2, height=3.0)
        draw_distances(axes[0, 0], f)
        draw_values(axes[0, 1], found.pairs, quantity, names)
        figure.suptitle(f"{found.sample}, {QUANTITIES[quantity].description}", fontsize=9)
        paths.append(save(figure, Path(folder) / f"{found.sample}_{quantity}.png"))
    return paths


def draw_differences(axes, pairs: np.ndarray) -> None:
    """Values less the reference's, in the reference's half-widths, against how many these are.

    The square of that number is that of the counts without background.  Upper limits are no number
    of half-widths.
    """
    pairs = pairs[pairs["reference_value"] > 0]
    axes.axhline(0, color=GREY, lw=0.8, zorder=0)
    axes.set(
        xscale="log", xlabel="(value / half-width)$^2$, about the counts",
        ylabel="difference (half-widths)",
    )  # fmt: skip
    name_panel(axes, f"{len(pairs)} values")
    if not len(pairs):
        return
    half = 0.5 * (pairs["reference_hilim"] - pairs["reference_lolim"])
    difference = _difference(pairs)
    axes.plot(
        (pairs["reference_value"] / half) ** 2, difference, "o", ms=2, color=BLUE,
        rasterized=len(pairs) > 500,
    )  # fmt: skip
    largest = max(0.01, float(np.abs(difference).max()))
    near = max(0.01, float(np.quantile(np.abs(difference), 0.9)))
    if largest > 20 * near:
        axes.set_yscale("symlog", linthresh=near)
    axes.set_ylim(-1.2 * largest, 1.2 * largest)


def draw_difference_histogram(axes, pairs: np.ndarray) -> None:
    """Histogram of the differences of `draw_differences`."""
    difference = _difference(pairs)
    end = max(0.01, 1.2 * float(np.quantile(np.abs(difference), 0.98)))
    axes.hist(np.clip(difference, -end, end), np.linspace(-end, end, 42), color=BLUE)
    axes.axvline(0, color=GREY, lw=0.8)
    median = float(np.median(difference))
    axes.axvline(median, color=ORANGE, lw=1.5, label=f"median {median:+.2g}")
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])
    axes.set(xlabel="difference (half-widths)", ylabel="runs")
    name_panel(axes, f"{len(pairs)} values and limits")
    legend(axes)


def _difference(pairs: np.ndarray) -> np.ndarray:
    """f with its sign: of values, or of the upper bounds where the reference is a limit."""
    theirs = (pairs[f"reference_{name}"] for name in ("value", "lolim", "hilim"))
    return signed_distance(pairs["value"], pairs["hilim"], *theirs)


def difference_figures(found: Comparison, folder: str | Path) -> list[Path]:
    """For each quantity a figure of differences against counts, and of how they are spread."""
    paths = []
    for quantity in sorted({q.decode() for q in found.pairs["quantity"]}):
        pairs = found.pairs[found.pairs["quantity"] == quantity.encode()]
        figure, axes = panels(2, height=3.0)
        draw_differences(axes[0, 0], pairs)
        draw_difference_histogram(axes[0, 1], pairs)
        figure.suptitle(f"{found.sample}, {QUANTITIES[quantity].description}", fontsize=9)
        paths.append(save(figure, Path(folder) / f"{found.sample}_{quantity}_differences.png"))
    return paths
