"""How many runs a second rank 0 can hand out and write: workers that do nothing send full rows.

    PYTHONPATH=tests python tests/benchmarks/bench_rank0.py [RANKS ...]

The rows are those of a small job of the engine `exact`, over and over.  They go home as arrays, of
which rank 0 makes packs (mpiapp.files.packed_runs), or in packs.  What HDF5 itself takes to write
the same rows through its filters stands before.
Rank 0's own CPU time counts, so that the figure is its capacity and not that of the cores that
happen to be free; beside it stand the wall time of the same job, the CPU time that a worker takes
to make and pack rows, and the bytes of a run on disk.  From the capacity follows at how many
workers rank 0 becomes the limit: capacity × time per run.
"""

from __future__ import annotations

import contextlib
import functools
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from bench_whole_run import SINGLE, measure, write_catalog, write_config

from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.scan import BundleScan, FileScan
from mpiapp.config import Config, Input, Output
from mpiapp.engines.gibbs import GibbsEngine
from mpiapp.engines.pymc3_nuts import Pymc3Engine
from mpiapp.files.packed_runs import pack
from mpiapp.files.results import open_results
from mpiapp.files.schema import CHUNK_ROWS, Batch
from mpiapp.files.writer import Writer
from mpiapp.parallel.dispatch import stream
from mpiapp.parallel.planning import InputFiles, Plan, make_plan
from mpiapp.parallel.scanning import ScannedFile
from mpiapp.parallel.shares import parcels
from mpiapp.parallel.world import connect

N_FILES, N_BUNDLES = 150, 100  # of 40 runs each: 600,000
MATRICES = [
    Matrix(band, aperture, quantity)
    for quantity in ("flux", "photflux", "rate", "cnts")
    for band in "usmhb"
    for aperture in ("aper", "aper90")
]

FILTERS = {
    "none": {},
    "shuffle, gzip 1": {"shuffle": True, "compression": "gzip", "compression_opts": 1},
    "shuffle, lzf": {"shuffle": True, "compression": "lzf"},
}


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


def real_rows(folder: Path) -> Path:
    """Results of a catalog of single sources."""
    write_catalog(folder, 4000, SINGLE)
    config, results = write_config(folder, "rows", "exact")
    measure(config)
    return results


@functools.cache
def rows_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of n runs of one source each."""
    with open_results(sys.argv[3]) as results:
        return np.resize(results.table("runs"), n), np.resize(results.table("photometry"), n)


def null_unit(targets) -> Batch:
    """As many rows as there are runs, at no cost but that of sending them."""
    runs, rows = rows_of(sum(len(target.matrices) for target in targets))
    runs["run_id"] = rows["run_id"] = np.random.default_rng().integers(0, 2**63, len(runs))
    batch = Batch(rows, runs, [], [])
    return pack(batch) if sys.argv[2] == "packs" else batch


def worker_seconds(executor, n_workers: int) -> float:
    """CPU time of all workers so far."""
    return sum(executor.map(_own_seconds, range(n_workers)))


def _own_seconds(_) -> float:
    time.sleep(0.2)  # so that each of them answers once
    return time.process_time()


class Control:
    """Nothing ever stops this."""

    def idle(self):
        return contextlib.nullcontext()

    def stopping(self):
        return False

    def giving_up(self, under_way):
        return False

    def received(self, answer):
        return answer, []

    def late(self, under_way):
        return []


def filters(path: Path) -> None:
    """CPU time in which HDF5 writes rows, 10,000 at a time into memory, and what they take."""
    with open_results(path) as results:
        tables = [np.resize(results.table(name), 40_000) for name in ("runs", "photometry")]
    for name, kept in FILTERS.items():
        seconds = time.process_time()
        with h5py.File(io.BytesIO(), "w") as file:
            size = 0
            for i, rows in enumerate(tables):
                table = file.create_dataset(
                    str(i), (0,), rows.dtype, maxshape=(None,), chunks=(CHUNK_ROWS,), **kept
                )
                for start in range(0, len(rows), 10_000):
                    table.resize((start + 10_000,))
                    table[start:] = rows[start : start + 10_000]
                file.flush()
                size += table.id.get_storage_size()
        seconds = time.process_time() - seconds
        print(f"{name:16} {1e6 * seconds / 40_000:6.2f} us/run {size / 40_000:6.0f} bytes/run")


def job() -> None:
    """One rank of the job."""
    world = connect()
    with world.executor() as executor:
        if world.rank:
            return
        work = plan(world.n_workers)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "r.h5.parts"
            writer = Writer(path, batch_runs=10_000)
            workers = worker_seconds(executor, world.n_workers)
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
            workers = worker_seconds(executor, world.n_workers) - workers
            size = sum(part.stat().st_size for part in path.iterdir())
        n = work.n_runs
        print(
            f"{world.size:5}  {sys.argv[2]:6} {n:8}  {n / cpu:12.0f}  {1e6 * cpu / n:6.2f}  "
            f"{100 * writing / cpu:7.0f} %  {n / wall:12.0f}  {1e6 * workers / n:10.2f}  "
            f"{size / n:9.0f}  "
            + "  ".join(
                f"{n / cpu * engine.typical_seconds:8.0f}" for engine in (GibbsEngine, Pymc3Engine)
            )
        )


def main() -> None:
    launcher = Path(sys.executable).with_name("mpiexec")
    with tempfile.TemporaryDirectory() as folder:
        rows = real_rows(Path(folder))
        filters(rows)
        print("Rank 0 with workers that do nothing")
        print(
            "ranks  way        runs  runs/s (CPU)  us/run    writing  runs/s (wall)  us/run of a  "
            "bytes/run  workers at the limit"
        )
        print(f"{'':71}{'worker':>6}{'':13}{'gibbs':>8}  {'pymc3':>8}")
        for ranks in sys.argv[1:] or ("2", "4", "8"):
            for way in ("arrays", "packs"):
                command = [launcher, "-n", ranks, sys.executable, __file__, "job", way, rows]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    job() if sys.argv[1:2] == ["job"] else main()
