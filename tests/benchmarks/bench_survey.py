"""Hardness ratios, variability and blocks of a whole simulated survey, held against its truth.

    python tests/benchmarks/bench_survey.py [DIR] [--detections N]

Simulates files, measures photon fluxes with the engine `exact`, makes the products by the commands
that a pipeline would use, and prints how often bounds hold the true hardness ratios, how often
constant sources are said to vary or are split, and how often those that vary are found.  What is
in DIR already is not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.table import Table

from mpiapp.files.mst3 import read_mst3

CONFIG = """\
[[input]]
prep3 = '{0}/sky/prep3'
mst3 = '{0}/sky/mst3.fits'
[select]
apertures = ['aper']
quantities = ['photflux']
[output]
results = '{0}/results.h5'
mpdf = ['*']
[engine]
name = 'exact'
"""
BRIGHT = 3.0  # rms of a flux, from which on a ratio's posterior no longer leans on its priors


def make(folder: Path, detections: int) -> None:
    def mpiapp(*words):
        command = [sys.executable, "-m", "mpiapp", *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    mst3, results = folder / "sky" / "mst3.fits", folder / "results.h5"
    if not mst3.exists():
        mpiapp("simulate", folder / "sky", "--detections", detections, "--seed", 11)
    if not results.exists():
        (folder / "job.toml").write_text(CONFIG.format(folder))
        mpiapp("run", folder / "job.toml")
    for level in ("obsid", "master"):
        out = folder / f"{level}.fits"
        if not out.exists():
            mpiapp("export", results, out, "--level", level, "--mst3", mst3, "--with", "rms")
    if not (folder / "blocks.fits").exists():
        mpiapp("blocks", results, mst3, folder / "blocks.fits")


def read(path: Path) -> Table:
    table = Table.read(path)
    table.convert_bytestring_to_unicode()
    return table


def columns(table: Table, *names: str) -> list[np.ndarray]:
    """Columns with NaN where they are masked."""
    return [np.ma.filled(np.ma.asarray(table[n], float), np.nan) for n in names]


def hardness(folder: Path, truth: Table) -> None:
    key = ("stack", "obsid", "bundle", "component")
    flux = {}
    for *name, band, value in truth[[*key, "band", "photflux"]].iterrows():
        flux.setdefault(tuple(map(str, name)), {})[band] = value
    table = read(folder / "obsid.fits")
    fluxes = [flux[tuple(map(str, name))] for name in table[list(key)].iterrows()]
    print("hardness of observations     in all: inside, median bias   bright: inside, median bias")
    for x, y in ("hm", "hs", "ms"):
        mode, low, high = columns(table, *(f"hard_{x}{y}{end}" for end in ("", "_lolim", "_hilim")))
        rms_x, rms_y = columns(table, f"photflux_aper_rms_{x}", f"photflux_aper_rms_{y}")
        # Chosen by the truth: what is chosen by its own numbers has fluctuated towards them.
        true_x, true_y = (np.array([f.get(band, np.nan) for f in fluxes]) for band in (x, y))
        true = (true_x - true_y) / (true_x + true_y)
        bright = (true_x > BRIGHT * rms_x) & (true_y > BRIGHT * rms_y)
        line = f"hard_{x}{y}"
        for chosen in (np.isfinite(mode), np.isfinite(mode) & bright):
            inside = (low <= true) & (true <= high)
            share, n = inside[chosen].mean(), int(chosen.sum())
            bias = np.median((mode - true)[chosen])
            error = np.sqrt(share * (1 - share) / n)
            line += f"   {n:6d}: {100 * share:.1f} ± {100 * error:.1f} %, {bias:+.3f}"
        print(line)


def variability(folder: Path, constant: dict[str, bool]) -> None:
    table = read(folder / "master.fits")
    is_constant = np.array([constant[name] for name in table["name"].tolist()])
    print("\nvariability of masters    constant: Q < 0.1, < 0.01     variable: Q < 0.1, < 0.01")
    wanted = ("var_chance_", "var_inter_hard_prob_")
    for column in [n for n in table.colnames if n.startswith(wanted)]:
        (chance,) = columns(table, column)
        chance = 1 - chance if "_hard_" in column else chance
        line = f"{column:25s}"
        # No hardness ratio of this sky varies.
        groups = (
            (np.ones(len(chance), bool),) if "_hard_" in column else (is_constant, ~is_constant)
        )
        for group in groups:
            q = chance[group & np.isfinite(chance)]
            line += (
                f"   {len(q):6d}: {100 * (q < 0.1).mean():.1f} %, {100 * (q < 0.01).mean():.1f} %"
            )
        print(line)


def blocks(folder: Path, n_true: dict[str, int]) -> None:
    """How often a source ends in several blocks of one instrument; no block has both."""
    found = read_mst3(folder / "blocks.fits").associations
    split, constant = [], []
    for master in found.masters():
        observed = [list(obsids) for obsids in found.blocks_of(master).values()]
        stacks = [{stack[:4] for stack, _ in obsids} for obsids in observed]
        instruments = set().union(*stacks)
        if master in n_true and sum(map(len, observed)) > 1:
            split.append(len(observed) > len(instruments))
            constant.append(n_true[master] == 1)
    split, constant = np.array(split), np.array(constant)
    print(f"\nblocks of {len(split)} masters in several observations")
    for what, group in (("constant", split[constant]), ("variable", split[~constant])):
        error = group.std() / np.sqrt(len(group))
        print(
            f"  {len(group)} {what} ones: {100 * group.mean():.1f} ± {100 * error:.1f} % are split"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=tempfile.mkdtemp(prefix="mpiapp-survey-"))
    parser.add_argument("--detections", type=int, default=7000)
    options = parser.parse_args()
    folder = Path(options.folder).resolve()
    folder.mkdir(exist_ok=True)
    make(folder, options.detections)
    truth, masters = (read(folder / "sky" / f"{n}.fits") for n in ("truth", "truth_masters"))
    n_true = {m: int((masters["master"] == m).sum()) for m in set(masters["master"].tolist())}
    print(f"{len(truth)} rows of truth, {len(n_true)} masters\n")
    hardness(folder, truth)
    variability(folder, {m: n == 1 for m, n in n_true.items()})
    blocks(folder, n_true)


if __name__ == "__main__":
    main()
