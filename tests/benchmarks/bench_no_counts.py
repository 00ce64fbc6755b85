"""Published upper limits of no counts by the engine of CSC 2.0, with priors of Eq. 8 or its own.

    PYTHONPATH=tests python tests/benchmarks/bench_no_counts.py [ROWS] [N]

ROWS is a table as for `mpiapp verify --catalog`, the shipped example by default, N how many limits.
"""

import sys
from pathlib import Path

import numpy as np

from mpiapp.catalog.problem import Problem
from mpiapp.engines import SamplingError, create
from mpiapp.posterior.mpdf import summarise
from mpiapp.validate.effective import Responses
from mpiapp.validate.real_limits import limits
from mpiapp.validate.real_rows import read_rows

EXAMPLE = Path(__file__).parents[2] / "config" / "example" / "csc20_rows.csv.gz"
WIDE = {"source": 1e6, "background": 1e6}


def main(path=EXAMPLE, most=200):
    rows = read_rows(path)
    found = limits(rows, Responses(rows.counts), most=10**6)
    none = np.flatnonzero((found.source == 0) & (found.published[:, 0] == 0))
    none = np.random.default_rng(1).permutation(none)[: int(most)]
    published = found.published[none, 2] / found.scale[none]
    print(f"{len(none)} limits of no counts, hilim times f, 5, 16, 50, 84, 95 %")
    print(f"{'published':>24} {_spread(published)}")
    for least in (0.0, 0.5):
        engine, hilims, ess = create("get_draws", least_variance=least), [], []
        for i in none:
            counts = np.array([0, int(found.background[i])])
            F = np.array([[1.0, found.ratio[i]], [0.0, 1.0]])
            problem = Problem.of(counts, F, 1, "cnts", "ACIS", WIDE)
            try:
                draws = engine.sample(problem, np.random.SeedSequence([i]))
            except SamplingError:
                continue
            hilims.append(summarise(draws.of(0)).hilim)
            ess.append(draws.ess[0])
        name = f"least variance {least}"
        print(f"{name:>24} {_spread(hilims)}, ESS {np.median(ess):.0f}, "
              f"{len(none) - len(hilims)} failed")  # fmt: skip


def _spread(values):
    return " ".join(f"{v:.3f}" for v in np.percentile(values, (5, 16, 50, 84, 95)))


if __name__ == "__main__":
    main(*sys.argv[1:])
