"""A large catalog in one job that is killed on the way and resumed, and what all of CSC 2.1 takes.

    python tests/benchmarks/bench_catalog.py DIR [--detections N] [--workers W] [--kill SHARE]

Simulates prep3 and mst3 files in DIR, unless they are there, and measures them at all levels with
the engine `exact` under mpiexec.  At a share of the runs all ranks are killed, and the job is
resumed.  Prints wall and processor time, runs a second, the memory of every rank and what it has
read and written as time goes on, and the projection to 10⁸ runs.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from mpiapp.files.results import open_results

CONFIG = """\
seed = 1
[[input]]
prep3 = '{0}/sky/prep3'
mst3 = '{0}/sky/mst3.fits'
[output]
results = '{0}/results.h5'
[engine]
name = 'exact'
"""
SECONDS = 20.0  # between two lines
MB = 1e-6


class Rank:
    """What the kernel tells of one process; of a dead one what it told last."""

    def __init__(self, pid: int):
        self.pid = pid
        self.rss = self.read = self.written = self.seconds = 0.0

    def look(self) -> None:
        proc = Path("/proc") / str(self.pid)
        try:
            io = dict(line.split(": ") for line in (proc / "io").read_text().splitlines())
            status = (proc / "status").read_text()
            ticks = (proc / "stat").read_text().rsplit(")", 1)[1].split()
            self.rss = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 * MB
        except (OSError, TypeError):  # it has ended
            return
        self.read, self.written = int(io["rchar"]) * MB, int(io["wchar"]) * MB
        self.seconds = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(child) for child in found]


def ranks_of(pid: int) -> list[int]:
    """The Python processes below a launcher, in the order in which it started them."""
    below = children(pid)
    found = [p for p in below if "python" in os.readlink(f"/proc/{p}/exe")]
    return sorted(found) or [p for child in below for p in ranks_of(child)]


def done(log: Path) -> int:
    """Runs that the last line of progress tells of."""
    found = re.findall(r"(\d+)/\d+ runs", log.read_text())
    return int(found[-1]) if found else 0


def job(folder: Path, workers: int, kill_at: float) -> tuple[float, list[Rank]]:
    """One job, killed once so many runs are done; its wall time and its ranks."""
    log = folder / "log"
    begun = time.monotonic()
    with log.open("w") as out:
        launcher = str(Path(sys.executable).with_name("mpiexec"))
        command = [launcher, "-n", str(workers + 1), sys.executable, "-m", "mpiapp", "run"]
        command += [str(folder / "job.toml"), "--resume"]
        environment = dict(os.environ, OMP_NUM_THREADS="1", COLUMNS="80")
        running = subprocess.Popen(command, stderr=out, stdout=out, env=environment)
        ranks: list[Rank] = []
        last = 0.0
        while running.poll() is None:
            time.sleep(0.5)
            if len(ranks) <= workers:
                ranks = [Rank(pid) for pid in ranks_of(running.pid)]
            for rank in ranks:
                rank.look()
            now = time.monotonic() - begun
            if now - last > SECONDS:
                last = now
                memory = " ".join(f"{rank.rss:6.0f}" for rank in ranks)
                read = sum(rank.read for rank in ranks)
                written = sum(rank.written for rank in ranks)
                print(
                    f"{now:7.0f} {done(log):9d}   {memory}   {read:9.0f} {written:9.0f}", flush=True
                )
            if done(log) > kill_at:
                for rank in ranks:
                    os.kill(rank.pid, signal.SIGKILL)
                running.wait()
    return time.monotonic() - begun, ranks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detections", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--kill", type=float, default=0.4, help="at this share of the runs; 0: not at all (0.4)"
    )
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not (folder / "sky" / "mst3.fits").exists():
        command = [sys.executable, "-m", "mpiapp", "simulate", folder / "sky"]
        subprocess.run([*command, "--detections", str(options.detections)], check=True)
    (folder / "job.toml").write_text(CONFIG.format(folder))
    print("seconds      runs   MB of each rank, the leading one first   MB read, written by all")
    expected = 52 * options.detections  # as `mpiapp plan` would say, about
    results = folder / "results.h5"
    first, killed = 0.0, []
    if options.kill:
        first, killed = job(folder, options.workers, options.kill * expected)
        print(f"killed after {first:.0f} s: {len_of(folder / 'results.h5')} runs are on disk")
    second, resumed = job(folder, options.workers, np.inf)
    print((folder / "log").read_text().splitlines()[-1])
    n_runs = len_of(results)
    with open_results(results) as found:
        ids = found.column("runs", "run_id")
        outcomes = np.unique(found.column("runs", "outcome"), return_counts=True)
    assert len(np.unique(ids)) == len(ids)
    wall = first + second
    seconds = sum(rank.seconds for rank in (*killed, *resumed))
    lead = sum(rank.seconds for rank in (*killed[:1], resumed[0]))
    print(f"{n_runs} runs in {wall:.0f} s of wall time, {seconds:.0f} s of processor time")
    print(f"  {dict(zip(*(a.tolist() for a in outcomes)))} runs of each outcome")
    print(f"  {n_runs / wall:.0f} runs/s, {1e3 * seconds / n_runs:.3f} ms of processor time a run,")
    print(f"  of which the leading rank {1e3 * lead / n_runs:.4f} ms")
    print(f"  {results.stat().st_size / n_runs:.0f} bytes a run in the results")
    for cores in (64, 8):
        busy = 1e8 * seconds / n_runs / cores
        print(f"10^8 runs on {cores} cores: {busy / 60:.1f} min if all are busy; the leading rank")
        print(f"  alone needs {1e8 * lead / n_runs / 60:.1f} min")


def len_of(path: Path) -> int:
    with open_results(path) as results:
        return len(results)


if __name__ == "__main__":
    main()
