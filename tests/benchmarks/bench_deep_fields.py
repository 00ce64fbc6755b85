"""Deep fields, masters of 20 sources in 100 obsids and bundles of 30: `exact` beside `gibbs`.

    PYTHONPATH=tests python tests/benchmarks/bench_deep_fields.py [--sets 8] [SHAPE ...]

A field is a cluster of overlapping apertures, of which each is as near to one before it as the
shape says; its sources have 1 to 1000 counts in all obsids together.  For each: processor time and
memory of both engines; the noise that `exact` states; and how far its modes and bounds are
from means over sets of long runs of `gibbs`, in half-widths of the 68 % interval: root mean square
over the sources, the largest, and the former in units of the error that both state.
"""

from __future__ import annotations

import argparse
import resource
import time
from multiprocessing import get_context

import numpy as np
from problems import problem, simulated

from mpiapp.engines import create
from mpiapp.posterior import Smoothing

# Sources, obsids, and the distance to the nearest source, in radii of an aperture.
SHAPES = {
    "20x100": (20, 100, 1.2),
    "20x100 blended": (20, 100, 0.8),
    "10x100": (10, 100, 1.0),
    "30x1": (30, 1, 1.2),
    "30x1 blended": (30, 1, 0.8),
    "30x5": (30, 5, 1.0),
}


def field(n_sources, n_obsids, distance, seed=0):
    """A cluster of sources as every obsid sees it, with a point-spread function of its own."""
    rng = np.random.default_rng([seed, n_sources, n_obsids])
    place = np.zeros((1, 2))
    while len(place) < n_sources:
        angle = rng.uniform(0.0, 2.0 * np.pi)
        new = place[rng.integers(len(place))] + distance * np.array([np.cos(angle), np.sin(angle)])
        if np.hypot(*(place - new).T).min() > 0.99 * distance:
            place = np.vstack([place, new])
    apart = np.hypot(*(place[:, None] - place[None]).T)
    rows = n_sources + 1
    F = np.zeros((rows * n_obsids, n_sources + n_obsids))
    for k in range(n_obsids):
        block = slice(k * rows, (k + 1) * rows)
        width = rng.uniform(0.6, 0.85)
        psf = 0.9 * np.exp(-((apart / width) ** 2))
        exposure = rng.uniform(0.3, 1.0) / n_obsids
        F[block, :n_sources] = exposure * np.vstack([psf, np.full(n_sources, 0.05)])
        F[block, n_sources + k] = np.append(np.full(n_sources, 10.0), 200.0 * n_sources)
    source = 10.0 ** rng.uniform(0.0, 3.0, n_sources)
    background = np.full(n_obsids, 0.02)
    upper = np.append(np.full(n_sources, 1e8), np.full(n_obsids, 1e6))
    return problem(rng.poisson(F @ np.append(source, background)), F, n_sources, upper)


def answer(engine, p, seed):
    """(n_sources, 4) mode, lolim, hilim and noise; method and whether it is flagged."""
    posterior = engine.sample(p, np.random.SeedSequence(seed))
    found = [posterior.summary(j, Smoothing()) for j in range(p.n_sources)]
    numbers = np.array([(s.mode, s.lolim, s.hilim, s.noise) for s in found])
    return numbers, posterior.method, posterior.limited


def alone(name, shape):
    """The answer in a process of its own, with its seconds and what memory it added, in MB."""
    engine = create(name)
    answer(engine, simulated(2, 1, 5.0, 0.1, np.random.default_rng(0)), 0)
    p = field(*SHAPES[shape])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    t0 = time.process_time()
    found = answer(engine, p, 0)
    seconds = time.process_time() - t0
    return found, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    parser.add_argument("--sets", type=int, default=8)
    parser.add_argument("--ess", type=float, default=20_000.0, help="of a set")
    options = parser.parse_args()
    print(
        "| sources × obsids | `exact`, s | `gibbs`, s | ratio | MB | MB | method, flag "
        "| stated noise | difference: rms | largest | rms in its error |"
    )
    print("|---" * 11 + "|")
    reference = create("gibbs", ess_target=options.ess, max_draws=100_000)
    for shape in options.shapes or SHAPES:
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            (ours, method, is_flagged), spent, added = pool.apply(alone, ("exact", shape))
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            _, their_spent, their_added = pool.apply(alone, ("gibbs", shape))
        p = field(*SHAPES[shape])
        theirs = np.array([answer(reference, p, seed)[0] for seed in range(options.sets)])
        half = 0.5 * (ours[:, 2] - ours[:, 1])[:, None]
        off = (theirs[:, :, :3].mean(axis=0) - ours[:, :3]) / half
        spread = theirs[:, :, :3].std(axis=0, ddof=1) / half / np.sqrt(options.sets)
        ratio = np.sqrt((off**2).mean() / (spread**2 + ours[:, 3:] ** 2).mean())
        print(
            f"| {shape.replace('x', ' × ')} | {spent:.2f} | {their_spent:.2f} "
            f"| {spent / their_spent:.1f} | {added:.0f} | {their_added:.0f} "
            f"| {method}{', noisy' if is_flagged else ''} | {ours[:, 3].max():.4f} "
            f"| {np.sqrt((off**2).mean()):.4f} | {np.abs(off).max():.4f} | {ratio:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
