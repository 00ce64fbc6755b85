"""Draws hardness.png and variability.png, the pictures of docs/hardness.md and docs/variability.md.

python docs/figures/products.py
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests")]

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from gammas import Gamma  # noqa: E402

from mpiapp.products.hardness import (  # noqa: E402
    POINTS,
    density_of_w,
    hardness_at,
    hardness_ratios,
    per_hardness,
)
from mpiapp.products.tables import moments_of, smoothed_table  # noqa: E402
from mpiapp.products.variability import chances, flux_constancy  # noqa: E402

PAIRS = {"12 and 5 counts": (13, 6), "40 and 60": (41, 61), "0 and 8": (1, 9), "4 and 0": (5, 1)}
SOURCES = {"30, 34, 27, 31 counts": (30, 34, 27, 31), "30, 0, 2, 14 counts": (30, 0, 2, 14)}


def hardness(path):
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for i, (name, shapes) in enumerate(PAIRS.items()):
        tables, scaled, means = [], [], []
        for shape in shapes:
            low, high, table = Gamma(shape, 1.0).table()
            if shape > 1:  # an upper limit is an exponential, and nothing smoothes it
                out = np.empty(len(table))
                low, high = smoothed_table(low, high, table, 1.0, out)
                table = out
            tables.append((low, high, table.astype(float)))
            means.append(moments_of(*tables[-1])[1])
            scaled += [low / means[-1], high / means[-1], tables[-1][2]]
        columns = [np.array([value]) for table in tables for value in table]
        mode, low, high = hardness_ratios(*columns, 0.68)[0]
        density = np.empty(POINTS)
        w = np.linspace(*density_of_w(*scaled, density), POINTS)
        h = hardness_at(w, *means)
        density *= per_hardness(w, *means) / (density.sum() * (w[1] - w[0]))
        (line,) = axes.plot(h, density, label=name)
        height = -0.12 * (i + 1)
        axes.plot([low, high], [height, height], color=line.get_color(), lw=2)
        axes.plot(mode, height, "o", color=line.get_color())
    axes.axhline(0, color="0.8", lw=0.8)
    axes.set(xlabel="hardness ratio $H$", ylabel="density", xlim=(-1.02, 1.02))
    axes.legend(title="harder and softer band", frameon=False, fontsize=8, title_fontsize=8)
    figure.savefig(path, dpi=130)


def variability(path):
    figure, panels = plt.subplots(1, 2, figsize=(7.6, 3.2), layout="constrained", sharey=True)
    for axes, (name, counts) in zip(panels, SOURCES.items()):
        tables = [Gamma(c + 1, 1.0).table() for c in counts]
        for low, high, density in tables:
            axes.plot(np.linspace(low, high, len(density)), density / density.max())
        low, high, density = (np.array(column, dtype=float) for column in zip(*tables))
        mean = np.array(counts) + 1.0
        found = flux_constancy(low, high, density, mean, np.sqrt(mean), np.array([0, len(counts)]))
        chance = chances(found)[0]
        index = min(8, int(-np.log10(chance)))
        about = f"$D$ = {found[0, 0]:.1f}, $Q$ = {chance:.2g}, index {index}"
        axes.set_title(f"{name}\n{about}", fontsize=9)
        axes.set(xlabel="flux (counts per exposure)", xlim=(0, 60))
    panels[0].set_ylabel(r"$p_j(s)$ / max $p_j$")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    hardness(HERE / "hardness.png")
    variability(HERE / "variability.png")
