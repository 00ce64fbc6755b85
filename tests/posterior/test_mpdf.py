"""Mode and bounds of the smoothed marginal, against brute force and closed forms."""

import numpy as np
import pytest

from mpiapp.posterior.mpdf import Smoothing, density, summarise


def on_a_grid(draws, level=0.68, n=20_001):
    """The catalog's procedure step by step on a grid: smooth, then add cells about the mode."""
    h = draws.std()
    grid = np.linspace(max(draws.min(), 1e-300), draws.max(), n)
    f = np.array([np.clip(1 - ((x - draws) / h) ** 2, 0, None).sum() for x in grid])
    lo = hi = top = int(f.argmax())
    enclosed, wanted = f[top], level * f.sum()
    while enclosed < wanted:
        hi += 1
        enclosed += f[hi]
        if enclosed >= wanted:
            break
        lo -= 1
        if lo < 0:
            return grid[top], 0.0, grid[hi], True
        enclosed += f[lo]
    return grid[top], grid[lo], grid[hi], False


SHAPES = {
    "gaussian": lambda rng: rng.normal(50, 3, 1000),
    "skewed": lambda rng: rng.gamma(4.0, 1e-7, 1000),
    "upper limit": lambda rng: rng.gamma(1.0, 2.0, 1000),
    "heavy tail": lambda rng: 30 + rng.standard_t(3, 1000),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_grid_procedure_in_the_limit_of_a_fine_grid(shape):
    draws = SHAPES[shape](np.random.default_rng(3))
    mode, lolim, hilim, is_limit = on_a_grid(draws)
    s = summarise(draws)
    # the brute-force grid has 20,000 cells, its own error is two of them; where it reaches its
    # lower end it stops at the smallest draw, short of zero
    cell = np.ptp(draws) / 20_000
    assert s.is_upper_limit is is_limit
    assert s.mode == pytest.approx(mode, abs=2 * cell)
    assert s.hilim == pytest.approx(hilim, abs=2 * cell + is_limit * draws.min())
    assert s.lolim == pytest.approx(lolim, abs=2 * cell)


def test_smoothing_widens_a_gaussian_interval_by_the_root_of_six_fifths():
    """The kernel adds a variance of h²/5; n is large, so that only quantisation could spoil it."""
    z = np.random.default_rng(1).normal(size=400_000)
    s = summarise(100 + z)
    # 68 % of a Gaussian lies within 0.99446 σ; the smoothed shape is not exactly Gaussian
    assert (s.hilim - s.lolim) / 2 == pytest.approx(0.99446 * np.sqrt(1.2), rel=0.01)


def test_without_smoothing_the_interval_is_that_of_the_draws():
    z = np.random.default_rng(1).normal(size=400_000)
    s = summarise(100 + z, Smoothing(bandwidth=0.05))
    # standard error of a half-width from n draws is about 0.9/sqrt(n), and the mode wanders by
    # about (h² n)^(-1/5) σ, which enters the width to second order only
    assert (s.hilim - s.lolim) / 2 == pytest.approx(0.99446, rel=0.01)


@pytest.mark.parametrize("bad", [{"bandwidth": 1e-4}, {"level": 1.0}, {"upper_limit": "none"}])
def test_smoothing_refuses_what_no_engine_can_do(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))} = "):
        Smoothing(**bad)


def test_an_upper_limit_is_twice_the_mode_or_the_quantile():
    """C = 0: the posterior is exponential with scale 1/f, its 68 % quantile -ln(0.32)/f."""
    n = 200_000
    draws = np.random.default_rng(5).exponential(1.0, n)
    s = summarise(draws)
    assert (s.value, s.lolim) == (0.0, 0.0)
    assert s.hilim == 2 * s.mode
    q = summarise(draws, Smoothing(bandwidth=0.01, upper_limit="quantile"))
    # standard error of the quantile: sqrt(p (1-p) / n) / pdf, pdf = 0.32
    assert q.hilim == pytest.approx(-np.log(0.32), abs=4 * np.sqrt(0.68 * 0.32 / n) / 0.32)


def test_the_density_integrates_to_one_on_the_range_of_the_draws():
    draws = np.random.default_rng(2).gamma(2.0, 1e-15, 2000)
    x = np.linspace(draws.min(), draws.max(), 20_001)
    assert np.sum(density(draws, x)) * (x[1] - x[0]) == pytest.approx(1, rel=1e-3)
    assert density(draws, [draws.max() * 1.01])[0] == 0


def test_units_only_scale_the_result():
    draws = np.random.default_rng(4).gamma(9.0, 1.0, 2000)
    a, b = summarise(draws), summarise(draws * 1e-17)
    np.testing.assert_allclose(b[:4], np.array(a[:4]) * 1e-17, rtol=1e-9)


@pytest.mark.parametrize("draws", [np.ones(100), np.array([1.0, np.nan, 2.0])])
def test_constant_or_nan_draws_are_refused(draws):
    with pytest.raises(ValueError, match="constant or not finite"):
        summarise(draws)


@pytest.mark.parametrize("rule", ["catalog", "quantile"])
@pytest.mark.parametrize("shape", ["gaussian", "skewed", "upper limit"])
def test_noise_is_the_spread_of_repeats(shape, rule):
    """The worst of mode, lolim and hilim over 400 sets of 1000 draws, in half-widths."""
    draw = SHAPES[shape]
    smoothing = Smoothing(upper_limit=rule)
    rng = np.random.default_rng(8)
    repeats = [summarise(draw(rng), smoothing) for _ in range(400)]
    limits = {s.is_upper_limit for s in repeats}
    assert len(limits) == 1, "the shape is not clear of the decision for a limit"
    numbers = np.array([(s.value, s.lolim, s.hilim) for s in repeats])
    spread = numbers.std(axis=0).max() / (0.5 * np.mean(numbers[:, 2] - numbers[:, 1]))
    said = np.median([s.noise for s in repeats])
    # 400 repeats give the spread to 3.5 %
    assert 1 / 1.5 < said / spread < 1.5


def test_noise_falls_with_the_root_of_the_effective_number_of_draws():
    draws = np.random.default_rng(8).gamma(4.0, 1.0, 1000)
    assert summarise(draws, ess=250).noise == pytest.approx(2 * summarise(draws).noise)
