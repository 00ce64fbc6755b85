"""What a second worker gains, and whether memory grows: whole jobs, measured side by side.

    PYTHONPATH=tests python tests/benchmarks/bench_workers.py [ENGINE [RUNS [PAIRS]]]

Jobs with one and with two workers alternate.  Throughput counts from the end of the start-up;
start-up has a column of its own.  Beside them two jobs without MPI, alone and at the same time,
show what the machine itself gives for a second core.  Memory is the peak of a worker over its runs:
at a tenth of them, when everything has been met once, and at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from jobs import environment, table, write_job

from mpiapp.files.results import open_results
from mpiapp.report.scaling import Scaling


def run(config: Path, workers: int, out: Path) -> tuple[Scaling, float, float]:
    launcher = Path(sys.executable).with_name("mpiexec")
    subprocess.run(
        [launcher, "-n", str(workers + 1), sys.executable, "-m", "mpiapp", "run", config,
         "--output", out],
        check=True, env=environment(), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with open_results(out) as results:
        runs = results.table("runs")
        (scaling,) = Scaling.of(out.name, results.table("ranks"))
    early, late = [], []
    for rank in np.unique(runs["rank"]):
        memory = np.sort(runs[runs["rank"] == rank], order="finished")["rss"]
        early.append(memory[len(memory) // 10])
        late.append(memory[-1])
    return scaling, float(max(early)), float(max(late))


def side_by_side(config: Path, outs: list[Path]) -> float:
    """Runs per second of serial jobs at the same time, together."""
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", "mpiapp", "run", config, "--output", out],
            env=environment(), stderr=subprocess.DEVNULL,
        )
        for out in outs
    ]  # fmt: skip
    assert not any(job.wait() for job in jobs)
    total = 0.0
    for out in outs:
        with open_results(out) as results:
            (scaling,) = Scaling.of(out.name, results.table("ranks"))
        total += scaling.throughput
    return total


def main() -> None:
    engine = sys.argv[1] if len(sys.argv) > 1 else "gibbs"
    n_runs = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    pairs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    # A source in an obsid or stack is 2 bands × 2 quantities; stacks of 2 obsids and 25 sources.
    stacks = " ".join(f"S{i}" for i in range(max(1, n_runs // (3 * 25 * 4))))
    with tempfile.TemporaryDirectory() as folder:
        config = write_job(Path(folder), engine, text=table(2, 25, stacks))
        print(f"{engine} on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
        print("workers     runs   runs/s  start-up s  slowest/mean   MB at 1/10   MB at the end")
        ratios, ceilings = [], []
        for k in range(pairs):
            found = {}
            for workers in (1, 2):
                s, early, late = run(config, workers, Path(folder) / f"{k}_{workers}.h5")
                found[workers] = s.throughput
                print(
                    f"{workers:7} {s.runs:8} {s.throughput:8.1f} {s.startup:11.1f} "
                    f"{s.imbalance:13.2f} {early:12.0f} {late:15.0f}"
                )
            ratios.append(found[2] / found[1] / 2)
            alone = side_by_side(config, [Path(folder) / f"{k}_alone.h5"])
            both = side_by_side(config, [Path(folder) / f"{k}_{which}.h5" for which in "ab"])
            ceilings.append(both / alone / 2)
    text = ", ".join(f"{100 * ratio:.0f} %" for ratio in ratios)
    print(f"two workers reach {text} of twice one worker: median {100 * np.median(ratios):.0f} %")
    text = ", ".join(f"{100 * ratio:.0f} %" for ratio in ceilings)
    print(f"two jobs apart reach {text} of twice one: median {100 * np.median(ceilings):.0f} %")


if __name__ == "__main__":
    main()
