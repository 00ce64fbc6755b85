"""Hardness ratios and variability of a simulated survey, held against its truth.

    python tests/benchmarks/bench_products.py [--masters N]

Simulates observations of sources in two bands, of exposures that vary by three and half a count
of background in the source aperture, measures them with the engine `exact`, and prints

- how often the bounds of hardness ratios hold the truth and how far their modes are from it, as
  exported (densities smoothed, limits as exponentials) and of the posteriors themselves;
- how often sources that are constant, in flux and in hardness, are said to vary;
- how often those that do vary are found.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402
from problems import matrix, problem  # noqa: E402

from mpiapp.engines import create  # noqa: E402
from mpiapp.files.schema import MPDF_DTYPE, MPDF_POINTS  # noqa: E402
from mpiapp.posterior import Smoothing  # noqa: E402
from mpiapp.products.hardness import hardness_ratios  # noqa: E402
from mpiapp.products.kept import catalog_densities  # noqa: E402
from mpiapp.products.variability import chances, flux_constancy, hardness_constancy  # noqa: E402

COUNTS = (1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)  # expected in both bands of an observation
HARDNESS = (-0.9, -0.5, 0.0, 0.5)
OBSERVATIONS = (2, 3, 5, 20)
BACKGROUND = 0.05  # counts per pixel, of which the source aperture has 10
CHANCES = (0.1, 0.01, 0.001)
FACTORS = (2.0, 3.0, 10.0)
ENGINE = create("exact")


def densities(rng, intensities):
    """Posteriors of (n,) intensities in counts, each observed once: what /mpdf would keep.

    (low, high, density, mean, rms) and rows of /mpdf with their limits, the exposures of the
    observations varying by three.
    """
    n = len(intensities)
    low, high, mean, rms, limits = np.full((5, n), np.nan)
    density = np.empty((n, MPDF_POINTS))
    upper = np.array([1e8, 1e6])
    for i, truth in enumerate(intensities):
        F = matrix(1, 1, rng=rng)
        counts = rng.poisson(F @ np.array([truth, BACKGROUND]))
        posterior = ENGINE.sample(problem(counts, F, 1, upper), np.random.SeedSequence(0))
        found = posterior.tabulated(0, MPDF_POINTS, Smoothing())
        low[i], high[i], density[i] = found.low, found.high, found.density
        mean[i], rms[i] = posterior.mean(0), posterior.std(0)
        summary = posterior.summary(0, Smoothing())
        limits[i] = summary.hilim if summary.is_upper_limit else np.nan
    kept = np.zeros(n, MPDF_DTYPE)
    kept["low"], kept["high"], kept["density"] = low, high, density
    return (low, high, density, mean, rms), (kept, limits)


def hardness_table(rng, n):
    error = 100 * np.sqrt(0.68 * 0.32 / n)
    print(f"\n{n} sources each; standard error of a share about {error:.1f} %")
    print("  counts    truth   inside    bias   one-sided | posteriors: inside    bias")
    for counts in COUNTS:
        for truth in HARDNESS:
            # of an exposure of 0.65, the mean, and 0.9 of the PSF
            total = counts / (0.65 * 0.9)
            x, kept_x = densities(rng, np.full(n, total * (1 + truth) / 2))
            y, kept_y = densities(rng, np.full(n, total * (1 - truth) / 2))
            line = f"{counts:8g} {truth:8.1f}"
            exported = [catalog_densities(*kept, Smoothing()) for kept in (kept_x, kept_y)]
            for is_exported, (a, b) in ((True, exported), (False, (x[:3], y[:3]))):
                found = hardness_ratios(*a, *b, 0.68)
                mode, low, high = found.T
                line += f" {100 * ((low <= truth) & (truth <= high)).mean():8.1f}"
                line += f" {np.median(mode) - truth:+8.2f}"
                if is_exported:
                    line += f" {100 * ((low == -1) | (high == 1)).mean():9.1f}   |            "
            print(line, flush=True)


def both_chances(rng, n, observations, counts, factor=1.0, truth=0.0, other=None):
    """Chances of the fluxes in a band, and of the hardness ratios, of n sources.

    factor : of the flux in the last observation; truth, other : hardness, and that in the last one
    """
    levels = np.full((n, observations), counts / (0.65 * 0.9))
    levels[:, -1] *= factor
    ratio = np.full((n, observations), truth)
    ratio[:, -1] = truth if other is None else other
    first = np.arange(0, n * observations + 1, observations)
    x, _ = densities(rng, (levels * (1 + ratio) / 2).ravel())
    y, _ = densities(rng, (levels * (1 - ratio) / 2).ravel())
    return chances(flux_constancy(*x, first)), chances(hardness_constancy(*x, *y, first))


def share(values, limit):
    return f"{100 * (values < limit).mean():8.2f}"


def false_alarms(rng, n):
    print("\nfalse alarms in %, of constant sources with so many counts in both bands together")
    print("                         flux, Q <                    hardness, Q <")
    heads = "".join(f"{q:8g}" for q in CHANCES)
    print(f"observations  counts {heads}    {heads}")
    for observations in OBSERVATIONS:
        m = max(n // observations * 2, 250)
        for counts in COUNTS:
            flux, hardness = both_chances(rng, m, observations, counts)
            shares = ["".join(share(of, q) for q in CHANCES) for of in (flux, hardness)]
            print(f"{observations:12d} {counts:7g} {shares[0]}    {shares[1]}   of {m}", flush=True)


def detections(rng, n):
    print(
        "\nfound with Q < 0.001 in %: the last of three observations is brighter, or its hardness"
    )
    print("ratio is 0.5 and that of the others -0.5")
    print("  counts" + "".join(f"   x {f:g}" for f in FACTORS) + "   harder")
    for counts in COUNTS:
        line = f"{counts:8g}"
        for factor in FACTORS:
            line += share(both_chances(rng, n, 3, counts, factor)[0], 1e-3)
        line += share(both_chances(rng, n, 3, counts, truth=-0.5, other=0.5)[1], 1e-3)
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masters", type=int, default=1000, help="sources of each kind (1000)")
    n = parser.parse_args().masters
    rng = np.random.default_rng(7)
    hardness_table(rng, n)
    false_alarms(rng, n)
    detections(rng, n // 4)


if __name__ == "__main__":
    main()
