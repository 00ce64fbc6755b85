"""The exact one-source posterior against closed forms and brute-force quadrature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import matrix, problem, simulated
from scipy import stats
from scipy.special import gammaln

from mpiapp.engines.one_source import marginal

P = np.array([0.001, 0.16, 0.5, 0.84, 0.999])


def brute_force(p, points=1201):
    """(grid, density) of s by trapezoids over every background, on a grid narrowed twice."""
    sigma = np.sqrt(p.counts.max() + 1.0)
    best = np.maximum(p.maximum_likelihood()[0], 0.0)
    reach = 12.0 * (sigma + 3.0) / p.F.max(axis=0)
    low, top = np.maximum(0.0, best - reach), np.minimum(p.upper, best + reach)
    s = np.linspace(low[0], top[0], points)
    for _ in range(3):
        total = np.zeros(points)
        for k in range(p.n_obsids):
            rows = p.row_obsid == k
            b = np.linspace(low[1 + k], top[1 + k], points)
            logp = np.zeros((points, points))
            for c, f in zip(p.counts[rows], p.F[rows], strict=True):
                mu = f[0] * s[:, None] + f[1 + k] * b[None, :]
                with np.errstate(divide="ignore"):
                    logp += (c * np.log(mu) if c else 0.0) - mu - gammaln(c + 1.0)
            peak = logp.max()
            logp[:, [0, -1]] -= np.log(2.0)
            total += np.log(np.exp(logp - peak).sum(axis=1))
            seen = np.flatnonzero(logp.max(axis=0) > peak - 28.0)
            low[1 + k], top[1 + k] = b[max(seen[0] - 1, 0)], b[min(seen[-1] + 1, points - 1)]
        total -= total.max()
        grid, density = s, np.exp(total)
        seen = np.flatnonzero(total > -28.0)
        s = np.linspace(s[max(seen[0] - 1, 0)], s[min(seen[-1] + 1, points - 1)], points)
    step = grid[1] - grid[0]
    return grid, density / (step * (density.sum() - 0.5 * (density[0] + density[-1])))


@pytest.mark.parametrize("counts", [(0, 0), (0, 30), (1, 0), (4, 3), (30, 200), (5, 900), (900, 5)])
def test_marginal_of_one_obsid_agrees_with_two_dimensional_quadrature(counts):
    p = problem(counts, matrix(1, 1), 1, [1e6, 1e3])
    s, density = brute_force(p)
    # 1200 trapezoids over 28 decay lengths or 15 standard deviations: the relative error of
    # each of the two integrals is below h²/12 = 5e-5.
    assert np.max(np.abs(marginal(p).pdf(s) - density)) < 1e-4 * np.max(density)


def test_marginal_of_several_obsids_agrees_with_the_product_of_their_quadratures():
    rng = np.random.default_rng(1)
    for source, background in ((1.0, 0.02), (20.0, 0.5)):
        p = simulated(1, 4, source, background, rng)
        s, x = brute_force(p)
        # trapezoids: s x vanishes at either end, (s − mean)² x only at the upper one or both
        step, exact = s[1] - s[0], marginal(p)
        mean = step * np.sum(s * x)
        assert exact.mean == pytest.approx(mean, rel=1e-4)
        std = np.sqrt(step * (np.sum((s - mean) ** 2 * x) - 0.5 * mean**2 * x[0]))
        assert exact.std == pytest.approx(std, rel=1e-4)


@pytest.mark.parametrize("counts", [0, 1, 7, 1000, 10**7])
@pytest.mark.parametrize("flux", [1.0, 1e-15])
def test_marginal_with_frozen_background_is_a_truncated_gamma(counts, flux):
    # C ~ Poisson(f s + o), s uniform: f s + o is Gamma(C + 1) truncated to values above o.
    f, o = 0.9 / flux, 2.5
    p = problem([counts, 3], np.array([[f, 10.0], [0.0, 200.0]]), 1, [1e8 * flux, 1.0])
    p = p.with_frozen_backgrounds()
    o = p.offset[0]
    reference = stats.gamma(counts + 1)
    below = reference.cdf(o)
    expected = (reference.ppf(below + P * (1 - below)) - o) / f
    assert marginal(p).quantile(P) == pytest.approx(expected, rel=1e-6)


def test_marginal_without_counts_is_an_exponential_cut_at_the_prior():
    F = matrix(1, 1)
    for upper in (1e6, 2.0):
        p = problem([0, 0], F, 1, [upper, 1e3])
        reference = stats.truncexpon(b=upper * F[:, 0].sum(), scale=1.0 / F[:, 0].sum())
        assert marginal(p).quantile(P) == pytest.approx(reference.ppf(P), rel=1e-6)


def test_prior_below_the_likelihood_piles_the_posterior_against_it():
    p = problem([1000, 200], matrix(1, 1), 1, [100.0, 1e3])
    exact = marginal(p)
    assert exact.hi == 100.0
    assert exact.quantile(0.5) > 99.0
    # near the bound the density is exponential with the slope C f/μ − f of its logarithm
    assert exact.pdf(100.0) > exact.pdf(99.0) > exact.pdf(98.0)


def test_source_that_no_aperture_sees_keeps_its_prior():
    F = matrix(1, 2)
    F[:, 0] = 0.0
    exact = marginal(problem([3, 50, 2, 40], F, 1, [1e-8, 1e3, 1e3]))
    assert exact.quantile(P) == pytest.approx(1e-8 * P)


def test_scaling_units_scales_the_marginal():
    p = simulated(1, 3, 12.0, 0.3, np.random.default_rng(4))
    scale = np.array([1e-16, 1e-19, 1e-19, 1e-19])
    q = problem(p.counts, p.F / scale, 1, p.upper * scale)
    assert marginal(q).quantile(P) == pytest.approx(1e-16 * marginal(p).quantile(P), rel=1e-9)


def test_marginal_of_more_than_one_source_is_refused():
    with pytest.raises(ValueError, match="need one source, not 2"):
        marginal(simulated(2, 1, 5.0, 0.1, np.random.default_rng(0)))


@pytest.mark.parametrize("power", [0.02, 0.3, 0.7, 1.6, 30.5])
def test_counts_that_are_no_whole_number_give_the_gamma_density_of_a_prior(power):
    p = problem([0, 0], matrix(1, 1), 1, [1e6, 1e3]).with_frozen_backgrounds()
    p = replace(p, counts=np.array([power, 0.0]), F=np.array([[1.5], [0.5]]))
    exact = stats.gamma(power + 1.0, scale=0.5)
    found = marginal(p)
    # The range ends where e⁻²⁴ of the peak is left, and the last coefficients are below 1e-6.
    np.testing.assert_allclose(found.cdf(exact.ppf(P)), P, rtol=0, atol=1e-6)
    assert found.mean == pytest.approx(exact.mean(), rel=1e-6)
    assert found.std == pytest.approx(exact.std(), rel=1e-6)
