"""The memo's studies that need no other engine: priors, backgrounds, calibration.

Each takes problems of a simulated sample, does one thing to them, and returns
numbers and a figure.  The compiled engine draws, as thousands of runs are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem
from ..catalog.quantities import TABLE_1
from ..engines import SamplingError, create
from ..engines.get_draws import prior_range
from ..posterior.mpdf import Summary, summarise
from ..report.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    draw_diagonal,
    legend,
    name_panel,
    panels,
    unit_of,
)

# Figure 3: apertures with fewer background counts than this are made larger by the factor.
EXPAND_BELOW, EXPAND_BY = 10, 4
PIT_BINS = 20


class Study(NamedTuple):
    """The result of a study: numbers, the sentence that they stand in, and a figure."""

    numbers: dict[str, float | str]
    sentence: str
    figure: object

    @property
    def text(self) -> str:
        return self.sentence.format(**self.numbers)


def measure(problem: Problem, seed: int) -> tuple[Summary, np.ndarray]:
    """Mode and bounds of the first source by the compiled engine, and its draws."""
    draws = create("gibbs").sample(problem, np.random.SeedSequence([seed])).of(0)
    return summarise(draws), draws


def priors(problems: Sequence[Problem], quantity: str) -> Study:
    """Draws and upper bounds with the 5-σ priors of CSC 2.0 and with Table 1's (memo, Figure 1)."""
    zero, rest, free, n_empty = [], [], [], 0
    example, smallest = None, np.inf
    for i, p in enumerate(problems):
        wide, draws = measure(p, i)
        free.append(wide.hilim)
        try:
            _, highest = prior_range(p)
        except SamplingError:
            n_empty += 1
            continue
        narrow, few = measure(replace(p, upper=highest), i)
        is_zero = p.maximum_likelihood()[0][0] <= 0
        (zero if is_zero else rest).append(narrow.hilim)
        if is_zero and narrow.hilim / wide.hilim < smallest:
            smallest = narrow.hilim / wide.hilim
            example = (few, draws)
    figure, axes = panels(2)
    unit = unit_of(quantity)
    a, b = axes[0]
    if example:
        low = max(min(d.min() for d in example), 1e-4 * example[1].max())
        bins = np.geomspace(low, example[1].max(), 50)
        a.hist(example[0], bins, color=ORANGE, label="5-σ prior")
        a.hist(example[1], bins, histtype="step", color=BLUE, lw=1.5, label="unrestricted prior")
        a.set(xscale="log", xlabel=f"{TABLE_1[quantity].description} ({unit})", ylabel="draws")
        name_panel(a, "(a) one run")
        legend(a)
    every = np.array(free + zero + rest)
    bins = np.geomspace(every.min() / 1.1, every.max() * 1.1, 40)
    b.hist(free, bins, color=GREY, alpha=0.5, label="unrestricted")
    b.hist(rest, bins, histtype="step", color=BLUE, lw=1.5, label=r"5-σ, $s_{ML} > 0$")
    b.hist(zero, bins, histtype="step", color=ORANGE, lw=1.5, label=r"5-σ, $s_{ML} = 0$")
    b.set(xscale="log", xlabel=f"upper bound ({unit})", ylabel="runs")
    name_panel(b, "(b) all runs")
    legend(b)
    numbers = {
        "n": len(problems), "n_empty": n_empty, "n_zero": len(zero), "n_rest": len(rest),
        "zero": np.median(zero), "rest": np.median(rest), "free": np.median(free),
        "unit": TABLE_1[quantity].unit,
    }  # fmt: skip
    return Study(
        numbers,
        "Of {n} runs the 5-σ priors leave {n_empty} without any range. Where the "
        "maximum-likelihood solution is zero ({n_zero} runs) the median upper bound is {zero:.2g} "
        "{unit}, where it is positive ({n_rest} runs) {rest:.2g}, and with unrestricted priors "
        "{free:.2g}.",
        figure,
    )


