"""Time and memory of `mpiapp export` for 10⁶ results.

    python tests/benchmarks/bench_export.py [--rows N] [--mpdf] [--suffix .fits]

Writes a results file of observations with five bands, two apertures and four quantities; with
--mpdf three bands of photon flux alone, whose densities are kept, so that hardness ratios are made.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402
from gammas import Gamma  # noqa: E402

from mpiapp.catalog.quantities import APERTURES, QUANTITIES  # noqa: E402
from mpiapp.files.schema import MPDF_DTYPE, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch  # noqa: E402
from mpiapp.files.writer import Writer  # noqa: E402

BATCH = 2000  # detections


def write(path, n_rows, keeps):
    """A results file of about n_rows results, each a run; returns how many."""
    matrices = list(product("bhmsu", APERTURES, QUANTITIES))
    if keeps:
        matrices = list(product("hms", ("aper",), ("photflux",)))
    tables = [Gamma(float(c), 1e7).table() for c in range(1, 101)]
    rng = np.random.default_rng(1)
    writer = Writer(path.with_name(path.name + ".parts"))
    n_detections = -(-n_rows // len(matrices))
    for start in range(0, n_detections, BATCH):
        numbers = range(start, min(start + BATCH, n_detections))
        n = len(numbers) * len(matrices)
        rows, runs = np.zeros(n, PHOTOMETRY_DTYPE), np.zeros(n, RUNS_DTYPE)
        targets = [f"acisfJ{i // 500:07d}/{i % 20:05d}/b{i:06d}" for i in numbers]
        rows["level"], rows["target"] = b"obsid", np.repeat(targets, len(matrices)).astype("S96")
        rows["component"] = b"r0001"
        for name, words in zip(("band", "aperture", "quantity"), zip(*matrices)):
            rows[name] = np.tile(np.array(words, dtype="S8"), len(numbers))
        for name in ("value", "lolim", "hilim", "mode", "mean", "rms"):
            rows[name] = rng.uniform(1, 2, n)
        rows["run_id"] = runs["run_id"] = start * len(matrices) + np.arange(n)
        runs["n_rows"] = 1
        mpdf = np.zeros(n if keeps else 0, MPDF_DTYPE)
        if keeps:
            mpdf["run_id"] = rows["run_id"]
            for one, which in zip(mpdf, rng.integers(0, len(tables), n).tolist()):
                one["low"], one["high"], one["density"] = tables[which]
        writer.append(Batch(rows, runs, [], [], mpdf))
    writer.publish(path)
    return n_detections * len(matrices)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mpdf", action="store_true", help="with hardness ratios")
    parser.add_argument("--suffix", default=".fits,.parquet")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.h5"
        n = write(path, args.rows, args.mpdf)
        for suffix in args.suffix.split(","):
            command = [sys.executable, "-m", "mpiapp", "export", str(path)]
            command += [str(path.with_suffix(suffix)), "--level", "obsid"]
            t0, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, check=True, timeout=3600)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"{suffix}: {n} results, {time.perf_counter() - t0:.1f} s, processor {cpu:.1f} s, "
                f"at most {used.ru_maxrss / 1024:.0f} MB"
            )


if __name__ == "__main__":
    main()
