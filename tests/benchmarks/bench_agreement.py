"""The engine exact against 10⁵ draws of pymc3, problem by problem.

For each the largest difference of a mode or bound, in half-widths of the 68 % interval and in
units of its error, which is the noise of the draws and that of the marginals together.  Where
the two decide differently for an upper limit, modes alone are compared.

    PYTHONPATH=tests python tests/benchmarks/bench_agreement.py [--problems 20] [--draws 100000]
"""

from __future__ import annotations

import argparse
import logging
import tempfile

import numpy as np
from problems import simulated

from mpiapp.parallel import compiledir
from mpiapp.posterior import Smoothing
from mpiapp.sampling import create

SHAPES = ((1, 1), (2, 1), (3, 1), (2, 2))


def compare(p, seed, exact, pymc3):
    """(largest difference in half-widths, in its error, decisions that differ)."""
    posteriors = [engine.sample(p, np.random.SeedSequence(seed)) for engine in (exact, pymc3)]
    differences, errors, decided = [], [], 0
    for j in range(p.n_sources):
        one, other = (posterior.summary(j, Smoothing()) for posterior in posteriors)
        half = 0.5 * (one.hilim - one.lolim)
        same = one.is_upper_limit == other.is_upper_limit
        decided += not same
        names = ("mode", "lolim", "hilim") if same else ("mode",)
        differences.append(max(abs(getattr(one, n) - getattr(other, n)) for n in names) / half)
        errors.append(differences[-1] / np.hypot(one.noise, other.noise))
    return max(differences), max(errors), decided


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--draws", type=int, default=100_000)
    options = parser.parse_args()
    compiledir.claim(0, tempfile.mkdtemp(prefix="mpiapp-bench-"))
    logging.getLogger("pymc3").setLevel(logging.ERROR)
    exact, pymc3 = create("exact"), create("pymc3", draws=options.draws // 2)
    print("| sources × obsids, blend, counts | difference | in its error | decisions that differ |")
    print("|---|---|---|---|")
    rng = np.random.default_rng(1)
    for i in range(options.problems):
        n, m = SHAPES[i % len(SHAPES)]
        source = rng.choice([0.0, 2.0, 10.0, 100.0], size=n)
        blend = float(rng.choice([0.0, 0.3, 0.8]))
        p = simulated(n, m, source, 0.1, rng, blend=blend)
        p.upper[:] = np.append(np.full(n, 1e4), np.full(m, 10.0))
        difference, error, decided = compare(p, i, exact, pymc3)
        name = f"{n} × {m}, {blend:g}, {', '.join(f'{s:g}' for s in source)}"
        print(f"| {name} | {difference:.4f} | {error:.1f} | {decided} |", flush=True)


if __name__ == "__main__":
    main()
