"""Processor time a problem of the engines exact and gibbs, beside another version of mpiapp.

    export OMP_NUM_THREADS=1 PYTHONPATH=tests
    python tests/benchmarks/bench_shapes.py [--beside PYTHON ROOT] [--engine gibbs] [SHAPE …]

Each line is a shape; µs a problem, the fastest of the rounds.  The other version is the package in
ROOT with that Python; both solve the same problems, one after the other in each round, so that
both meet the same load.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from problems import simulated

from mpiapp.catalog.problems import Problems
from mpiapp.engines import create
from mpiapp.posterior import Smoothing

# sources, obsids, blend, problems of exact, problems of gibbs
SHAPES = {
    "1x1": (1, 1, 0.0, 600, 400),
    "2x1": (2, 1, 0.8, 200, 100),
    "1x5": (1, 5, 0.0, 200, 200),
    "2x5": (2, 5, 0.3, 120, 40),
    "5x5": (5, 5, 0.3, 12, 12),
    "3x20": (3, 20, 0.3, 12, 10),
    "1x100": (1, 100, 0.0, 24, 10),
}
LEVELS = {"faint": (3.0, 0.02), "bright": (1000.0, 0.5)}
ROOT = Path(__file__).resolve().parents[2]


def serve() -> None:
    """Read shape, level and engine a line, and answer with µs of processor time a problem."""
    engines = {name: create(name) for name in ("exact", "gibbs")}
    for line in sys.stdin:
        shape, level, engine = line.split()
        n, m, blend, of_exact, of_gibbs = SHAPES[shape]
        number = of_exact if engine == "exact" else of_gibbs
        source, background = LEVELS[level]
        problems = [
            simulated(n, m, source, background, np.random.default_rng([i, n, m]), blend=blend)
            for i in range(number)
        ]
        batch = Problems.of(problems)
        start = time.process_time()
        if engine == "exact":
            engines[engine].summarise(batch, Smoothing())
        else:
            for i, problem in enumerate(problems):
                engines[engine].sample(problem, np.random.SeedSequence(i))
        print(1e6 * (time.process_time() - start) / number, flush=True)


class Version:
    """A process of its own, with the mpiapp in `root`."""

    def __init__(self, python: str, root: Path):
        self.process = subprocess.Popen(
            [python, __file__, "--serve"],
            env={**os.environ, "PYTHONPATH": f"{root}:{ROOT / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def microseconds(self, *shape: str) -> float:
        self.process.stdin.write(" ".join(shape) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--beside", nargs=2, metavar=("PYTHON", "ROOT"))
    parser.add_argument("--engine", choices=("exact", "gibbs"), default="exact")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), metavar="SHAPE")
    options = parser.parse_args()
    if options.serve:
        return serve()
    versions = [Version(sys.executable, ROOT)]
    if options.beside:
        versions.insert(0, Version(*options.beside))
    for shape in options.shapes:
        for level in LEVELS:
            rounds = [
                [version.microseconds(shape, level, options.engine) for version in versions]
                for _ in range(options.rounds + 1)
            ]
            best = np.min(rounds[1:], axis=0)
            ratio = f" {best[0] / best[1]:8.2f}" if options.beside else ""
            print(f"{shape:>6} {level:6}" + "".join(f" {x:9.0f}" for x in best) + ratio, flush=True)
    for version in versions:
        version.process.stdin.close()
        version.process.wait()


if __name__ == "__main__":
    main()
