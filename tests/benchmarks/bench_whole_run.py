"""Where the time of a whole job goes: files in, rows out, one worker, the mix of a catalog.

    export OMP_NUM_THREADS=1 PYTHONPATH=tests
    python tests/benchmarks/bench_whole_run.py [--runs N] [--engine NAME] [--single] [--profile]

Writes a stack of 20 obsids as prep3 files, whose bundles have the sources and
obsids of MIX (or, with --single, one each) with every band, aperture and quantity;
measures it with `mpiapp run` in one process; and prints milliseconds per run: processor
time of the whole command, then its split by phase as /runs has it, and by
shape.  With the engine `exact` the same is measured run by run too, without stacks.
--profile runs it once more under cProfile.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from problems import matrix

from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.quantities import APERTURES, INSTRUMENT_BANDS, Matrix
from mpiapp.cli import main as mpiapp
from mpiapp.files.prep3_write import write_prep3
from mpiapp.files.results import open_results
from mpiapp.files.schema import PHASES

# Fractions of a catalog's runs, ranges of sources and of obsids.
MIX = (
    (0.70, (1, 1), (1, 1)),
    (0.20, (1, 2), (2, 5)),
    (0.09, (3, 5), (1, 5)),
    (0.01, (1, 3), (20, 20)),
)
SINGLE = ((1.0, (1, 1), (1, 1)),)
N_OBSIDS = 20
BANDS = INSTRUMENT_BANDS["ACIS"]
RUNS_PER_BUNDLE = len(BANDS) * len(APERTURES) * 4
# Counts per unit of intensity at a typical 30 ks of ACIS.
FACTORS = {"flux": 1e16, "photflux": 1e7, "rate": 3e4, "cnts": 1.0}


def write_catalog(folder, n_runs, mix):
    """prep3 files of one stack; returns the number of runs in it."""
    rng = np.random.default_rng(5)
    obsids = [[] for _ in range(N_OBSIDS)]
    n_bundles = 0
    for fraction, sources, seen_by in mix:
        for _ in range(max(1, round(fraction * n_runs / RUNS_PER_BUNDLE))):
            n_sources, n_obsids = (int(rng.integers(a, b + 1)) for a, b in (sources, seen_by))
            first = int(rng.integers(N_OBSIDS))
            F = matrix(n_sources, n_obsids, rng=rng)
            counts = {}
            for band in BANDS:
                theta = np.append(
                    10.0 ** rng.uniform(-1, 3, n_sources), 10.0 ** rng.uniform(-2.5, 0, n_obsids)
                )
                for aperture in APERTURES:
                    counts[band, aperture] = rng.poisson(F @ theta)
            rows = n_sources + 1
            for k in range(n_obsids):
                block = slice(k * rows, (k + 1) * rows)
                one = F[block][:, [*range(n_sources), n_sources + k]]
                obsid = (first + k) % N_OBSIDS
                obsids[obsid].append(
                    Bundle(
                        ObsidBundle("S", str(obsid), f"b{n_bundles}"),
                        "ACIS",
                        tuple(f"r{n_bundles}_{i}" for i in range(n_sources)),
                        {key: c[block] for key, c in counts.items()},
                        {Matrix(*key, q): one * x for q, x in FACTORS.items() for key in counts},
                    )
                )
            n_bundles += 1
    for obsid, bundles in enumerate(obsids):
        write_prep3(folder / f"{obsid}_prep3.fits", "S", str(obsid), "ACIS", bundles, 3e4)
    return n_bundles * RUNS_PER_BUNDLE


def write_config(folder, name, engine):
    """A configuration with this engine; returns its path and that of the results."""
    results = folder / f"{name}.h5"
    config = folder / f"{name}.toml"
    config.write_text(
        f"[[input]]\nprep3 = '{folder}'\nlevels = ['stack']\n"
        f"[output]\nresults = '{results}'\n[engine]\nname = '{engine}'\n"
    )
    return config, results


def measure(config):
    """Processor seconds of `mpiapp run`, start of Python included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "mpiapp", "run", str(config)]
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(path, seconds, mix):
    """Print the split of `seconds` (of processor time) by phase and by shape."""
    with open_results(path) as results:
        runs = results.table("runs")
    n = len(runs)
    wall = runs["seconds"].astype(float).sum()
    phases = {phase: runs[phase].astype(float).sum() for phase in PHASES}
    phases["rows"] = wall - sum(phases.values())
    print(f"{1e3 * seconds / n:.2f} ms of processor time per run over {n} runs; of wall time:")
    for phase, total in phases.items():
        print(f"  {phase:12}{1e3 * total / n:8.3f} ms {100 * total / wall:5.1f} %")
    print("sources x obsids         runs   ms each")
    for _, s, o in mix:
        inside = (runs["n_sources"] >= s[0]) & (runs["n_sources"] <= s[1])
        inside &= (runs["n_obsids"] >= o[0]) & (runs["n_obsids"] <= o[1])
        if not inside.any():
            continue
        mean = 1e3 * runs["seconds"][inside].astype(float).mean()
        print(f"  {s[0]}-{s[1]} x {o[0]}-{o[1]:<12}{inside.sum():9}{mean:10.2f}")
    outcomes, numbers = np.unique(runs["outcome"], return_counts=True)
    retried = int((runs["attempts"] > 1).sum())
    print(f"outcomes {dict(zip(outcomes.tolist(), numbers.tolist()))}, {retried} sampled again")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--engine", default="exact")
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mpiapp-bench-") as name:
        folder = Path(name)
        mix = SINGLE if args.single else MIX
        write_catalog(folder, args.runs, mix)
        mpiapp(["run", str(write_config(folder, "warm", args.engine)[0])])  # compiles
        config, results = write_config(folder, "timed", args.engine)
        report(results, measure(config), mix)
        if args.engine == "exact":
            print("\nrun by run:")
            config, results = write_config(folder, "one-by-one", "scripted_engines:OneByOneEngine")
            report(results, measure(config), mix)
        if args.profile:
            profile = cProfile.Profile()
            profile.runcall(mpiapp, ["run", str(write_config(folder, "profile", args.engine)[0])])
            pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
