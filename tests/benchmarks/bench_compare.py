"""Time and memory to compare two results files of a million rows each.

python tests/benchmarks/bench_compare.py [ROWS]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mpiapp.files.results import work_path
from mpiapp.files.schema import PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from mpiapp.files.writer import Writer
from mpiapp.report.compare import compare, report
from mpiapp.report.matching import CHUNK_ROWS, open_side


def rows_of(ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Measured rows with made-up keys and values that scatter by a tenth of their width."""
    rows = np.zeros(len(ids), PHOTOMETRY_DTYPE)
    rows["run_id"] = ids
    rows["level"] = b"obsid"
    rows["target"] = np.char.add(b"acisf0332281m274818_001/16190/b", ids.astype("S20"))
    rows["band"] = np.array([b"b", b"h", b"m", b"s", b"u"])[ids % 5]
    rows["aperture"] = b"aper"
    rows["quantity"] = np.array([b"flux", b"photflux", b"rate", b"cnts"])[ids % 4]
    rows["component"] = np.char.add(b"r", (ids % 100).astype("S4"))
    rows["value"] = rows["mode"] = 1 + ids % 1000 + 0.1 * rng.normal(size=len(ids))
    rows["lolim"], rows["hilim"] = rows["value"] - 1, rows["value"] + 1
    return rows


def write(path: Path, n: int, seed: int) -> None:
    """A results file whose rows stand in an order of its own, as runs end."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(n).astype(np.uint64)
    writer = Writer(work_path(path))
    for part in np.array_split(ids, max(1, n // CHUNK_ROWS)):
        runs = np.zeros(len(part), RUNS_DTYPE)
        runs["run_id"], runs["n_rows"] = part, 1
        writer.append(Batch(rows_of(part, rng), runs, [], []))
    writer.publish(path)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("a.h5", "b.h5")]
        for seed, path in enumerate(paths):
            write(path, n, seed)
        t0 = time.process_time()
        with open_side(paths[0]) as side:
            read = sum(len(rows) for rows in side.chunks())
        t1 = time.process_time()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with open_side(paths[0]) as side, open_side(paths[1]) as reference:
            found = compare(side, reference)
        t2 = time.process_time()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(report([found], ("level", "quantity"), 0))
    print(
        f"{read} rows a side: {t2 - t1:.1f} s of CPU, {(t2 - t1) / (t1 - t0):.1f} times what "
        f"reading one file once takes; {after - before:.0f} MB beyond the peak of writing them"
    )


if __name__ == "__main__":
    main()
