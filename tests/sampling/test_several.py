"""Marginal densities of several sources against grids, closed forms, exact marginals and draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import matrix, problem, simulated
from scipy.special import erf, gammainc

from mpiapp.posterior import Smoothing
from mpiapp.posterior.marginals import Marginal
from mpiapp.sampling.compressed import compress
from mpiapp.sampling.cubature import LEVELS, cubature
from mpiapp.sampling.gibbs import GibbsEngine
from mpiapp.sampling.one_source import marginal
from mpiapp.sampling.several import marginals

SEED = np.random.SeedSequence(20220406)


def marginal_of(m, column, upper=np.inf):
    """The marginal itself."""
    c = m.coefficients[column].mean(axis=0)
    return Marginal(m.lo[column], m.hi[column], upper, c)


def moments(m, column):
    one = marginal_of(m, column)
    return one.mean, one.std


def assert_same_distribution(m, column, x, reference, tolerance):
    """The distribution function of a marginal is nowhere farther from `reference` at x."""
    assert np.abs(marginal_of(m, column).cdf(x) - reference).max() < tolerance


def brute_force(p, points):
    """For each column of one obsid (x, c.d.f. at x), by sums over a grid of all parameters."""
    n = p.n_columns
    sigma = np.sqrt(p.counts.max() + 3.0)
    top = np.minimum(p.upper, np.maximum(p.least_squares(), 0.0) + 12.0 * sigma / p.F.max(axis=0))
    low = np.zeros(n)
    for _ in range(3):
        axes = [lo + (hi - lo) * (np.arange(points) + 0.5) / points for lo, hi in zip(low, top)]
        theta = np.meshgrid(*axes, indexing="ij", sparse=True)
        logp = 0.0
        for c, f, o in zip(p.counts, p.F, p.offset, strict=True):
            mu = o + sum(f[j] * theta[j] for j in range(n))
            with np.errstate(divide="ignore"):
                logp = logp + (c * np.log(mu) if c else 0.0) - mu
        density = np.exp(logp - logp.max())
        sums = [density.sum(axis=tuple(i for i in range(n) if i != j)) for j in range(n)]
        steps = (top - low) / points
        for j in range(n):
            seen = np.flatnonzero(sums[j] > 1e-9 * sums[j].max())
            low[j] = max(axes[j][seen[0]] - steps[j], 0.0)
            top[j] = min(axes[j][seen[-1]] + steps[j], p.upper[j])
    return [
        (x + 0.5 * (x[1] - x[0]), np.cumsum(total) / total.sum()) for x, total in zip(axes, sums)
    ]


@pytest.mark.parametrize(
    "counts, blend, upper",
    [
        ((0, 0, 0), 0.5, 1e3),
        ((4, 0, 3), 0.9, 1e3),
        ((30, 25, 200), 0.8, 1e3),
        ((500, 3, 40), 0.3, 1e4),
        ((30, 25, 200), 0.8, 12.0),
    ],
)
def test_two_sources_agree_with_a_sum_over_a_grid(counts, blend, upper):
    p = problem(counts, matrix(2, 1, blend=blend), 2, [upper, 1e4, 1e2])
    reference = brute_force(p, 160)
    m = marginals(compress(p), SEED)
    for j in range(2):
        # 160 midpoints over what is left of 1e-9 of the peak; a step is a tenth of a
        # standard deviation or a seventh of a decay length, of which cells that are
        # cut in half at zero leave 1/7²/24 = 9e-4
        assert_same_distribution(m, j, *reference[j], 3e-3)
        assert m.noise[j] < 1e-3


def test_three_sources_agree_with_a_sum_over_a_grid():
    for counts, blend in (((5, 0, 2, 6), 0.5), ((90, 70, 20, 100), 0.8)):
        p = problem(counts, matrix(3, 1, blend=blend), 3, [1e3, 1e3, 40.0, 1e2])
        reference = brute_force(p, 64)
        m = marginals(compress(p), SEED, accuracy=0.003)
        for j in range(3):
            # 64 midpoints: a step of 0.4 decay lengths, 0.4²/24 = 7e-3
            assert_same_distribution(m, j, *reference[j], 0.01)


def test_frozen_backgrounds_agree_with_a_sum_over_a_grid():
    frozen = problem((12, 9, 40), matrix(2, 1, blend=0.7), 2, [1e3, 1e3, 1e2])
    frozen = frozen.with_frozen_backgrounds()
    reference = brute_force(frozen, 400)
    m = marginals(compress(frozen), SEED)
    for j in range(2):
        assert_same_distribution(m, j, *reference[j], 1e-3)


def test_one_source_is_the_exact_marginal():
    rng = np.random.default_rng(3)
    for source, background, n in ((0.0, 0.01, 1), (3.0, 0.1, 4), (1e4, 1.0, 2)):
        p = simulated(1, n, source, background, rng)
        m = marginals(compress(p), SEED)
        # what lies beyond e^-12 of the peak
        x = np.linspace(m.lo[0], m.hi[0], 1000)
        assert_same_distribution(m, 0, x, marginal(p).cdf(x), 1e-4)


def test_independent_sources_have_their_own_marginals():
    """Without blend or background every s_j is Gamma, cut at its prior bound."""
    counts = np.array([0, 1, 7, 3000, 0])
    F = np.zeros((5, 5))
    F[range(5), range(5)] = [0.9, 0.5, 2.0, 1.0, 100.0]
    upper = np.array([50.0, 4.0, 1e3, 1e5, 1.0])
    p = problem(counts, F, 4, upper)
    m = marginals(compress(p), SEED, accuracy=0.003)
    for j in range(4):
        x = np.linspace(m.lo[j], m.hi[j], 200)
        c = gammainc(counts[j] + 1.0, F[j, j] * x) / gammainc(counts[j] + 1.0, F[j, j] * upper[j])
        # what lies beyond e^-12 of the peak, and the accuracy
        assert_same_distribution(m, j, x, c, 2e-4)


def test_source_that_no_aperture_sees_has_its_prior_and_changes_nothing():
    p = simulated(2, 2, 20.0, 0.1, np.random.default_rng(4))
    with_unseen = replace(
        p,
        F=np.insert(p.F, 1, 0.0, axis=1),
        upper=np.insert(p.upper, 1, 7.0),
        sources=("r0", "unseen", "r1"),
    )
    m, alone = marginals(compress(with_unseen), SEED), marginals(compress(p), SEED)
    assert (m.lo[1], m.hi[1], m.reach[1]) == (0.0, 7.0, 7.0)
    assert np.all(marginal_of(m, 1).pdf(np.linspace(0.0, 7.0, 9)) == 1.0 / 7.0)
    np.testing.assert_array_equal(m.coefficients[[0, 2]], alone.coefficients)


def test_backgrounds_have_marginals_too():
    p = problem((12, 0, 30), matrix(2, 1, blend=0.7), 2, [1e3, 1e3, 0.18])
    reference = brute_force(p, 160)
    m = marginals(compress(p), SEED, columns=[2])
    # 160 midpoints as above
    assert_same_distribution(m, 0, *reference[2], 3e-3)


def test_reach_is_beyond_what_pegs():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = simulated(2, 3, rng.choice([0.0, 3.0, 100.0]), rng.choice([1e-3, 0.1]), rng, blend=0.8)
        draws = GibbsEngine().sample(p, SEED)
        reach = marginals(compress(p), SEED, columns=[]).reach
        for column in range(2, 5):
            s = draws.summary(column, Smoothing())
            assert s.mode + 1.5 * (s.hilim - s.lolim) < 1.5 * reach[column]
            assert reach[column] < 3.0 * draws.of(column).max()


@pytest.mark.parametrize(
    "shape, source, background, blend",
    [
        ((2, 5), 20.0, 0.1, 0.8),
        ((3, 2), 3.0, 0.05, 0.9),
        ((3, 20), 5.0, 0.1, 0.3),
        ((5, 1), 100.0, 0.1, 0.9),
        ((5, 5), 1.0, 1.0, 0.6),
    ],
)
def test_marginals_agree_with_draws(shape, source, background, blend):
    p = simulated(*shape, source, background, np.random.default_rng(shape), blend=blend)
    m = marginals(compress(p), SEED)
    draws = GibbsEngine(draws=1000, ess_target=1e4, max_draws=4000).sample(p, SEED)
    for j in range(shape[0]):
        mean, std = moments(m, j)
        x = draws.values[..., j].ravel()
        # five standard errors of 10⁴ draws, of the mean and of the standard deviation
        # (whose own is (κ − 1)/4n with a kurtosis κ of at most 9), and the error allowed
        allowed = 0.05 + 0.01
        assert abs(x.mean() - mean) < allowed * std
        assert abs(x.std() / std - 1.0) < 1.5 * allowed


def test_noise_is_the_spread_among_seeds():
    p = simulated(4, 2, 10.0, 0.1, np.random.default_rng(8), blend=0.8)
    c = compress(p)
    found = [marginals(c, np.random.SeedSequence(k), accuracy=1.0) for k in range(60)]
    for j in range(4):
        values = np.array([moments(m, j) for m in found])
        spread = np.sqrt(values.var(axis=0, ddof=1).sum()) / values[0, 1]
        claimed = np.sqrt(np.mean([m.noise[j] ** 2 for m in found]))
        # 60 spreads with 3 degrees of freedom each, heavy tails: 2/√(2·60·3) and some
        assert claimed / 1.5 < spread < 1.5 * claimed


def test_more_accuracy_takes_more_points():
    p = simulated(4, 1, 10.0, 0.1, np.random.default_rng(8), blend=0.9)
    coarse, fine = (marginals(compress(p), SEED, accuracy=a) for a in (1.0, 1e-3))
    assert coarse.points < fine.points
    assert fine.noise.max() < 0.5 * coarse.noise.max()


@pytest.mark.parametrize("dimensions", [1, 2, 4, 9])
def test_cubature_converges_for_smooth_functions(dimensions):
    middle = np.linspace(0.2, 0.7, dimensions)
    exact = np.prod(0.5 * np.sqrt(np.pi) * (erf(1.0 - middle) + erf(middle)))
    errors = []
    for level in range(LEVELS):
        points, weights = cubature(dimensions, level, SEED)
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
        values = weights @ np.exp(-((points - middle) ** 2).sum(axis=1))
        errors.append(np.abs(values / exact - 1.0).max())
    # random points would have 0.1/√1024 per dimension at the last level
    assert errors[-1] < 5e-4
    assert errors[-1] <= 0.2 * errors[0] + 1e-12
