"""How many runs a second rank 0 can hand out and write: workers that do nothing send full rows.

    python tests/benchmarks/bench_rank0.py [RANKS ...]

Rank 0's own CPU time counts, so that the figure is its capacity and not that of the cores that
happen to be free; the line of each number of ranks has the wall time of the same job beside it.
From the capacity follows at how many workers rank 0 becomes the limit: capacity × time per run.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.scan import BundleScan, FileScan
from mpiapp.config import Config, Input, Output
from mpiapp.files.schema import PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from mpiapp.files.writer import Writer
from mpiapp.parallel.dispatch import stream
from mpiapp.parallel.planning import InputFiles, Plan, ScannedFile, make_plan
from mpiapp.parallel.shares import parcels
from mpiapp.parallel.world import connect
from mpiapp.sampling.gibbs import GibbsEngine
from mpiapp.sampling.pymc3_nuts import Pymc3Engine

N_FILES, N_BUNDLES = 100, 80  # of 40 runs each: 320,000
MATRICES = [
    Matrix(band, aperture, quantity)
    for quantity in ("flux", "photflux", "rate", "cnts")
    for band in "usmhb"
    for aperture in ("aper", "aper90")
]


def scan_files(paths: Sequence[str]) -> list[ScannedFile]:
    """What workers would find in the files of one stack."""
    matrices = frozenset(MATRICES)
    bundles = {f"r{i}": BundleScan((f"r{i}",), matrices) for i in range(N_BUNDLES)}
    stack = "acisfJ0332281m274818_001"
    return [
        ScannedFile(path, "", FileScan(path, stack, f"{k:05}", 1e4, bundles), [])
        for k, path in enumerate(paths)
    ]


def plan(n_workers: int) -> Plan:
    """The plan that a job makes of them."""
    config = Config(input=[Input(prep3=["*"], levels=["obsid"])], output=Output(results="r.h5"))
    files = [InputFiles([f"{k:05}_prep3.fits" for k in range(N_FILES)], None)]
    return make_plan(config, files, scan_files, n_workers, GibbsEngine.typical_seconds)


@functools.cache
def rows_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that look like those of n runs of one source each."""
    runs, rows = np.zeros(n, RUNS_DTYPE), np.zeros(n, PHOTOMETRY_DTYPE)
    rng = np.random.default_rng()
    runs["seed"] = rng.integers(0, 2**63, n)
    runs["n_rows"] = 1
    for name in ("read", "assemble", "prior", "sample", "summarise", "seconds", "finished"):
        runs[name] = rng.random(n)
    for table in (runs, rows):
        for i, name in enumerate(Matrix._fields):
            table[name] = np.resize([matrix[i].encode() for matrix in MATRICES], n)
    for name in ("value", "lolim", "hilim", "mode", "rhat", "ess"):
        rows[name] = rng.random(n)
    return runs, rows


def null_unit(targets) -> Batch:
    """As many rows as there are runs, at no cost but that of sending them."""
    runs, rows = rows_of(sum(len(target.matrices) for target in targets))
    runs["run_id"] = rows["run_id"] = np.random.default_rng().integers(0, 2**63, len(runs))
    runs["target"] = rows["target"] = np.repeat([t.name.encode() for t in targets], 40)
    return Batch(rows, runs, [], [])


class Control:
    """Nothing ever stops this."""

    def idle(self):
        return contextlib.nullcontext()

    def stopping(self):
        return False

    giving_up = stopping

    def lost(self, payloads):
        return []


def job() -> None:
    """One rank of the job."""
    world = connect()
    with world.executor() as executor:
        if world.rank:
            return
        work = plan(world.n_workers)
        with tempfile.TemporaryDirectory() as folder:
            writer = Writer(Path(folder) / "r.h5", batch_runs=10_000)
            cpu, wall, writing = time.process_time(), time.perf_counter(), 0.0
            payloads = (
                [target for unit in parcel for target in unit.targets()]
                for parcel in parcels(work.units, world.n_workers, work.parcel_cost)
            )
            for batch in stream(executor, null_unit, payloads, 2 * world.n_workers, Control()):
                t0 = time.process_time()
                writer.append(batch)
                writing += time.process_time() - t0
            writer.flush()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        n = work.n_runs
        print(
            f"{world.size:5}  {n:7}  {n / cpu:12.0f}  {1e6 * cpu / n:8.1f}  "
            f"{100 * writing / cpu:6.0f} %  {n / wall:12.0f}  "
            + "  ".join(
                f"{n / cpu * engine.typical_seconds:10.0f}" for engine in (GibbsEngine, Pymc3Engine)
            )
        )


def main() -> None:
    print("Rank 0 with workers that do nothing")
    print("ranks     runs   runs/s (CPU)  us/run   writing   runs/s (wall)  workers at the limit:")
    print(f"{'':64}{'gibbs':>10}  {'pymc3':>10}")
    launcher = Path(sys.executable).with_name("mpiexec")
    for ranks in sys.argv[1:] or ("2", "4", "8"):
        subprocess.run([launcher, "-n", ranks, sys.executable, __file__, "job"], check=True)


if __name__ == "__main__":
    job() if sys.argv[1:] == ["job"] else main()