def expanded_backgrounds(problems: Sequence[Problem], quantity: str, seed: int = 3) -> Study:
    """Few background counts as they are, and with the aperture made larger (memo, Figure 3).

    Counts are drawn anew, with the sources and backgrounds that few counts suggest.
    """
    rng = np.random.default_rng(seed)
    plain, large = [], []
    for i, p in enumerate(problems):
        background = rng.uniform(0.5, EXPAND_BELOW) / p.F[-1, -1]
        source = rng.uniform(0, 20) / p.F[0, 0]
        counts = rng.poisson(p.F @ [source, background])
        if counts[-1] >= EXPAND_BELOW:
            continue
        F = p.F.copy()
        F[-1, -1] *= EXPAND_BY
        more = counts.copy()
        more[-1] += rng.poisson((EXPAND_BY - 1) * p.F[-1, -1] * background)
        plain.append(measure(replace(p, counts=counts), i)[0])
        large.append(measure(replace(p, counts=more, F=F), i)[0])
    figure, axes = panels(2, height=3.0)
    distances = []
    titles = {"mode": "(a) modes", "hilim": "(b) upper bounds"}
    for ax, (name, title) in zip(axes[0], titles.items()):
        x = np.array([getattr(s, name) for s in large])
        y = np.array([getattr(s, name) for s in plain])
        draw_diagonal(ax, x, y)
        ax.set(xlabel=f"expanded background ({unit_of(quantity)})",
               ylabel=f"unexpanded ({unit_of(quantity)})")  # fmt: skip
        name_panel(ax, title)
        widths = np.array([(s.hilim - s.lolim) / 2 for s in large])
        distances.append(np.median(np.abs(x - y) / widths))
    return Study(
        {"n": len(plain), "mode": distances[0], "hilim": distances[1]},
        f"{{n}} runs with fewer than {EXPAND_BELOW} background counts, and the same with the "
        f"background aperture {EXPAND_BY} times as large: modes differ by a median of {{mode:.2f}} "
        "half-widths, upper bounds by {hilim:.2f}.",
        figure,
    )


def frozen_backgrounds(problems: Sequence[Problem], quantity: str) -> Study:
    """Upper limits with fitted and with frozen backgrounds (memo, Figure 5)."""
    fitted, frozen = [], []
    for i, p in enumerate(problems):
        one = measure(p, i)[0]
        if one.is_upper_limit:
            fitted.append(one.hilim)
            frozen.append(measure(p.with_frozen_backgrounds(), i)[0].hilim)
    fitted, frozen = np.array(fitted), np.array(frozen)
    figure, axes = panels(2, height=3.0)
    unit = unit_of(quantity)
    draw_diagonal(axes[0, 0], fitted, frozen)
    axes[0, 0].set(xlabel=f"upper limit, background fitted ({unit})",
                   ylabel=f"background frozen ({unit})")  # fmt: skip
    ratio = frozen / fitted
    axes[0, 1].hist(ratio, 40, color=BLUE)
    axes[0, 1].axvline(1, color=BLACK, lw=1, ls="--")
    axes[0, 1].set(xlabel="frozen / fitted", ylabel="upper limits")
    name_panel(axes[0, 0], "(a) upper limits")
    name_panel(axes[0, 1], "(b) their ratio")
    low, median, high = np.percentile(ratio, (5, 50, 95))
    return Study(
        {"n": len(fitted), "median": median, "low": low, "high": high},
        "{n} upper limits: with the background frozen at B/Ω_b they are a median of {median:.3f} "
        "times those with a fitted background (5 % to 95 %: {low:.2f} to {high:.2f}).",
        figure,
    )


