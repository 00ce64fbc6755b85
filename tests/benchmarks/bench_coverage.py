"""How often 68 % intervals hold the truth, by rule and by intensity.

    PYTHONPATH=tests python tests/benchmarks/bench_coverage.py [--runs N]

One source in one obsid.  First with truths drawn from uniform priors that end where
the truths do, which any posterior must hold with the probability it claims; then as
the catalog is used: Table 1's priors for net counts, and one truth at a time.  The
catalog's rule smooths with a kernel as wide as the rms and makes upper limits of
twice the mode; "quantile" is the true quantile with a narrow kernel.  The last table has two
sources of that intensity, each with half as much of the other in its aperture as of its own.
"""

from __future__ import annotations

import argparse

import numpy as np
from problems import matrix, problem

from mpiapp.catalog.problems import Problems
from mpiapp.catalog.quantities import QUANTITIES
from mpiapp.engines import create
from mpiapp.posterior.mpdf import Smoothing, summarise

RULES = {
    "catalog": Smoothing(),
    "quantile": Smoothing(bandwidth=0.1, upper_limit="quantile"),
}
TOPS = (3.0, 10.0, 30.0, 300.0)
TRUTHS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
BACKGROUNDS = (1.0, 25.0)  # counts expected in the source aperture
F = matrix(1, 1, background_area=200.0)
BLENDED = matrix(2, 1, background_area=200.0, blend=0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4000)
    runs = parser.parse_args().runs
    print(f"standard error of each share {100 * np.sqrt(0.68 * 0.32 / runs):.1f} %\n")
    print("truths from a prior that ends at the first column's counts")
    heading("")
    for top in TOPS:
        upper = np.array([top, 1.0])
        print_shares(top, lambda rng, upper=upper: rng.uniform(0.0, upper), upper, runs)
    table_1 = np.array(QUANTITIES["cnts"].prior_upper("ACIS"))
    for background in BACKGROUNDS:
        print(f"\nTable 1's priors, {background:g} background counts in the source aperture")
        heading("true ")
        for source in TRUTHS:
            theta = np.array([source / F[0, 0], background / F[0, 1]])
            print_shares(source, lambda rng, theta=theta: theta, table_1, runs)
    upper = np.append(table_1[:1], table_1)
    for background in BACKGROUNDS:
        print(f"\nTwo blended sources, {background:g} background counts in the source aperture")
        heading("true ")
        for source in TRUTHS:
            theta = np.array([source / F[0, 0], source / F[0, 0], background / F[0, 1]])
            print_blended(source, theta, upper, runs)


def print_blended(label, theta, upper, runs):
    """Shares of `runs` intervals that hold the first of two blended sources, by `exact`."""
    rng, engine = np.random.default_rng(0), create("exact")
    problems = Problems.of(
        [problem(rng.poisson(BLENDED @ theta), BLENDED, 2, upper) for _ in range(runs)]
    )
    shares, limits = [], 0.0
    for rule, smoothing in RULES.items():
        found = engine.summarise(problems, smoothing)
        held = (found.numbers["lolim"][:, 0] <= theta[0]) & (
            theta[0] <= found.numbers["hilim"][:, 0]
        )
        shares.append(f"{100 * held.mean():9.1f}%")
        limits = found.is_upper_limit[:, 0].mean() if rule == "catalog" else limits
    print(f"{label:12g}{''.join(shares)}{100 * limits:13.1f}%", flush=True)


def heading(word):
    print(f"{word + 'counts':>12}" + "".join(f"{rule:>10}" for rule in RULES) + "   upper limits")


def print_shares(label, draw_truth, upper, runs):
    """Shares of `runs` intervals that hold the source's truth, a column for each rule."""
    engine, rng = create("gibbs"), np.random.default_rng(0)
    held, limits = dict.fromkeys(RULES, 0), 0
    for n in range(runs):
        theta = draw_truth(rng)
        draws = engine.sample(
            problem(rng.poisson(F @ theta), F, 1, upper), np.random.SeedSequence(n)
        )
        for rule, smoothing in RULES.items():
            s = summarise(draws.of(0), smoothing)
            held[rule] += s.lolim <= theta[0] <= s.hilim
            if rule == "catalog":
                limits += s.is_upper_limit
    shares = "".join(f"{100 * n / runs:9.1f}%" for n in held.values())
    print(f"{label:12g}{shares}{100 * limits / runs:13.1f}%", flush=True)


if __name__ == "__main__":
    main()
