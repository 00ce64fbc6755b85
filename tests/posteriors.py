"""Problems whose posterior is known without sampling, and draws held against it."""

from __future__ import annotations

import arviz as az
import numpy as np
from scipy import stats

from mpiapp.catalog.problem import Problem


def one_source(source_counts, background_counts, unit=1e9, upper=(1e-2, 1e-6)):
    """A source in one obsid: 90 % of the PSF in its aperture, a background of 60 times its area."""
    return Problem(
        counts=np.array([source_counts, background_counts]),
        F=np.array([[0.9, 300.0], [0.05, 18000.0]]) * unit,
        upper=np.array(upper),
        sources=("s",),
        backgrounds=("o",),
        row_obsid=np.array([0, 0]),
        offset=np.zeros(2),
    )


def two_sources_two_obsids():
    """Two sources that overlap, in two obsids."""
    block = np.array([[0.9, 0.1, 300.0], [0.1, 0.8, 280.0], [0.03, 0.04, 18000.0]])
    F = np.zeros((6, 4))
    F[:3, [0, 1, 2]] = block
    F[3:, [0, 1, 3]] = block * 2
    return Problem(
        counts=np.array([25, 9, 55, 44, 17, 130]),
        F=F * 1e9,
        upper=np.array([1e-2, 1e-2, 1e-6, 1e-6]),
        sources=("s1", "s2"),
        backgrounds=("o1", "o2"),
        row_obsid=np.array([0, 0, 0, 1, 1, 1]),
        offset=np.zeros(6),
    )


def assert_quantiles(draws, cdf_inverse, probabilities=(0.05, 0.16, 0.5, 0.84, 0.95)):
    """The fraction of draws below each true quantile is its probability.

    A fraction of N_eff independent draws scatters by √(p(1-p)/N_eff), with the
    effective size of that quantile's indicator; 4 standard deviations allow for
    some hundred comparisons (1 in 160 of a false alarm in all).
    """
    for p in probabilities:
        n_eff = float(az.ess(draws, method="quantile", prob=p))
        below = (draws < cdf_inverse(p)).mean()
        assert abs(below - p) < 4 * np.sqrt(p * (1 - p) / n_eff), (p, below, n_eff)


def quadrature_quantiles(problem, column, n=800):
    """The inverse marginal CDF of one of two parameters, on a grid over the posterior."""
    # From zero to 12 σ above all the counts of the aperture that sees most of the column.
    brightest = problem.F.argmax(axis=0)
    counts = problem.counts[brightest]
    highest = (counts + 12 * np.sqrt(counts + 1) + 25) / problem.F[brightest, [0, 1]]
    new = [np.linspace(0.0, end, n) for end in np.minimum(highest, problem.upper)]
    for _ in range(4):  # zoom in on what has any probability
        axes = new
        theta = np.stack(np.meshgrid(*axes, indexing="ij"))
        mu = np.tensordot(problem.F, theta, axes=1) + problem.offset[:, None, None]
        log_p = stats.poisson.logpmf(problem.counts[:, None, None], mu).sum(axis=0)
        density = np.exp(log_p - log_p.max())
        marginals = density.sum(axis=1), density.sum(axis=0)
        new = []
        for axis, marginal in zip(axes, marginals):
            inside = np.flatnonzero(marginal > 1e-9 * marginal.max())
            first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, n - 1)
            new.append(np.linspace(axis[first], axis[last], n))
    grid, marginal = axes[column], marginals[column]
    cdf = np.concatenate([[0.0], np.cumsum((marginal[1:] + marginal[:-1]) / 2)])
    return lambda p: np.interp(p, cdf / cdf[-1], grid)


def truncated_gamma(counts, upper=1e-2):
    """A source over a known background, and the inverse CDF of its posterior.

    C ~ Poisson(f s + o) with s uniform: f s + o follows Gamma(C + 1) above o.
    """
    f, known = 0.9e9, 4.0
    problem = Problem(
        counts=np.array([counts]),
        F=np.array([[f]]),
        upper=np.array([upper]),
        sources=("s",),
        backgrounds=(),
        row_obsid=np.array([0]),
        offset=np.array([known]),
    )
    gamma = stats.gamma(counts + 1)
    survival = gamma.sf(known)
    return problem, lambda p: (gamma.isf((1 - p) * survival) - known) / f


def many_columns(n):
    """`n` sources seen one by one over a known background."""
    return Problem(
        counts=np.arange(n) + 3,
        F=np.eye(n) * 1e9,
        upper=np.full(n, 1e-2),
        sources=tuple(f"s{i}" for i in range(n)),
        backgrounds=(),
        row_obsid=np.zeros(n, dtype=np.int64),
        offset=np.full(n, 0.5),
    )
