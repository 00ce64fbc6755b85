"""Fluxes of extracted files of bright mock skies, held against their truth at every level.

    python tests/benchmarks/bench_truth.py DIR [--skies 101,102,201] [--fine] [--make]

Each sky has three stacks of two or three observations, bands b and s, and sources of 50 to 10,000
counts; of an even number hundred no source is drawn close to another, of the others four in ten.
Simulates files, extracts and measures them with the engine `exact`, exports each level with and
without the errors of mean photon energies.  Prints pulls, (value - truth) over half the bounds and
times 1.0917, of values of more than 50 counts, and how often bounds hold the truth, of a Gaussian
72.5 %.
What is in DIR already is not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mock_skies import STEADY, WIDE

from mpiapp.files.mst3 import read_mst3
from mpiapp.simulate import simulate
from mpiapp.validate.truth import Pulls, truth_of

PRESET = replace(
    STEADY,
    sources=(60, 60),
    flux=(5e-14, 2e-12),
    flux_break=2e-13,
    stacks=(3, 3),
    obsids=(2, 3),
)
LEVELS = "obsid", "stack", "master"
BRIGHT = 7  # standard deviations
NAMES = {"flux": "flux", "photflux": "photflux", "rate": "src_rate", "cnts": "src_cnts"}


def mpiapp(*words) -> None:
    command = [sys.executable, "-m", "mpiapp", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make(folder: Path, number: int, fine: bool) -> Path:
    """The folder of results of a sky."""
    sky, out = folder / str(number) / "sky", folder / str(number) / ("fine" if fine else "catalog")
    if not (sky / "truth.fits").exists():
        crowded = 0.4 * (number // 100 % 2)
        simulate(sky, 200, seed=number, preset=replace(PRESET, crowded=crowded), events=True)
    out.mkdir(exist_ok=True)
    if not (out / "results.h5").exists():
        field = sky / "products"
        if fine:
            field = out / "field.toml"
            field.unlink(missing_ok=True)
            mpiapp("init", "--from", sky / "products", field)
            field.write_text("fine = true\n" + field.read_text())
        mpiapp("extract", field, out / "prep3")
        (out / "job.toml").write_text(
            f"[[input]]\nprep3 = '{out}/prep3'\nmst3 = '{sky}/mst3.fits'\n"
            f"[engine]\nname = 'exact'\n[output]\nresults = '{out}/results.h5'\n"
        )
        mpiapp("run", out / "job.toml")
    for level in LEVELS:
        for name, options in ((level, []), (f"{level}_errors", ["--energy-errors"])):
            if not (out / f"{name}.fits").exists():
                mpiapp(
                    "export", out / "results.h5", out / f"{name}.fits", "--level", level, *options
                )
    return out


def read(path: Path) -> Table:
    table = Table.read(path)
    table.convert_bytestring_to_unicode()
    return table


def alone(sky: Path, level: str) -> set[str]:
    """Targets that have one source, of averages in each of its stacks."""
    table = read(sky / "truth.fits")
    label = read_mst3(sky / "mst3.fits").associations.label
    components, targets = defaultdict(set), defaultdict(set)
    names = "stack", "obsid", "bundle", "component"
    for stack, obsid, bundle, component in zip(*(table[name].tolist() for name in names)):
        target = f"{stack}/{obsid}/{bundle}" if level == "obsid" else f"{stack}/{bundle}"
        components[target].add(component)
        targets[f"{label(stack, component)}/avg" if level == "master" else target].add(target)
    return {name for name, of in targets.items() if all(len(components[t]) == 1 for t in of)}


def pulls(out: Path, level: str, quantity: str, errors: bool, bands: str, single: bool | None):
    """Pulls of a sky, chosen by the truth, of single sources, of others, or of all (None)."""
    sky = out.parent / "sky"
    truth, singles = truth_of(sky, level), alone(sky, level)
    found = []
    for row in read(out / f"{level}{'_errors' * errors}.fits"):
        if level == "master":
            target, component, middle = f"{row['name']}/avg", row["name"], "_avg"
        else:
            of = ("stack", "obsid", "bundle") if level == "obsid" else ("stack", "bundle")
            target, component, middle = "/".join(row[n] for n in of), row["component"], ""
        if single is not None and (target in singles) != single:
            continue
        for band in bands:
            true = truth.values.get((target, component, band, quantity))
            for aperture in ("aper", "aper90"):
                name = f"{NAMES[quantity]}_{aperture}{middle}"
                if true is None or f"{name}_{band}" not in row.colnames:
                    continue
                value, low, high = (row[f"{name}{end}_{band}"] for end in ("", "_lolim", "_hilim"))
                if value is np.ma.masked or not value > 0:
                    continue
                sigma = (high - low) / 2 / WIDE
                if true > BRIGHT * sigma * np.sqrt(true / value):
                    pull = (value - true) / sigma
                    found.append((pull, low <= true <= high, true, truth.groups[target]))
    values = np.array(found).reshape(-1, 4)
    nothing = np.zeros(0, bool)
    return Pulls(values[:, 0], values[:, 1] > 0, nothing, values[:, 2], values[:, 3].astype(int))


def joined(parts: list[Pulls]) -> Pulls:
    """Pulls of several skies, whose groups are their own."""
    groups = [part.groups + 100_000 * i for i, part in enumerate(parts)]
    columns = [np.concatenate(column) for column in zip(*parts)]
    return Pulls(*columns[:4], np.concatenate(groups))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--skies", default="101,102,103,104,201,202")
    parser.add_argument("--fine", action="store_true", help="extract with fine = true")
    parser.add_argument("--make", action="store_true", help="print nothing")
    options = parser.parse_args()
    folder = Path(options.folder).resolve()
    outs = [make(folder, int(number), options.fine) for number in options.skies.split(",")]
    if options.make:
        return
    print("level   quantity            |  n, mean, width, truth in 68 %: all, then single, bundles")
    for level in LEVELS:
        for quantity, errors in (
            ("photflux", False), ("flux", False), ("flux", True), ("rate", False), ("cnts", False)
        ):  # fmt: skip
            line = f"{level:7s} {quantity + ' with errors' * errors:20s}"
            for single in (None, True, False):
                one = joined([pulls(out, level, quantity, errors, "bs", single) for out in outs])
                if len(one.pulls) > 9:
                    (mean, of_mean), (width, of_width) = one.mean, one.spread
                    line += f"| {len(one.pulls):5d} {mean:+.2f} ± {of_mean:.2f} {width:.2f} ± "
                    line += f"{of_width:.2f} {100 * one.inside.mean():.1f} % "
            print(line, flush=True)


if __name__ == "__main__":
    main()
