"""Draws hardness.png, variability.png and light_curve.png, of the pages of those names and time.md.

python docs/figures/products.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests")]

import numpy as np  # noqa: E402
from gammas import Gamma  # noqa: E402

from mpiapp.products._compiled import hardness_tables, smoothed  # noqa: E402
from mpiapp.products.hardness import hardness_ratios  # noqa: E402
from mpiapp.products.variability import chances, flux_constancy  # noqa: E402
from mpiapp.report.figures import BLACK, BLUE, GREEN, GREY, ORANGE, name_panel, panels, save  # noqa: E402

COLORS = (BLUE, ORANGE, GREEN, BLACK)

PAIRS = {"12 and 5 counts": (13, 6), "40 and 60": (41, 61), "0 and 8": (1, 9), "4 and 0": (5, 1)}
SOURCES = {"30, 34, 27, 31 counts": (30, 34, 27, 31), "30, 0, 2, 14 counts": (30, 0, 2, 14)}


# MJD and counts of the source; 1000 counts of the background.
OBSERVED = {54_000.5: 52, 55_000.0: 60, 55_500.0: 400, 55_900.25: 420, 56_000.0: 4}
JOB = """
[[input]]
prep3 = "prep3"
mst3 = "{mst3}"
levels = ["{level}"]
[select]
quantities = ["photflux"]
[output]
results = "{level}.h5"
[engine]
name = "exact"
"""
LIGHT_CURVE = (
    "import table.csv prep3 --masters links.csv",
    "run obsid.toml",
    "blocks obsid.h5 prep3/mst3.fits blocks.fits --time",
    "run master.toml",
    "lightcurve obsid.h5 M --masters master.h5 --plot",
)


def hardness(path):
    figure, ((axes,),) = panels(1, height=3.2)
    for i, ((name, shapes), color) in enumerate(zip(PAIRS.items(), COLORS)):
        bands = []
        for shape in shapes:
            table = tuple(np.array([column]) for column in Gamma(shape, 1.0).table())
            # an upper limit is an exponential, and nothing smoothes it
            bands.append(smoothed(table, 1.0) if shape > 1 else table)
        mode, low, high = hardness_ratios(*bands[0], *bands[1], 0.68)[0]
        first, last, (density,), *_ = hardness_tables(*bands, *np.array(shapes)[:, None])
        w = np.linspace(first[0], last[0], len(density))
        x, y = shapes[0] * (1 + w), shapes[1] * (1 - w)
        h = (x - y) / (x + y)
        density /= 0.5 * ((density[1:] + density[:-1]) * np.diff(h)).sum()
        axes.plot(h, density, color=color, label=name)
        height = -0.12 * (i + 1)
        axes.plot([low, high], [height, height], color=color, lw=2)
        axes.plot(mode, height, "o", ms=4, color=color)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set(xlabel="hardness ratio $H$", ylabel="density", xlim=(-1.02, 1.02))
    axes.legend(title="harder and softer band", frameon=False, fontsize=7, title_fontsize=7)
    save(figure, path)


def variability(path):
    figure, (both,) = panels(2, height=2.8)
    for axes, (name, counts) in zip(both, SOURCES.items()):
        tables = [Gamma(c + 1, 1.0).table() for c in counts]
        for n, (low, high, density), color in zip(counts, tables, COLORS):
            s = np.linspace(low, high, len(density))
            axes.plot(s, density / density.max(), color=color, label=n)
        low, high, density = (np.array(column, dtype=float) for column in zip(*tables))
        mean = np.array(counts) + 1.0
        found = flux_constancy(low, high, density, mean, np.sqrt(mean), np.array([0, len(counts)]))
        chance = chances(found)[0]
        index = min(8, int(-np.log10(chance)))
        about = f"$D$ = {found[0, 0]:.1f}, $Q$ = {chance:.2g}, index {index}"
        name_panel(axes, f"{name}\n{about}")
        axes.set(xlabel="flux (counts per exposure)", xlim=(0, 60))
        axes.legend(title="counts", frameon=False, fontsize=7, title_fontsize=7)
    both[0].set_ylabel(r"$p_j(s)$ / max $p_j$")
    save(figure, path)


def light_curve(path):
    rows = [f"{mjd:.0f},S,r1,ACIS,b,aper,{n},1000,0.9,0.05,20,5000,1e7,8640,{mjd}"
            for mjd, n in OBSERVED.items()]  # fmt: skip
    names = "obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,"
    names += "area,area_bkg,exposure_photflux,exposure_s,mjd"
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "table.csv": "\n".join([names, *rows]),
            "links.csv": "master,match_type,stack,component\nM,u,S,r1",
            "obsid.toml": JOB.format(mst3="prep3/mst3.fits", level="obsid"),
            "master.toml": JOB.format(mst3="blocks.fits", level="master"),
        }
        for name, text in files.items():
            Path(folder, name).write_text(text + "\n")
        for words in LIGHT_CURVE:
            last = [str(path)] if words.endswith("--plot") else []
            command = [sys.executable, "-m", "mpiapp", *words.split(), *last]
            subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    light_curve(HERE / "light_curve.png")
    hardness(HERE / "hardness.png")
    variability(HERE / "variability.png")
