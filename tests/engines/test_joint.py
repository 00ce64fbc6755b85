"""Points of the joint posterior: integrals in closed form, moments of draws."""

import numpy as np
import pytest
from problems import problem, simulated
from scipy.special import gammaln

from mpiapp.engines import create
from mpiapp.engines.joint import Rows, joint, points
from mpiapp.posterior import SamplingError


@pytest.mark.parametrize(
    ("counts", "accuracy"),
    [
        ((0,), 1e-7),
        ((692,), 1e-10),
        ((0, 3), 1e-5),
        ((0, 0, 5), 1e-4),
        ((2, 9, 40, 0, 1), 2e-3),
        ((0, 1, 2, 5, 9, 40) * 4, 8e-3),
        ((0, 1) * 12, 8e-3),
        ((50, 100_000) * 12, 8e-3),
    ],
)
def test_independent_gammas_have_their_integral_and_moments(counts, accuracy):
    """∫ Π (Fθ)^C e^{−Fθ} dθ = Π C!/F, whatever the units; mean (C + 1)/F.

    With 24 parameters the logarithm scatters by 0.002, over shifts of the lattices.
    """
    n = len(counts)
    F = np.diag(np.geomspace(1e-3, 1e9, n))
    rows = Rows(np.array(counts), F, np.zeros(n))
    found = points(rows)
    log_integral, share, error = found.integral(rows.log_likelihood(found.theta))
    exact = sum(gammaln(c + 1) - np.log(f) for c, f in zip(counts, F.diagonal()))
    assert log_integral == pytest.approx(exact, rel=1e-12, abs=accuracy)
    assert error < accuracy
    mean = (np.array(counts) + 1) / F.diagonal()
    np.testing.assert_allclose(share @ found.theta, mean, rtol=10 * accuracy)


@pytest.mark.parametrize(("n_sources", "n_obsids"), [(1, 1), (2, 1), (2, 3), (4, 2)])
def test_correlations_are_those_of_independent_draws(n_sources, n_obsids):
    """Of `gibbs`; a coefficient r of n draws scatters by (1 − r²)/√n, of lattices by 0.005."""
    rng = np.random.default_rng(n_sources + 10 * n_obsids)
    p = simulated(n_sources, n_obsids, 12.0, 0.2, rng, blend=0.4)
    theta, share = create("exact").sample(p, np.random.SeedSequence(1)).joint()
    drawn = create("gibbs", ess_target=10_000, max_draws=20_000).sample(
        p, np.random.SeedSequence(2)
    )
    values, equal = drawn.joint()
    expected = np.corrcoef(values.T)
    found = np.cov(theta.T, aweights=share, ddof=0)
    spread = np.sqrt(found.diagonal())
    scatter = np.hypot((1 - expected**2) / np.sqrt(drawn.ess.min()), 0.005)
    assert (np.abs(found / np.outer(spread, spread) - expected) <= 4 * scatter).all()
    assert equal.sum() == pytest.approx(1) and share.sum() == pytest.approx(1)


def test_what_the_points_do_not_resolve_is_refused():
    """Eight blended faint sources in 15 observations: 23 parameters tied to each other."""
    p = simulated(8, 15, 0.5, 0.01, np.random.default_rng(1), blend=0.4)
    with pytest.raises(SamplingError, match="joint posterior is good to"):
        joint(p)


def test_nothing_lies_beyond_the_priors():
    """Half of this posterior would: the mean of what is left, against quadrature."""
    p = problem([9, 0], np.array([[1.0, 1e-3], [0.0, 1.0]]), 1, [10.0, 1e3])
    theta, share = create("exact").sample(p, np.random.SeedSequence(1)).joint()
    assert theta[share > 0, 0].max() <= 10.0
    s = np.linspace(0, 10, 20_001)
    density = s**9 * np.exp(-s)
    # A bound cuts the hill that the points are made for.
    assert share @ theta[:, 0] == pytest.approx((s * density).sum() / density.sum(), rel=0.01)