def pegged_background(problem: Problem, quantity: str, seed: int = 6) -> Study:
    """A background beyond its prior bound, and what the ladder does about it (memo, Figure 6)."""
    rng = np.random.default_rng(seed)
    # An exposure in which the aperture of a background at its bound holds 200 counts.
    F = problem.F * 200 / (problem.F[-1, -1] * problem.upper[-1])
    theta = np.array([20 / F[0, 0], 1.5 * problem.upper[-1]])
    p = replace(problem, F=F, counts=rng.poisson(F @ theta))
    engine = create("gibbs")
    figure, axes = panels(2)
    last = len(p.upper) - 1
    power = int(np.floor(np.log10(p.upper[last])))
    unit, in_unit = 10.0**power, rf"$10^{{{power}}}$ {unit_of(quantity)} pixel$^{{-1}}$"
    label = p.labels[last]
    numbers = {"background": theta[-1], "unit": TABLE_1[quantity].unit}
    for ax, one, which, title in (
        (axes[0, 0], p, "first", "(a) prior of Table 1: pegged"),
        (axes[0, 1], p.with_prior_factors({label: 10.0}), "raised", "(b) prior × 10"),
    ):
        draws = engine.sample(one, np.random.SeedSequence(seed)).of(last)
        s = summarise(draws)
        reach = s.mode + 1.5 * (s.hilim - s.lolim)
        ax.hist(draws / unit, np.linspace(0.8, 2.0, 61) * p.upper[last] / unit, color=BLUE)
        ax.axvline(p.upper[last] / unit, color=RED, lw=1.5, label=r"$P_\mathrm{upper}$ of Table 1")
        ax.axvline(theta[-1] / unit, color=BLACK, lw=1, ls="--", label="true background")
        ax.axvline(reach / unit, color=ORANGE, lw=1.5, label="mode + 3σ (Eq. 11)")
        ax.set(xlabel=f"background ({in_unit})", ylabel="draws")
        name_panel(ax, title)
        numbers |= {f"{which}_reach": reach, f"{which}_bound": one.upper[last]}
    shown = axes[0, 0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return Study(
        numbers,
        "A background of {background:.2g} {unit} per pixel: mode + 3σ is {first_reach:.3g} against "
        "{first_bound:.3g}, so that Eq. 11 calls it pegged; with ten times the bound "
        "{raised_reach:.3g} against {raised_bound:.3g}.",
        figure,
    )


def calibration(problems: Sequence[Problem], n_runs: int = 2000) -> Study:
    """Whether truths drawn from the prior fall anywhere in the posterior alike, and coverage.

    (a) Simulation-based calibration (Talts et al. 2018): the share of draws below
    the truth is uniform if the draws are the posterior's.  (b) How often the 68 %
    interval holds the truth, by the counts expected of the source.
    """
    rng = np.random.default_rng(1)
    ranks, inside, expected = [], [], []
    for i in range(n_runs):
        p = problems[i % len(problems)]
        unit = 1.0 / p.F.sum(axis=0)
        upper = unit * np.append(np.full(p.n_sources, 30.0), np.full(len(p.backgrounds), 40.0))
        theta = rng.uniform(0, upper)
        counts = rng.poisson(p.F @ theta)
        _, draws = measure(replace(p, counts=counts, upper=upper), i)
        ranks.append(np.mean(draws < theta[0]))
        source = 10 ** rng.uniform(-0.5, 2.5)
        theta[0] = source * unit[0]
        wide, _ = measure(replace(p, counts=rng.poisson(p.F @ theta)), i)
        expected.append(source)
        inside.append(wide.lolim <= theta[0] <= wide.hilim)
    figure, axes = panels(2)
    a, b = axes[0]
    counts, edges = np.histogram(ranks, PIT_BINS, (0, 1))
    share = 1 / PIT_BINS
    spread = 2.58 * np.sqrt(n_runs * share * (1 - share))
    a.stairs(counts, edges, fill=True, color=BLUE)
    a.axhspan(n_runs * share - spread, n_runs * share + spread, color=ORANGE, alpha=0.4, lw=0,
              label="99 % of the bins if calibrated")  # fmt: skip
    a.set(xlabel="share of the draws below the truth", ylabel="runs",
          ylim=(0, 1.6 * counts.max()))  # fmt: skip
    name_panel(a, "(a) calibration")
    legend(a)
    expected, inside = np.array(expected), np.array(inside)
    bins = np.geomspace(expected.min(), expected.max(), 11)
    which = np.clip(np.digitize(expected, bins) - 1, 0, 9)
    coverage = np.array([inside[which == k].mean() for k in range(10)])
    error = np.sqrt(coverage * (1 - coverage) / np.bincount(which, minlength=10))
    b.errorbar(np.sqrt(bins[1:] * bins[:-1]), coverage, error, fmt="o", ms=3, color=BLUE)
    b.axhline(0.68, color=BLACK, lw=1, ls="--", label="68 %")
    b.axhline(0.725, color=GREEN, lw=1, ls=":", label="72.5 %: 68 % interval × 1.092")
    b.set(xscale="log", ylim=(0, 1.05), xlabel="counts expected of the source",
          ylabel="share of intervals with the truth")  # fmt: skip
    name_panel(b, "(b) coverage")
    legend(b, "lower right")
    chi2 = float(np.sum((counts - n_runs * share) ** 2) / (n_runs * share))
    bright = expected > 10
    return Study(
        {"n": n_runs, "chi2": chi2, "freedom": PIT_BINS - 1, "coverage": inside[bright].mean()},
        "{n} runs with truths drawn from the prior: χ² of the histogram {chi2:.1f} for {freedom} "
        "degrees of freedom. Above ten counts {coverage:.1%} of the intervals hold the truth; the "
        "smoothing widens those of a Gaussian by 1.092, from 68 % to 72.5 %.",
        figure,
    )
