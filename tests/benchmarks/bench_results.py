"""What it takes to publish, to merge and to open results: seconds of processor time a 10⁶ runs.

    PYTHONPATH=tests python tests/benchmarks/bench_results.py [RUNS]

Runs of one source each come in packs, as workers send them, with names and numbers that compress
like those of a survey.  Half of the runs are two shards of a quarter each, which are merged.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mpiapp.files.merge import merge
from mpiapp.files.packed_runs import pack
from mpiapp.files.results import open_results, work_path
from mpiapp.files.schema import CHUNK_ROWS, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from mpiapp.files.writer import Writer


def batches(first: int, n_packs: int):
    """Packs of runs from this one on."""
    rng = np.random.default_rng(first)
    for k in range(n_packs):
        runs, rows = np.zeros(CHUNK_ROWS, RUNS_DTYPE), np.zeros(CHUNK_ROWS, PHOTOMETRY_DTYPE)
        number = first + CHUNK_ROWS * k + np.arange(CHUNK_ROWS)
        for table in (runs, rows):
            table["run_id"] = number * 0x9E3779B97F4A7C15 % 2**63
            table["level"], table["aperture"], table["quantity"] = b"obsid", b"aper", b"flux"
            table["target"] = [b"acisfJ0332281m274818_001/%05d/r%d" % divmod(n, 40) for n in number]
            table["band"] = np.resize(list("usmhb"), CHUNK_ROWS)
        rows["component"], rows["unit"] = b"r1", b"erg s-1 cm-2"
        for name in ("value", "lolim", "hilim", "mode", "mean", "rms"):
            rows[name] = rng.lognormal(-30, 1, CHUNK_ROWS)
        runs["n_rows"] = runs["attempts"] = runs["n_sources"] = runs["n_obsids"] = 1
        runs["engine"], runs["seed"] = b"exact", rng.integers(0, 2**63, CHUNK_ROWS)
        runs["seconds"], runs["finished"] = 1e-4, 1.7e9
        yield pack(Batch(rows, runs, [], []))


def job(final: Path, first: int, n_packs: int, shard: str) -> float:
    """Write results; the processor time that publishing took."""
    number = int(shard[0]) - 1
    writer = Writer(work_path(final))
    writer.add("jobs", [(number, shard, "", "", 0.0, *[""] * 7, shard, n_packs * CHUNK_ROWS)])
    for batch in batches(first, n_packs):
        writer.append(batch)
    writer.flush()
    return seconds(lambda: writer.publish(final))


def seconds(act: Callable) -> float:
    """Processor time of a call."""
    start = time.process_time()
    act()
    return time.process_time() - start


def opened(path: Path) -> None:
    """Open results and count their runs."""
    with open_results(path) as results:
        len(results)


def main() -> None:
    n_packs = int(float((sys.argv[1:] or ["1e6"])[0])) // CHUNK_ROWS // 2 * 2
    n = n_packs * CHUNK_ROWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        took = job(folder / "r.h5", 0, n_packs, "1/1")
        size = (folder / "r.h5").stat().st_size
        print(f"{n} runs, {size / n:.0f} bytes a run")
        print(f"publish  {1e6 * took / n:7.2f} s a 10^6 runs")
        print(f"open     {seconds(lambda: opened(folder / 'r.h5')):7.4f} s")
        shards = [folder / f"s{k}.h5" for k in (1, 2)]
        for k, path in enumerate(shards):
            job(path, k * n // 2, n_packs // 2, f"{k + 1}/2")
        took = seconds(lambda: merge(folder / "all.h5", shards))
        print(f"merge    {1e6 * took / n:7.2f} s a 10^6 runs")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory   {peak:7.0f} MB at most")


if __name__ == "__main__":
    main()
