"""Marginal densities of several sources against grids, closed forms, exact marginals and draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import matrix, problem, simulated
from scipy.special import erf, gammainc

from mpiapp.engines.compressed import compress
from mpiapp.engines.cubature import LEVELS, cubature
from mpiapp.engines.gibbs import GibbsEngine
from mpiapp.engines.one_source import marginal
from mpiapp.engines.several import fit, marginals, with_background_as_source
from mpiapp.posterior import Smoothing

SEED = np.random.SeedSequence(20220406)


def found(p, accuracy=0.005, seed=SEED):
    """For every source of a problem its marginal and the repeats; see `marginals`."""
    f = fit(compress(p))
    return [marginals(f, j, accuracy, seed) for j in range(p.n_sources)]


def error(repeats):
    """Standard error of mean and standard deviation together, in standard deviations."""
    values = np.array([(m.mean, m.std) for m in repeats[1:]])
    return np.sqrt(values.var(axis=0, ddof=1).sum() / len(values)) / values[0, 1]


def assert_same_distribution(one, x, reference, tolerance):
    """The distribution function of a marginal is nowhere farther from `reference` at x."""
    assert np.abs(one.cdf(x) - reference).max() < tolerance


def brute_force(p, points):
    """For each column of one obsid (x, c.d.f. at x), by sums over a grid of all parameters."""
    n = p.n_columns
    sigma = np.sqrt(p.counts.max() + 3.0)
    top = np.minimum(
        p.upper, np.maximum(p.maximum_likelihood()[0], 0.0) + 12.0 * sigma / p.F.max(axis=0)
    )
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
    ("counts", "blend", "upper"),
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
    m = found(p)
    for j in range(2):
        # 160 midpoints over what is left of 1e-9 of the peak; a step is a tenth of a
        # standard deviation or a seventh of a decay length, of which cells that are
        # cut in half at zero leave 1/7²/24 = 9e-4
        assert_same_distribution(m[j][0], *reference[j], 3e-3)
        assert error(m[j]) < 1e-3


def test_three_sources_agree_with_a_sum_over_a_grid():
    for counts, blend in (((5, 0, 2, 6), 0.5), ((90, 70, 20, 100), 0.8)):
        p = problem(counts, matrix(3, 1, blend=blend), 3, [1e3, 1e3, 40.0, 1e2])
        reference = brute_force(p, 48)
        m = found(p, 0.0015)
        for j in range(3):
            # 48 midpoints: a step of half a decay length, 0.5²/24 = 1e-2
            assert_same_distribution(m[j][0], *reference[j], 0.012)


def test_frozen_backgrounds_agree_with_a_sum_over_a_grid():
    frozen = problem((12, 9, 40), matrix(2, 1, blend=0.7), 2, [1e3, 1e3, 1e2])
    frozen = frozen.with_frozen_backgrounds()
    reference = brute_force(frozen, 400)
    m = found(frozen)
    for j in range(2):
        assert_same_distribution(m[j][0], *reference[j], 1e-3)


def test_one_source_is_the_exact_marginal():
    rng = np.random.default_rng(3)
    for source, background, n in ((0.0, 0.01, 1), (3.0, 0.1, 4), (1e4, 1.0, 2)):
        p = simulated(1, n, source, background, rng)
        m = found(p)
        # what lies beyond e^-12 of the peak
        x = np.linspace(m[0][0].lo, m[0][0].hi, 1000)
        assert_same_distribution(m[0][0], x, marginal(p).cdf(x), 1e-4)


def test_independent_sources_have_their_own_marginals():
    """Without blend or background every s_j is Gamma, cut at its prior bound."""
    counts = np.array([0, 1, 7, 3000, 0])
    F = np.zeros((5, 5))
    F[range(5), range(5)] = [0.9, 0.5, 2.0, 1.0, 100.0]
    upper = np.array([50.0, 4.0, 1e3, 1e5, 1.0])
    p = problem(counts, F, 4, upper)
    m = found(p, 0.0015)
    for j in range(4):
        x = np.linspace(m[j][0].lo, m[j][0].hi, 200)
        c = gammainc(counts[j] + 1.0, F[j, j] * x) / gammainc(counts[j] + 1.0, F[j, j] * upper[j])
        # what lies beyond e^-12 of the peak, and the accuracy
        assert_same_distribution(m[j][0], x, c, 2e-4)


def test_source_that_no_aperture_sees_has_its_prior_and_changes_nothing():
    p = simulated(2, 2, 20.0, 0.1, np.random.default_rng(4))
    with_unseen = replace(
        p,
        F=np.insert(p.F, 1, 0.0, axis=1),
        upper=np.insert(p.upper, 1, 7.0),
        sources=("r0", "unseen", "r1"),
    )
    m, alone = found(with_unseen), found(p)
    np.testing.assert_allclose(m[1][0].cdf(np.linspace(0.0, 7.0, 9)), np.linspace(0.0, 1.0, 9))
    for one, other in ((m[0], alone[0]), (m[2], alone[1])):
        np.testing.assert_array_equal(one[0].coefficients, other[0].coefficients)


def test_backgrounds_have_marginals_too():
    p = problem((12, 0, 30), matrix(2, 1, blend=0.7), 2, [1e3, 1e3, 0.18])
    reference = brute_force(p, 160)
    one = marginals(fit(with_background_as_source(compress(p), 0)), 2, 0.005, SEED)[0]
    # 160 midpoints as above
    assert_same_distribution(one, *reference[2], 3e-3)


def test_reach_is_beyond_what_pegs():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        p = simulated(2, 3, rng.choice([0.0, 3.0, 100.0]), rng.choice([1e-3, 0.1]), rng, blend=0.8)
        draws = GibbsEngine().sample(p, SEED)
        reach = fit(compress(p)).reach
        for column in range(2, 5):
            s = draws.summary(column, Smoothing())
            assert s.mode + 1.5 * (s.hilim - s.lolim) < reach[column]


def test_reach_leaves_room_for_any_unimodal_density():
    """mode + 3/2 (hilim − lolim) ≤ mean + 11.3 σ: 13 fitted σ have to cover it."""
    compared = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        n, m = rng.integers(2, 4), rng.integers(1, 3)
        p = simulated(
            n, m, rng.choice([0.0, 1.0, 3.0, 30.0, 1000.0], n), rng.choice([1e-4, 1e-3, 0.02, 1.0]),
            rng, blend=rng.choice([0.0, 0.3, 0.8, 0.95]), wings=rng.choice([0.0, 0.05, 0.3]),
            background_area=rng.choice([20.0, 200.0, 2000.0]),
        )  # fmt: skip
        c = compress(p)
        reach = fit(c).reach
        found = [marginals(fit(c), j, 0.003, SEED)[0] for j in range(n)]
        for k in range(m):
            found += marginals(fit(with_background_as_source(c, k)), n, 0.003, SEED)[:1]
        for j, one in enumerate(found):
            assert reach[j] > one.mean + 11.3 * one.std
            compared += 1
    assert compared > 80


@pytest.mark.parametrize(
    ("shape", "source", "background", "blend"),
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
    m = found(p)
    draws = GibbsEngine(draws=1000, ess_target=1e4, max_draws=4000).sample(p, SEED)
    for j in range(shape[0]):
        mean, std = m[j][0].mean, m[j][0].std
        x = draws.values[..., j].ravel()
        # five standard errors of 10⁴ draws, of the mean and of the standard deviation
        # (whose own is (κ − 1)/4n with a kurtosis κ of at most 9), and the error allowed
        allowed = 0.05 + 0.01
        assert abs(x.mean() - mean) < allowed * std
        assert abs(x.std() / std - 1.0) < 1.5 * allowed


def test_error_of_the_repeats_is_the_spread_among_seeds():
    p = simulated(4, 2, 10.0, 0.1, np.random.default_rng(8), blend=0.8)
    runs = [found(p, 1.0, np.random.SeedSequence(k)) for k in range(60)]
    for j in range(4):
        values = np.array([(m[j][0].mean, m[j][0].std) for m in runs])
        spread = np.sqrt(values.var(axis=0, ddof=1).sum()) / values[0, 1]
        claimed = np.sqrt(np.mean([error(m[j]) ** 2 for m in runs]))
        # 60 spreads with 7 degrees of freedom each: 2/√(2·60·7) and some
        assert claimed / 1.5 < spread < 1.5 * claimed


def test_more_accuracy_leaves_less_error():
    p = simulated(4, 1, 10.0, 0.1, np.random.default_rng(8), blend=0.9)
    coarse, fine = (max(error(m) for m in found(p, a)) for a in (1.0, 1e-3))
    assert fine < min(1e-3, 0.5 * coarse)


@pytest.mark.parametrize("dimensions", [1, 2, 4, 9])
def test_cubature_converges_for_smooth_functions(dimensions):
    middle = np.linspace(0.2, 0.7, dimensions)
    exact = np.prod(0.5 * np.sqrt(np.pi) * (erf(1.0 - middle) + erf(middle)))
    errors = []
    for level in range(LEVELS):
        points, weights = cubature(dimensions, level, SEED)
        values = weights @ np.exp(-((points - middle) ** 2).sum(axis=1))
        errors.append(np.abs(values / exact - 1.0).max())
    # random points would have 0.1/√1024 per dimension at the last level
    assert errors[-1] < 5e-4
    assert errors[-1] <= 0.2 * errors[0] + 1e-12
