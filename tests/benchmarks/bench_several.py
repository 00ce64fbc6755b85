"""Four ways to the marginals of several sources, on the same problems: noise per millisecond.

For each the standard deviation of modes and bounds between repeats (seeds, or shifts of the
lattices), in half-widths of the 68 % interval, the worst number of a problem; the milliseconds
of processor time of one run with its summaries; and the product noise² × ms, the time that a
noise of one would take if it fell as the root of the time: the smaller the better.

    PYTHONPATH=tests python tests/benchmarks/bench_several.py [--repeats 16]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from problems import simulated

from mpiapp.engines import create
from mpiapp.engines.compressed import compress
from mpiapp.engines.exact import line_marginals
from mpiapp.engines.several import fit, marginals
from mpiapp.posterior import Smoothing
from mpiapp.posterior.marginals import Marginals

SHAPES = [
    (2, 1, 10.0, 0.3),
    (2, 1, (3.0, 30.0), 0.9),
    (2, 5, 10.0, 0.3),
    (3, 2, 3.0, 0.9),
    (3, 20, 10.0, 0.3),
    (5, 1, 10.0, 0.9),
    (5, 1, 1000.0, 0.6),
    (5, 5, 10.0, 0.3),
]
GIBBS = create("gibbs")
DRAWER = create("gibbs", chains=16, draws=80, ess_target=1.0)


def answer(repeats_of, p):
    """Marginals as the engine answers with them."""
    found = [repeats_of(j) for j in range(p.n_sources)]
    return Marginals(found, np.full(p.n_columns, np.inf), None)


def drawn(p, seed):
    """Draws, smoothed: the engine gibbs."""
    return GIBBS.sample(p, seed)


def along_lines(p, seed):
    """Densities along lines through 1280 draws, averaged."""
    values = DRAWER.sample(p, seed).values
    return answer(lambda j: line_marginals(p, values, j), p)


def lattice(level):
    """Gauss–Legendre rules (two sources) or lattices of one level."""

    def integrated(p, seed):
        f = fit(compress(p))
        return answer(lambda j: marginals(f, j, 0.0, seed, last_level=level), p)

    return integrated


METHODS = {
    "draws": drawn,
    "lines": along_lines,
    "quadrature, coarsest": lattice(0),
    "quadrature, next": lattice(1),
}


def noise_and_time(method, p, repeats):
    """The worst standard deviation between repeats, in half-widths, and milliseconds of a run."""
    numbers, spent = [], []
    for seed in range(repeats):
        t0 = time.process_time()
        posterior = method(p, np.random.SeedSequence(seed))
        found = [posterior.summary(j, Smoothing()) for j in range(p.n_sources)]
        spent.append(time.process_time() - t0)
        numbers.append([(s.mode, s.lolim, s.hilim, s.noise) for s in found])
    numbers = np.array(numbers)
    half = 0.5 * (numbers[:, :, 2] - numbers[:, :, 1]).mean(axis=0)[:, None]
    spread = (numbers[:, :, :3].std(axis=0, ddof=1) / half).max()
    # without chance it is the rules that disagree
    noise = max(spread, numbers[:, :, 3].max() if spread == 0.0 else 0.0)
    return noise, 1e3 * float(np.median(spent[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=16)
    repeats = parser.parse_args().repeats
    print(f"| sources × obsids, blend, counts | {' | '.join(METHODS)} |")
    print("|---" * (1 + len(METHODS)) + "|")
    for n, m, source, blend in SHAPES:
        p = simulated(n, m, source, 0.5, np.random.default_rng(n + m), blend=blend)
        cells = []
        for method in METHODS.values():
            noise, ms = noise_and_time(method, p, repeats)
            product = f"{noise * noise * ms:.0e}" if noise > 1e-4 else "below 1e-8"
            cells.append(f"{noise:.4f} in {ms:.1f}, {product}")
        name = f"{n} × {m}, {blend:g}, {' and '.join(f'{s:g}' for s in np.atleast_1d(source))}"
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
