"""Files and MB a second that prep3 files are written, scanned and read at.

Of layout 1, which astropy writes here, scanned and read.

PYTHONPATH=tests python tests/benchmarks/bench_prep3.py
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from prep3_layout1 import write_layout1

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
    """Processor time of the shortest of several calls."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        function(*args)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    for name, make in CONTENTS.items():
        bundles = make()
        with tempfile.TemporaryDirectory() as folder:
            new, old = Path(folder) / "layout 2", Path(folder) / "layout 1"
            timed = [(new, "write", seconds(write_prep3, new, "s", "o", "ACIS", bundles, 1e4))]
            write_layout1(old, bundles, 1e4)
            for path in (new, old):
                timed.append((path, "scan", seconds(scan_prep3, path)))
                timed.append((path, "read", seconds(read_prep3, path)))
            print(f"{name}, {sum(len(b.F) for b in bundles)} runs")
            for path, action, time_s in timed:
                megabytes = path.stat().st_size / 1e6
                print(
                    f"  {path.name}, {megabytes:5.2f} MB: {action:6} {time_s * 1e3:8.2f} ms", end=""
                )
                print(f" {1 / time_s:8.1f} files/s {megabytes / time_s:8.1f} MB/s")


if __name__ == "__main__":
    main()
