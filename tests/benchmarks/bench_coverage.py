"""How often 68 % intervals hold the truth, by rule and by intensity.

    python tests/benchmarks/bench_coverage.py [--runs N]

One source in one obsid, truths drawn from the uniform priors that are used.  The
catalog's rule smooths with a kernel as wide as the rms and makes upper limits of
twice the mode; "quantile" is the true quantile with a narrow kernel.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402
from problems import matrix, problem  # noqa: E402

from mpiapp.photometry.mpdf import summarise  # noqa: E402
from mpiapp.sampling import create  # noqa: E402

RULES = {
    "catalog": {},
    "quantile": {"bandwidth": 0.1, "upper_limit": "quantile"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4000)
    runs = parser.parse_args().runs
    engine = create("gibbs")
    F = matrix(1, 1, background_area=50.0)
    print("sources up to  " + "".join(f"{rule:>10}" for rule in RULES) + "   upper limits")
    for top in (3.0, 10.0, 30.0, 300.0):
        upper = np.array([top, 1.0])
        rng = np.random.default_rng(0)
        held, limits = dict.fromkeys(RULES, 0), 0
        for n in range(runs):
            theta = rng.uniform(0.0, upper)
            counts = rng.poisson(F @ theta)
            draws = engine.sample(problem(counts, F, 1, upper), np.random.SeedSequence(n))
            for rule, settings in RULES.items():
                s = summarise(draws.of(0), **settings)
                held[rule] += s.lolim <= theta[0] <= s.hilim
            limits += s.is_upper_limit
        shares = "".join(f"{100 * n / runs:9.1f}%" for n in held.values())
        print(f"{top:7.0f} counts {shares}{100 * limits / runs:13.1f}%")
    print(f"standard error of each {100 * np.sqrt(0.68 * 0.32 / runs):.1f} %")


if __name__ == "__main__":
    main()
