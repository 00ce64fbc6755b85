"""What `exact` says of its noise, against marginals found by other means, over random problems.

Two to six sources in one to five obsids: no counts to 10⁷, blends to 0.95, exposures up to
10¹² apart, background apertures of 0.1 to 1000 source apertures that hold up to 0.8 of a source,
priors that cut.  A mode or bound may deviate from the reference by no more than 3 × noise
+ 10⁻³ half-widths, and by six standard errors of the reference where that has any: one from
16 repeats is beyond six in one of 40,000 cases.

    PYTHONPATH=tests python tests/benchmarks/bench_noise.py [--problems 500] [--seed 1] [--bright]

With `--bright` the sources have 10⁵ to 10⁷ counts each, and modes and widths are also compared
with the peak of the likelihood and its curvature where all sources and backgrounds are clear of
their bounds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import defaultdict

import numpy as np
from problems import problem
from reference_posterior import middle, references

from mpiapp.engines import SamplingError, create
from mpiapp.posterior import Smoothing

ALLOWED = 1e-3  # half-widths
ERRORS = 6.0  # of the reference
LEVEL = 0.68
CLEAR = 8.0  # standard deviations
# Half-widths.  Where a prior cuts so much that the smoothed density is level, the slope that the
# likelihood has left decides the mode, and the reference cannot tell it.
LEVEL_TOP = 0.1


def random_problem(rng, bright=False):
    """(problem, its class) of any kind; with `bright` sources of 10⁵ to 10⁷ counts alone."""
    n = int(rng.choice([2, 3, 4, 5, 6], p=[0.4, 0.25, 0.15, 0.1, 0.1]))
    m = int(rng.integers(1, 6))
    blend = rng.uniform(0.3, 0.9) if bright else rng.uniform(0.0, 0.95)
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    exposures = ["even", "apart"][int(rng.random() < 0.25)]
    kind = "bright" if bright else rng.choice(["faint", "mixed", "bright"], p=[0.35, 0.4, 0.25])
    low, high = {"faint": (-0.5, 2.0), "mixed": (-0.5, 5.0), "bright": (5.0, 7.0)}[kind]
    source = 10.0 ** rng.uniform(low, high, n)
    if not bright:
        source[rng.random(n) < 0.15] = 0.0
    share = 10.0 ** rng.uniform(-3.0, 1.0)  # of the background in a source aperture
    rate = max(share * np.median(source), 0.05) / 10.0
    most = rng.choice([0.03, 0.3, 0.8])
    rows = n + 1
    F = np.zeros((rows * m, n + m))
    for k in range(m):
        exposure = 10.0 ** rng.uniform(-12.0, 0.0) if exposures == "apart" and k else 1.0
        exposure *= rng.uniform(0.3, 1.0)
        part = slice(k * rows, (k + 1) * rows)
        F[part, :n] = exposure * np.vstack(
            [0.9 * blend**apart * rng.uniform(0.8, 1.1, (n, n)), rng.uniform(0.0, most, n)]
        )
        background = 10.0 * 10.0 ** rng.uniform(-1.0, 3.0)
        F[part, n + k] = exposure * np.append(10.0 * rng.uniform(0.5, 1.5, n), background)
    theta = np.append(source, np.full(m, rate))
    upper = np.append(np.full(n, 1e9), np.full(m, 1e9))
    cut = rng.random() < 0.2 and not bright
    if cut:
        j = rng.integers(n + m)
        upper[j] = (theta[j] + 3.0 / F[:, j].max()) * rng.uniform(0.5, 2.0)
    counts = rng.poisson(np.minimum(F @ theta, 5e8))
    return problem(counts, F, n, upper), f"{kind}, {exposures}" + (", cut" if cut else "")


def answers(engine, p):
    """(numbers (n, 6): mode, lolim, hilim, mean, rms and noise; limits; flagged)."""
    found = engine.sample(p, np.random.SeedSequence(0))
    numbers, limits = [], []
    for j in range(p.n_sources):
        s = found.summary(j, Smoothing())
        numbers.append((s.mode, s.lolim, s.hilim, found.mean(j), found.std(j), s.noise))
        limits.append(s.is_upper_limit)
    return np.array(numbers), np.array(limits), found.limited


def deviations(numbers, is_limit, reference):
    """Of one source (differences, errors of the reference), in half-widths, of what is compared.

    Mode, bounds, mean and rms; where the decision for an upper limit differs no bounds; where the
    reference cannot tell the mode only mean and rms.
    """
    half = 0.5 * (reference.numbers[2] - reference.numbers[1])
    alike = is_limit == (reference.share < LEVEL)
    compared = [0, 1, 2, 3, 4] if alike else [0, 3, 4]
    if reference.error[0] > LEVEL_TOP * half:
        compared = [3, 4]
    off = np.abs(numbers[compared] - reference.numbers[compared]) / half
    return off, reference.error[compared] / half


def clear_peak(p):
    """(peak, standard deviations) of the sources' likelihood; None if a bound is near.

    By Newton's method from the middle, without barriers.
    """
    n = p.n_sources
    unit = p.F.sum(axis=0)
    counts, F = p.counts.astype(float), p.F / unit
    theta, _ = middle(counts, F, p.upper * unit)
    for _ in range(50):
        mu = F @ theta
        if not ((mu > 0.0) | (counts == 0.0)).all():
            return None
        ratio = np.where(counts > 0.0, counts, 0.0) / np.where(mu > 0.0, mu, 1.0)
        hessian = F.T @ ((ratio / np.where(mu > 0.0, mu, 1.0))[:, None] * F)
        if not (np.diag(hessian) > 0.0).all():
            return None
        d = 1.0 / np.sqrt(np.diag(hessian))
        scaled = hessian * np.outer(d, d)
        if np.linalg.cond(scaled) > 1e10:
            return None
        covariance = np.linalg.inv(scaled) * np.outer(d, d)
        gradient = ratio @ F - F.sum(axis=0)
        step = covariance @ gradient
        theta = theta + step
        if abs(gradient @ step) < 1e-12:
            break
    sigma = np.sqrt(np.diag(covariance))
    if not (np.minimum(theta, p.upper * unit - theta) > CLEAR * sigma).all():
        return None
    return theta[:n] / unit[:n], sigma[:n] / unit[:n]


def examine(task):
    """(class, rows of the table, what to print, peaks, milliseconds) of one problem.

    task : (number of the problem, options)
    """
    i, options = task
    p, name = random_problem(np.random.default_rng([options.seed, i]), options.bright)
    name, kind = f"problem {i} ({name}, {p.n_sources} x {p.n_obsids})", name
    start = time.process_time()
    try:
        numbers, limits, flagged = answers(create("exact"), p)
    except SamplingError as error:
        return kind, [], [f"{name}: {error}"], [], 0.0
    spent = 1e3 * (time.process_time() - start)
    reference = references(p.counts, p.F, p.row_obsid, p.upper, p.n_sources, options.points, i)
    rows, said, peaks = [], [], []
    for j, r in enumerate(reference):
        noise = numbers[j, 5]
        off, error = deviations(numbers[j, :5], limits[j], r)
        beyond = (off - ERRORS * error - ALLOWED) / noise
        is_wrong = not (beyond <= 3.0).all()
        rows.append((off.max(), noise, np.median(error), max(beyond.max(), 0.0), is_wrong, flagged))
        decided = limits[j] == (r.share < LEVEL)
        if is_wrong or not (decided or abs(r.share - LEVEL) < 1e-3 + error.max() + noise):
            said.append(
                f"{name}, s{j}: off {off.round(5)}, noise {noise:.5f}, reference {error.round(5)}"
                f"{', flagged' if flagged else ''}{'' if decided else ', decided otherwise'}"
            )
    if options.bright and (peak := clear_peak(p)) is not None:
        half = 0.5 * (numbers[:, 2] - numbers[:, 1])
        modes, widths = np.abs(numbers[:, 0] - peak[0]) / half, numbers[:, 4] / peak[1]
        peaks = [(mode, abs(width - 1.0), flagged) for mode, width in zip(modes, widths)]
    return kind, rows, said, peaks, spent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--points", type=int, default=2**12, help="of the reference, a scramble")
    parser.add_argument("--bright", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    create("exact").warm()
    tally, peaks, spent = defaultdict(list), [], []
    with multiprocessing.Pool(options.jobs) as pool:
        tasks = [(i, options) for i in range(options.problems)]
        for kind, rows, said, more, ms in pool.imap(examine, tasks):
            for line in said:
                print(line, flush=True)
            for row in rows:
                for group in (f"{len(rows)} sources", kind, "all"):
                    tally[group].append(row)
            peaks += more
            spent += [ms] if rows else []
    failed = options.problems - len(spent)
    print(f"{failed} problems failed; median {np.median(spent):.2f} ms a problem")
    print("| class | sources | flagged | off, half-widths | known to | off / noise | wrong |")
    print("|---|---|---|---|---|---|---|")
    for name in sorted(tally):
        off, _, error, beyond, wrong, flagged = map(np.array, zip(*tally[name]))
        print(
            f"| {name} | {len(off)} | {flagged.mean():.1%} | {off.max():.4f} "
            f"| {np.median(error):.5f} | {beyond.max():.2f} | {wrong.sum()} |"
        )
    if peaks:
        mode, width, flagged = map(np.array, zip(*peaks))
        print(
            f"{len(mode)} sources clear of bounds: modes within {mode.max():.4f} half-widths of "
            f"the peak, widths within {width.max():.2%}, {flagged.sum()} flagged"
        )


if __name__ == "__main__":
    main()
