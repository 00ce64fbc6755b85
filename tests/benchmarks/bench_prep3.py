"""Files and MB a second that prep3 files are written, scanned and read at.

python tests/benchmarks/bench_prep3.py
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.quantities import APERTURES, INSTRUMENT_BANDS, TABLE_1, Matrix
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.files.prep3_write import write_prep3


def bundles_of(sizes: list[int]) -> list[Bundle]:
    """Bundles of so many components in five bands, both apertures and all quantities."""
    rng = np.random.default_rng(1)
    bundles = []
    for i, n in enumerate(sizes):
        counts, F = {}, {}
        for band in INSTRUMENT_BANDS["ACIS"]:
            for aperture in APERTURES:
                counts[band, aperture] = rng.integers(0, 100, n + 1)
                for quantity in TABLE_1:
                    F[Matrix(band, aperture, quantity)] = rng.uniform(0.1, 1, (n + 1, n + 1))
        components = tuple(f"r{i:04d}{j}" for j in range(n))
        bundles.append(Bundle(ObsidBundle("s", "o", f"b{i}"), "ACIS", components, counts, F))
    return bundles


def one_run() -> list[Bundle]:
    """A single source in one band and aperture."""
    (bundle,) = bundles_of([1])
    pair = next(iter(bundle.counts))
    F = {matrix: values for matrix, values in bundle.F.items() if matrix[:2] == pair}
    return [replace(bundle, counts={pair: bundle.counts[pair]}, F=F)]


CONTENTS = {
    "80 bundles of 1 to 5 sources": lambda: bundles_of([1 + i % 5 for i in range(80)]),
    "one source, band and aperture": one_run,
    "1,000 single sources": lambda: bundles_of([1] * 1000),
    "the same and a bundle of 50": lambda: bundles_of([1] * 1000 + [50]),
}


def seconds(function, *args, repeat: int = 7) -> float:
    """Shortest of several calls."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    for name, make in CONTENTS.items():
        bundles = make()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "obsid_prep3.fits"
            timed = {
                "write": seconds(write_prep3, path, "s", "o", "ACIS", bundles, 1e4),
                "scan": seconds(scan_prep3, path),
                "read": seconds(read_prep3, path),
            }
            megabytes = path.stat().st_size / 1e6
        print(f"{name}, {sum(len(b.F) for b in bundles)} runs, {megabytes:.2f} MB")
        for what, time_s in timed.items():
            print(f"  {what:6} {time_s * 1e3:8.2f} ms {1 / time_s:8.1f} files/s", end="")
            print(f" {megabytes / time_s:8.1f} MB/s")


if __name__ == "__main__":
    main()
