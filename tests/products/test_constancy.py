"""The ratio of likelihoods, held against the deviance of Poisson counts."""

from __future__ import annotations

import numpy as np
import pytest
from gammas import Gamma

from mpiapp.products.constancy import constancy, farthest, of_those, spread


def compared(counts, unit=1.0):
    """D and the common value of one source with so many counts in each observation."""
    low, high, tables = map(np.array, zip(*(Gamma(c + 1, 1.0).table() for c in counts)))
    statistic, number, common = constancy(unit * low, unit * high, tables, np.array([0, len(low)]))[
        0
    ]
    assert number == len(counts)
    return statistic, common


def statistic(counts):
    return compared(counts)[0]


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
    _, common = compared(counts)
    assert common == pytest.approx(np.mean(counts), abs=0.02 * np.sqrt(np.mean(counts)))


def test_the_farthest_is_so_in_half_widths_and_no_limit():
    value, half = np.array([1.0, 5.0, 0.0]), np.array([0.1, 2.0, 0.01])
    limit, first = np.array([np.nan, np.nan, 0.02]), np.array([0, 3])
    common = np.array([2.0])
    assert farthest(value, half, limit, common, first) == [1.0]
    assert farthest(value, half, np.array([0.2, np.nan, 0.02]), common, first) == [3.0]


def test_sources_are_compared_one_by_one():
    counts = [(4, 9), (7,), (), (0, 3, 5)]
    first = np.append(0, np.cumsum([len(c) for c in counts]))
    tables = [Gamma(n + 1, 1.0).table() for c in counts for n in c]
    low, high, density = map(np.array, zip(*tables))
    found = constancy(low, high, density, first)
    assert np.isnan(found[1:3]).all()
    for i in (0, 3):
        assert tuple(found[i, [0, 2]]) == compared(counts[i])
    mean, rms = np.arange(1.0, 7.0), np.array([1.0, 2.0, 1.0, 1.0, 1e-9, 1e-9])
    spreads = spread(mean, rms, first)
    assert np.isnan(spreads[2])
    assert spreads[[0, 3]] == pytest.approx([0.4, 0.5], rel=1e-9)
    nothing = np.full(6, np.nan)
    away = farthest(mean, rms, nothing, np.array([2.2, 3.0, np.nan, 5.1]), first)
    assert away[[0, 3]] == pytest.approx([1.2, 0.9])


def test_what_is_not_used_moves_where_sources_begin():
    used = np.array([True, False, False, True, True])
    assert of_those(used, np.array([0, 1, 3, 5])).tolist() == [0, 1, 1, 3]


@pytest.mark.parametrize("counts", [(20, *[0] * 19), (12, *[1] * 19), (400, 10)])
def test_far_out_in_the_wings_it_is_not_too_large(counts):
    assert 0.5 * deviance(counts) < statistic(counts) < deviance(counts)


def test_it_is_a_matter_of_the_density_and_not_of_the_unit():
    assert compared((3, 12), unit=1e-7)[0] == pytest.approx(statistic((3, 12)), rel=1e-9)


def test_the_spread_is_weighted_with_the_errors():
    mean, rms = np.array([1.0, 3.0]), np.array([1.0, 2.0])
    # weights 1 and 1/4: mean 1.4, variance (0.16 + 2.56/4)/1.25
    assert spread(mean, rms, np.array([0, 2])) == pytest.approx(np.sqrt(0.8 / 1.25))
