"""Mode and bounds without draws, against quadrature of the smoothed density by scipy."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebinterpolate
from scipy import integrate, optimize, stats

from mpiapp.posterior.marginals import Marginal
from mpiapp.posterior.mpdf import Smoothing, summarise


def gamma_marginal(shape, upper, order=96):
    """A Gamma(shape) density cut at `upper`, as a series on the range that matters."""
    peak = max(shape - 1.0, 0.0)
    lo = max(0.0, peak - 7.5 * np.sqrt(shape) - 24.0)
    hi = min(upper, peak + 7.5 * np.sqrt(shape) + 24.0)

    def density(x):
        logs = stats.gamma(shape).logpdf(lo + 0.5 * (hi - lo) * (1.0 + x))
        return np.exp(logs - logs.max())

    return Marginal(lo, hi, upper, chebinterpolate(density, order - 1))


def by_quadrature(shape, upper, smoothing):
    """(value, lolim, hilim) from the definition, with adaptive quadrature."""
    g = stats.gamma(shape)
    cut = g.cdf(upper)
    points = g.ppf(np.linspace(1e-9, 1 - 1e-9, 9) * cut)

    def expect(f, a, b):
        a, b = max(a, 0.0), min(b, upper)
        if b <= a:
            return 0.0
        edges = np.unique(np.clip(np.append(points, [a, b]), a, b))
        return sum(
            integrate.quad(lambda t: f(t) * g.pdf(t) / cut, x, y, epsabs=1e-13, epsrel=1e-12)[0]
            for x, y in pairwise(edges)
        )

    mean = expect(lambda t: t, 0.0, np.inf)
    h = smoothing.bandwidth * np.sqrt(expect(lambda t: (t - mean) ** 2, 0.0, np.inf))

    def density(y):
        return expect(lambda t: 0.75 / h * (1 - ((y - t) / h) ** 2), y - h, y + h)

    def below(y):
        step = expect(lambda t: (2 + 3 * (y - t) / h - ((y - t) / h) ** 3) / 4, y - h, y + h)
        return g.cdf(max(min(y - h, upper), 0.0)) / cut + step

    sigma = h / smoothing.bandwidth
    a, b = max(mean - 2 * sigma, 0.0), min(mean + 2 * sigma, upper)
    mode = optimize.minimize_scalar(
        lambda y: -density(y), bounds=(a, b), method="bounded", options={"xatol": 1e-9 * h}
    ).x
    target = smoothing.level * (below(upper) - below(0.0))

    def excess(lo, hi):
        return below(min(hi, upper)) - below(max(lo, 0.0)) - target

    if excess(0.0, 2 * mode) < 0:
        if smoothing.upper_limit == "catalog":
            return 0.0, 0.0, 2 * mode
        return 0.0, 0.0, optimize.brentq(lambda y: excess(0.0, y), 0.0, upper)
    w = optimize.brentq(lambda w: excess(mode - w, mode + w), 0.0, max(mode, upper - mode))
    return mode, max(mode - w, 0.0), min(mode + w, upper)


@pytest.mark.parametrize("smoothing", [Smoothing(), Smoothing(0.3, 0.9, "quantile")], ids=str)
@pytest.mark.parametrize(
    ("shape", "upper"),
    [(1, 1e6), (1, 1.5), (2, 1e6), (3.5, 1e6), (8, 6.0), (51, 1e6), (51, 55.0), (1e5, 1e9)],
)
def test_mode_and_bounds_are_those_of_the_smoothed_density(shape, upper, smoothing):
    s = gamma_marginal(shape, upper).summary(smoothing)
    expected = np.array(by_quadrature(shape, upper, smoothing))
    # of the reference: the search for a flat top is good to the root of the precision of its
    # heights, 1e-6; bounds to 1e-8
    half = 0.5 * (expected[2] - expected[1])
    assert np.abs(np.array([s.value, s.lolim, s.hilim]) - expected).max() < 1e-4 * half
    assert s.noise == 0.0


def test_the_constants_of_an_empty_aperture():
    """C = 0 without background: an exponential, whose smoothed limits are known."""
    marginal = gamma_marginal(1.0, 1e6)
    assert marginal.summary(Smoothing()).mode == pytest.approx(0.5936, abs=5e-5)
    assert marginal.summary(Smoothing()).hilim == pytest.approx(1.187, abs=5e-4)
    assert marginal.quantile(0.68) == pytest.approx(-np.log(0.32), rel=1e-6)  # 1.139


def test_many_draws_come_to_the_same():
    for shape, tolerance in ((1.0, 1e-4), (200.0, 1e-4), (4.0, 1e-2)):
        draws = stats.gamma(shape).ppf((np.arange(100_000) + 0.5) / 100_000)
        s, limit = summarise(draws), gamma_marginal(shape, 1e6).summary(Smoothing())
        # the range of the draws ends short of zero, where the smoothed Gamma(4) still has mass
        np.testing.assert_allclose(s[:4], limit[:4], rtol=tolerance)


def test_the_mpdf_is_the_kernel_estimate_of_many_draws_and_integrates_to_one():
    marginal = gamma_marginal(3.0, 1e6)
    x = np.linspace(0.0, 30.0, 30_001)
    density = marginal.mpdf(x, Smoothing())
    assert density.sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=2e-4)
    assert x[density.argmax()] == pytest.approx(marginal.summary(Smoothing()).mode, abs=2e-3)
    assert (marginal.mpdf(np.array([-1.0, 2e6]), Smoothing()) == 0).all()


def test_moments_and_quantiles_are_those_of_the_posterior():
    for shape in (1.0, 4.0, 1e5):
        marginal, g = gamma_marginal(shape, 1e9), stats.gamma(shape)
        assert marginal.mean == pytest.approx(g.mean(), rel=1e-7)
        assert marginal.std == pytest.approx(g.std(), rel=1e-6)
        p = np.array([0.01, 0.5, 0.99])
        np.testing.assert_allclose(marginal.quantile(p), g.ppf(p), rtol=1e-6)
        np.testing.assert_allclose(marginal.cdf(g.ppf(p)), p, atol=1e-7)
