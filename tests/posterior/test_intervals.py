"""Intervals of highest density: where the density is the same at both ends, or ArviZ's of draws."""

import arviz as az
import numpy as np
import pytest
from scipy import stats

from mpiapp.posterior.intervals import highest_density


@pytest.mark.parametrize("level", [0.68, 0.9, 0.997])
@pytest.mark.parametrize("shape", [1.5, 4.0, 60.0])
def test_both_ends_are_equally_likely_and_enclose_the_level(shape, level):
    truth = stats.gamma(shape)
    low, high = highest_density(truth.ppf, level)
    assert truth.cdf(high) - truth.cdf(low) == pytest.approx(level, abs=1e-9)
    assert truth.pdf(low) == pytest.approx(truth.pdf(high), rel=1e-2)


def test_of_a_falling_density_it_begins_at_the_lowest_value():
    low, high = highest_density(stats.expon.ppf, 0.9)
    assert low == 0.0 and high == pytest.approx(-np.log(0.1))


def test_of_draws_it_is_that_of_arviz():
    """Both are the shortest, one between draws, the other interpolated: to some spacings."""
    draws = np.random.default_rng(3).gamma(3.0, size=20_000)
    found = highest_density(lambda p: np.quantile(draws, p), 0.68)
    theirs = az.hdi(draws, 0.68)  # its name differs between versions
    assert found[1] - found[0] == pytest.approx(theirs[1] - theirs[0], rel=1e-2)
    assert np.mean((draws >= found[0]) & (draws <= found[1])) == pytest.approx(0.68, abs=2e-4)
