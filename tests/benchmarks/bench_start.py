"""What stands before the first number: new processes, timed from their start.

    OMP_NUM_THREADS=1 PYTHONPATH=tests python tests/benchmarks/bench_start.py

`mpiapp measure` of 40 rows of the shipped table; what a worker imports; and jobs of 100 runs with
the engine `exact`, from mpiexec to the first and the last run.  The fastest of three each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from documents import ROOT
from jobs import environment, table, write_job

from mpiapp.files.results import open_results

ROWS, TIMES, RANKS = 40, 3, (1, 8, 64)
WORKER = "import mpiapp.parallel.job, mpiapp.parallel.world, mpiapp.engines.exact"


def timed(command: list, **options) -> tuple[float, float]:
    """Wall time and processor time of a process and its children, in s."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, env=environment(), capture_output=True, **options)
    after = os.times()
    used = after.children_user + after.children_system
    return time.perf_counter() - start, used - before.children_user - before.children_system


def show(name: str, seconds: list[tuple[float, float]]) -> None:
    wall, cpu = np.min(seconds, axis=0)
    print(f"{name:40s} {wall:6.2f} s, {cpu:6.2f} s of processor time")


def job(config: Path, ranks: int) -> tuple[float, ...]:
    """From mpiexec to the first and the last run, and to its end, in s; processor time a rank."""
    out = config.with_name("results.h5")
    launcher, began = Path(sys.executable).with_name("mpiexec"), time.time()
    command = [launcher, "-n", str(ranks), sys.executable, "-m", "mpiapp", "run", config]
    wall, cpu = timed([*command, "--output", out])
    with open_results(out) as results:
        finished = results.table("runs")["finished"]
    out.unlink()
    return finished.min() - began, finished.max() - began, wall, cpu / ranks


def main() -> None:
    x = np.random.default_rng(0).random(100_000) + 0.5
    logarithms = []
    for _ in range(30):
        start = time.perf_counter()
        np.log(x)
        logarithms.append(time.perf_counter() - start)
    print(f"10⁵ logarithms of numpy: {1e3 * min(logarithms):.2f} ms")
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.csv"
        lines = (ROOT / "config/example/field_broad.csv").read_text().splitlines()
        rows.write_text("\n".join(lines[: ROWS + 1]) + "\n")
        measure = [sys.executable, "-m", "mpiapp", "measure", rows, rows.with_suffix(".vot")]
        calls = [timed([*measure, "--overwrite"]) for _ in range(TIMES + 1)]
        show(f"measure {ROWS} rows, first call here", calls[:1])
        show(f"measure {ROWS} rows", calls[1:])
        show("imports of a worker", [timed([sys.executable, "-c", WORKER]) for _ in range(TIMES)])
        config = write_job(Path(folder), "exact", text=table(4, 5))
        for ranks in RANKS:
            first, last, wall, cpu = np.min([job(config, ranks) for _ in range(TIMES)], axis=0)
            print(
                f"job with {ranks} ranks: first run after {first:.2f} s, last {last:.2f} s, "
                f"end {wall:.2f} s; {cpu:.2f} s of processor time a rank"
            )


if __name__ == "__main__":
    main()
