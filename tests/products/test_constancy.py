"""The ratio of likelihoods, held against the deviance of Poisson counts and scipy's χ²."""

from __future__ import annotations

import numpy as np
import pytest
from gammas import Gamma
from scipy import stats

from mpiapp.products.constancy import chance_of, constancy, farthest, spread


def statistic(counts):
    low, high, tables = zip(*(Gamma(c + 1, 1.0).table() for c in counts))
    tables = np.array([table / table.max() for table in tables], dtype=float)
    return constancy(np.array(low), np.array(high), tables)[0]


def deviance(counts):
    counts = np.array(counts)
    return 2 * sum(c * np.log(c / counts.mean()) for c in counts if c)


@pytest.mark.parametrize(
    "counts",
    [(4, 9), (0, 3), (0, 0, 0), (0, 1, 0, 2), (30, 20, 25, 60), (1000, 1100), (7,) * 30, (0, 0, 9)],
)
def test_of_counts_without_background_it_is_the_deviance(counts):
    # a peak between two points of a table is known to (11 % of the rms)²/2, at a density that
    # is no parabola of its logarithm there to 0.004 for one count
    assert statistic(counts) == pytest.approx(deviance(counts), rel=3e-3, abs=4e-3 * len(counts))


@pytest.mark.parametrize("counts", [(4, 9), (0, 3), (30, 20, 25, 60), (1000, 1100)])
def test_the_common_value_of_counts_without_background_is_their_mean(counts):
    low, high, tables = zip(*(Gamma(c + 1, 1.0).table() for c in counts))
    tables = np.array([table / table.max() for table in tables], dtype=float)
    _, common = constancy(np.array(low), np.array(high), tables)
    assert common == pytest.approx(np.mean(counts), abs=0.02 * np.sqrt(np.mean(counts)))


def test_the_farthest_is_so_in_half_widths_and_no_limit():
    value, half = np.array([1.0, 5.0, 0.0]), np.array([0.1, 2.0, 0.01])
    assert farthest(value, half, np.array([np.nan, np.nan, 0.02]), 2.0) == 1.0
    assert farthest(value, half, np.array([0.2, np.nan, 0.02]), 2.0) == 3.0


@pytest.mark.parametrize("counts", [(20, *[0] * 19), (12, *[1] * 19), (400, 10)])
def test_far_out_in_the_wings_it_is_not_too_large(counts):
    assert 0.5 * deviance(counts) < statistic(counts) < deviance(counts)


def test_it_is_a_matter_of_the_density_and_not_of_the_unit():
    low, high, tables = zip(*(Gamma(c + 1, 1.0).table() for c in (3, 12)))
    tables = np.array([table / table.max() for table in tables], dtype=float)
    scaled, _ = constancy(1e-7 * np.array(low), 1e-7 * np.array(high), tables)
    assert scaled == pytest.approx(statistic((3, 12)), rel=1e-9)


def test_chance_is_that_of_chi_squared():
    for dof in (1, 2, 3, 10, 999):
        for value in (0.0, 0.3, 5.0, 60.0, 1100.0):
            wanted = stats.chi2.sf(value, dof)
            assert chance_of(value, float(dof)) == pytest.approx(wanted, rel=1e-9, abs=1e-300)


def test_the_spread_is_weighted_with_the_errors():
    mean, rms = np.array([1.0, 3.0]), np.array([1.0, 2.0])
    # weights 1 and 1/4: mean 1.4, variance (0.16 + 2.56/4)/1.25
    assert spread(mean, rms) == pytest.approx(np.sqrt(0.8 / 1.25))
