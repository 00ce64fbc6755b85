"""Time to write, scan and read an obsid of 3,200 matrices.

python tests/benchmarks/bench_prep3.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.quantities import APERTURES, INSTRUMENT_BANDS, QUANTITIES, Matrix
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.files.prep3_write import write_prep3

N_BUNDLES = 80


def obsid_of_bundles(n_bundles: int) -> list[Bundle]:
    """Bundles of 1 to 5 components in five bands, both apertures and all quantities."""
    rng = np.random.default_rng(1)
    bundles = []
    for i in range(n_bundles):
        n = int(rng.integers(1, 6))
        counts, F = {}, {}
        for band in INSTRUMENT_BANDS["ACIS"]:
            for aperture in APERTURES:
                counts[band, aperture] = rng.integers(0, 100, n + 1)
                for quantity in QUANTITIES:
                    F[Matrix(band, aperture, quantity)] = rng.uniform(0.1, 1, (n + 1, n + 1))
        components = tuple(f"r{i:04d}{j}" for j in range(n))
        bundles.append(Bundle(ObsidBundle("s", "o", f"b{i}"), "ACIS", components, counts, F))
    return bundles


def seconds(function, *args, repeat: int = 5) -> float:
    """Shortest of several calls."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function(*args)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    bundles = obsid_of_bundles(N_BUNDLES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "obsid_prep3.fits"
        write = seconds(write_prep3, path, "s", "o", "ACIS", bundles, 1e4)
        n_matrices = sum(len(bundle.F) for bundle in bundles)
        size = path.stat().st_size / 1e6
        timed = {
            "read_prep3": seconds(read_prep3, path),
            "read_prep3, unverified": seconds(lambda: read_prep3(path, verify=False)),
            "scan_prep3": seconds(scan_prep3, path),
            "write_prep3": write,
        }
    print(f"{N_BUNDLES} bundles, {n_matrices} matrices, {size:.1f} MB")
    for name, time_s in timed.items():
        print(f"{name:24} {time_s:8.4f} s {time_s / n_matrices * 1e3:9.5f} ms per matrix")


if __name__ == "__main__":
    main()
