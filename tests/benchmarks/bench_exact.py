"""Noise and time of the engine without noise beside gibbs, for problems of many shapes.

Each line is one problem: the standard deviation of mode or bounds between seeds, in
half-widths of the 68 % interval, the noise that the engine itself states, the largest
difference from the mean of gibbs in units of that mean's error, and milliseconds of
processor time a run, engine and summaries together, whose ratio is what to look at.

    PYTHONPATH=tests python tests/benchmarks/bench_exact.py [--repeats 20]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from problems import simulated

from mpiapp.posterior import Smoothing
from mpiapp.sampling import create

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


def repeat(engine, p, repeats):
    """(repeats, n_sources, 4) mode, lolim, hilim and noise, and the milliseconds of one run."""
    numbers, spent = [], []
    for seed in range(repeats):
        t0 = time.process_time()
        posterior = engine.sample(p, np.random.SeedSequence(seed))
        found = [posterior.summary(j, Smoothing()) for j in range(p.n_sources)]
        spent.append(time.process_time() - t0)
        numbers.append([(s.mode, s.lolim, s.hilim, s.noise) for s in found])
    return np.array(numbers), 1e3 * float(np.median(spent[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    print("| sources × obsids, blend | spread | stated | gibbs | off, σ | ms | gibbs | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for n, m, source, blend in SHAPES:
        p = simulated(n, m, source, 0.5, np.random.default_rng(n + m), blend=blend)
        ours, ms = repeat(create("exact"), p, repeats)
        theirs, their_ms = repeat(create("gibbs"), p, repeats)
        half = 0.5 * (ours[:, :, 2] - ours[:, :, 1]).mean(axis=0)[:, None]
        spread, their_spread = (x[:, :, :3].std(axis=0, ddof=1) / half for x in (ours, theirs))
        off = (ours - theirs)[:, :, :3].mean(axis=0) / half
        error = np.hypot(spread, their_spread) / np.sqrt(repeats)
        off = np.abs(off[error > 0] / error[error > 0])
        print(
            f"| {n} × {m}, {blend:g} | {spread.max():.4f} | {ours[:, :, 3].max():.4f} "
            f"| {their_spread.max():.4f} | {off.max():.1f} | {ms:.2f} | {their_ms:.2f} "
            f"| {ms / their_ms:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
