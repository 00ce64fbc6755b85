"""Noise and time of the engine without noise beside gibbs, for problems of many shapes.

Each line is a shape.  Of one problem: the standard deviation of mode or bounds between seeds, in
half-widths of the 68 % interval, the noise that the engine itself states, and the largest
difference from the mean of gibbs in units of that mean's error.  Of many problems: milliseconds of
processor time a run, engine and summaries together, one by one, in a stack and with gibbs; their
ratios are what to look at.

    PYTHONPATH=tests python tests/benchmarks/bench_exact.py [--repeats 20] [--problems 40]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from problems import simulated

from mpiapp.catalog.problems import Problems
from mpiapp.engines import create
from mpiapp.posterior import Smoothing

SHAPES = [
    (1, 1, 20.0, 0.0),
    (1, 5, 10.0, 0.0),
    (1, 100, 10.0, 0.0),
    (2, 1, 10.0, 0.3),
    (2, 1, (3.0, 30.0), 0.9),
    (2, 5, 10.0, 0.3),
    (5, 5, 10.0, 0.3),
    (3, 20, 10.0, 0.3),
]


def answer(engine, p, seed):
    """(n_sources, 4) mode, lolim, hilim and noise."""
    posterior = engine.sample(p, np.random.SeedSequence(seed))
    found = [posterior.summary(j, Smoothing()) for j in range(p.n_sources)]
    return [(s.mode, s.lolim, s.hilim, s.noise) for s in found]


def milliseconds(work, number):
    """Processor time of one of so many problems; the work is done once before, to warm up."""
    work()
    t0 = time.process_time()
    work()
    return 1e3 * (time.process_time() - t0) / number


def times(problems):
    """(exact one by one, exact in a batch, gibbs) milliseconds a problem."""
    exact, gibbs, batch = create("exact"), create("gibbs"), Problems.of(problems)
    few = problems[:10]
    return (
        milliseconds(lambda: [answer(exact, p, 0) for p in problems], len(problems)),
        milliseconds(lambda: exact.summarise(batch, Smoothing()), len(problems)),
        milliseconds(lambda: [answer(gibbs, p, 0) for p in few], len(few)),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--problems", type=int, default=40)
    options = parser.parse_args()
    repeats = options.repeats
    print(
        "| sources × obsids, blend | spread | stated | gibbs | off, σ | ms | stack | gibbs | ratio "
        "| stack |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for n, m, source, blend in SHAPES:
        problems = [
            simulated(n, m, source, 0.5, np.random.default_rng([i, n + m]), blend=blend)
            for i in range(options.problems)
        ]
        ours, theirs = (
            np.array([answer(create(name), problems[0], seed) for seed in range(repeats)])
            for name in ("exact", "gibbs")
        )
        half = 0.5 * (ours[:, :, 2] - ours[:, :, 1]).mean(axis=0)[:, None]
        spread, their_spread = (x[:, :, :3].std(axis=0, ddof=1) / half for x in (ours, theirs))
        off = (ours - theirs)[:, :, :3].mean(axis=0) / half
        error = np.hypot(spread, their_spread) / np.sqrt(repeats)
        off = np.abs(off[error > 0] / error[error > 0])
        alone, stacked, drawn = times(problems)
        print(
            f"| {n} × {m}, {blend:g} | {spread.max():.4f} | {ours[:, :, 3].max():.4f} "
            f"| {their_spread.max():.4f} | {off.max():.1f} | {alone:.3f} | {stacked:.3f} "
            f"| {drawn:.2f} | {alone / drawn:.2f} | {stacked / drawn:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
