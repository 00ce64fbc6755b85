"""Bayesian Blocks of simulated sources: the penalty, what is found of steps and flares, a figure.

    PYTHONPATH=. python tests/benchmarks/bench_blocks.py [--sources N] [--figure FILE]

Every source has observations with exposures that scatter by 0.4 dex, net counts expected in the
median one between 3 and 1000, uniform in the logarithm, in three narrow bands and their sum, and
as many background counts as net ones or fewer, known; a posterior then has a closed form.  First
constant sources: the smallest penalty per block that leaves them whole, and its 95 % quantile.
Then, with the default penalty, constant sources again, in 2, 3 and 8 bands and in these four,
steps (half of the observations are brighter by a factor) and flares (one observation is).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mpiapp.products.flux_blocks import (
    POINTS,
    default_penalty,
    fitness,
    intersection,
    partition,
    tabulated_cells,
)
from mpiapp.report.figures import BLUE, GREEN, GREY, ORANGE, RED, name_panel, panels, save

NUMBERS = (2, 3, 4, 5, 8, 12, 20, 40, 80)
SHARES = np.array([0.3, 0.4, 0.3])  # of the counts in s, m, h
OBSERVATIONS = (2, 5, 20)
CHANGES = [("constant", 1.0), *((kind, f) for f in (1.5, 2.0, 4.0) for kind in ("step", "flare"))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=1000)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--rates-only", action="store_true")
    args = parser.parse_args()
    if not args.rates_only:
        print_penalties(args.sources, in_time=False)
        print_penalties(args.sources, in_time=True)
        print_bands(args.sources)
    shares = print_rates(args.sources * 2 // 5, in_time=False)
    print_rates(args.sources * 2 // 5, in_time=True)
    if args.figure:
        draw(args.figure, shares)


def print_penalties(n_sources, in_time):
    order = "time" if in_time else "flux"
    print(f"penalty per block, in the order of {order}, that leaves 95 % of constant sources whole")
    print("observations  sources  band b        any of s m h b")
    for n in NUMBERS:
        rng = np.random.default_rng([1, n])
        found = np.array(
            [
                [critical_penalty(fitness(c)) for c, _ in source(rng, np.ones(n), in_time=in_time)]
                for _ in range(max(n_sources * min(n, 8) // n, 1))
            ]
        )
        print(f"{n:12d}  {len(found):7d}", end="")
        for values in (found[:, -1], found.max(axis=1)):
            print(f"  {np.quantile(values, 0.95):5.2f} ± {error(values):.2f}", end="")
        print(flush=True)


def print_bands(n_sources):
    """Constant sources that are split by any of several bands of as many counts each."""
    print("\nin the order of flux, with the default penalty, % of constant sources that are split")
    print("observations  sources  2 bands  3 bands  8 bands")
    for n in (2, 5, 12):
        rng = np.random.default_rng([9, n])
        n_of_n = max(n_sources * 2 // n, 1)
        print(f"{n:12d}  {n_of_n:7d}", end="")
        for n_bands in (2, 3, 8):
            split = 0
            for _ in range(n_of_n):
                f = 10 ** rng.uniform(0.5, 3) * 10 ** rng.normal(0, 0.4, n) / n_bands
                background = rng.uniform(0, 1, (n_bands, 1)) * f
                counts = rng.poisson(f + background)
                cells = [cells_of(c, f, b, False)[0] for c, b in zip(counts, background)]
                penalty = default_penalty(n, n_bands)
                split += any(partition(fitness(c), penalty)[-1] for c in cells)
            print(f"  {100 * split / n_of_n:7.1f}", end="", flush=True)
        print()


def print_rates(n_sources, in_time):
    """{(kind, factor): (4, n of OBSERVATIONS) shares in %}."""
    print(
        f"\nin the order of {'time' if in_time else 'flux'}, with the default penalty, % of "
        "sources by b alone and by all bands: those in more than"
    )
    print("one block, and those whose blocks are exactly the true ones")
    print("kind      factor  observations    split         exactly")
    shares = {}
    for kind, factor in CHANGES:
        for n in OBSERVATIONS:
            rng = np.random.default_rng([2, n, int(10 * factor)])
            found = [
                rates(rng, flux_factors(rng, kind, factor, n, in_time), in_time)
                for _ in range(n_sources)
            ]
            shares.setdefault((kind, factor), []).append(100 * np.mean(found, axis=0))
            numbers = "  ".join(f"{share:5.1f}" for share in shares[kind, factor][-1])
            print(f"{kind:8s}  {factor:6.1f}  {n:12d}  {numbers}", flush=True)
    return {change: np.array(found).T for change, found in shares.items()}


def flux_factors(rng, kind, factor, n, in_time=False):
    factors = np.ones(n)
    if kind == "flare":
        factors[0] = factor
    elif kind == "step":
        factors[: max(n // 2, 1)] = factor
        if in_time:  # it stays as bright as it has become
            return factors
    return rng.permutation(factors)


def source(rng, factors, net=None, in_time=False):
    """(cells, order) of one source, for the bands s, m, h and b; by flux, or as observed."""
    n = len(factors)
    net = net or 10 ** rng.uniform(0.5, 3)
    f = net * 10 ** rng.normal(0, 0.4, n)
    background = rng.uniform(0, 1) * SHARES[:, None] * f
    rates = f * SHARES[:, None]
    counts = rng.poisson(rates * factors + background)
    each = [*zip(counts, rates, background), (counts.sum(0), f, background.sum(0))]
    return [cells_of(*band, in_time) for band in each]


def cells_of(counts, f, background, in_time):
    """Posteriors of s from counts ~ Poisson(f s + background), flat prior."""

    def log_p(x):
        x = np.maximum(x, 1e-12)
        expected = f[:, None] * x + background[:, None]
        return counts[:, None] * np.log(expected) - expected

    high = (counts + 24 + np.sqrt(576 + 48 * counts)) / f
    x = np.linspace(0, high, 1000, axis=1)
    log = log_p(x)
    inside = log > log.max(axis=1, keepdims=True) - 24.0
    low = x[np.arange(len(f)), np.maximum(inside.argmax(axis=1) - 1, 0)]
    high = x[np.arange(len(f)), np.minimum(999 - inside[:, ::-1].argmax(axis=1) + 1, 999)]
    x = np.linspace(low, high, 128, axis=1)
    p = np.exp(log_p(x) - log_p(x).max(axis=1, keepdims=True))
    step = (high - low) / 127
    p /= (0.5 * (p[:, 1:] + p[:, :-1]).sum(axis=1) * step)[:, None]
    mode = np.maximum(counts - background, 0) / f
    order = np.lexsort(((x * p).sum(axis=1) * step, mode))
    order = np.arange(len(f)) if in_time else order
    return tabulated_cells(low[order], high[order], p[order]), order


def critical_penalty(fit):
    """The smallest penalty with which all are one block."""
    low, high = 0.0, 60.0
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        if partition(fit, middle)[-1]:
            low = middle
        else:
            high = middle
    return high


def error(values):
    """Standard error of the 95 % quantile."""
    rng = np.random.default_rng(0)
    draws = rng.choice(values, (100, len(values)))
    return np.quantile(draws, 0.95, axis=1).std()


def blocks_of(cells, order, fit, n_bands, in_time):
    blocks = np.empty(len(cells), dtype=int)
    blocks[order] = partition(fit, default_penalty(len(cells), n_bands, in_time))
    return blocks


def rates(rng, factors, in_time):
    """Split by b alone, by any band; exactly the truth by b alone, by all bands."""
    bands = [(c, order, fitness(c)) for c, order in source(rng, factors, in_time=in_time)]
    found = [
        blocks_of(*bands[-1], 1, in_time),
        intersection([blocks_of(*band, 4, in_time) for band in bands]),
    ]
    truth = np.cumsum(np.append(0, np.diff(factors) != 0)) if in_time else factors
    return [blocks.max() > 0 for blocks in found] + [same(blocks, truth) for blocks in found]


def same(a, b):
    """Whether two labellings are one partition."""
    return len(set(zip(a.tolist(), b.tolist()))) == len(set(a.tolist())) == len(set(b.tolist()))


def draw(path, shares):
    """A source with a flare and its blocks; how many steps and flares are found."""
    figure, ((left, right),) = panels(2)
    rng = np.random.default_rng(7)
    cells, _ = source(rng, flux_factors(rng, "flare", 3.0, 10), net=60)[-1]
    blocks = partition(fitness(cells), default_penalty(10, 1))
    for low, high, log_p, block in zip(cells.low, cells.high, cells.log_p, blocks):
        x = np.linspace(low, high, POINTS)
        left.plot(x, np.exp(log_p), color=(BLUE, RED, GREEN, ORANGE)[block], lw=1)
    left.set(xlabel="flux / constant flux", ylabel="posterior density", xlim=(0, 5), ylim=(0, None))
    name_panel(left, f"(a) ten observations, {blocks[-1] + 1} blocks")
    for (kind, factor), found in shares.items():
        if kind != "constant":
            colour = {1.5: GREY, 2.0: BLUE, 4.0: RED}[factor]
            style = {"step": "o-", "flare": "s--"}[kind]
            right.plot(
                OBSERVATIONS, found[1], style, color=colour, ms=3, label=f"{kind} × {factor:g}"
            )
    right.plot(OBSERVATIONS, shares["constant", 1.0][1], "k:", label="constant")
    right.set(
        xscale="log", xlabel="observations", ylabel="sources in several blocks (%)", ylim=(0, 103)
    )
    right.set_xticks(OBSERVATIONS, OBSERVATIONS)
    right.minorticks_off()
    name_panel(right, "(b) steps and flares")
    right.legend(fontsize=6, ncols=2, frameon=False, loc="center", bbox_to_anchor=(0.6, 0.25))
    print(save(figure, path))


if __name__ == "__main__":
    main()
