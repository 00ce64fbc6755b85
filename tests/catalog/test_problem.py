"""Changes to a problem: frozen backgrounds, excluded obsids, other priors, maximum likelihood."""

import numpy as np
import pytest
from problems import problem

from mpiapp.catalog.problem import Problem


@pytest.fixture
def two_obsids():
    """Source a is seen by both obsids, source b by the second only."""
    F = np.array(
        [
            [0.9, 0.0, 50.0, 0.0],
            [0.05, 0.0, 400.0, 0.0],
            [1.8, 0.2, 0.0, 70.0],
            [0.1, 1.7, 0.0, 60.0],
            [0.1, 0.1, 0.0, 900.0],
        ]
    )
    return Problem(
        counts=np.array([30, 40, 60, 25, 90]),
        F=F,
        upper=np.array([1e6, 1e6, 10.0, 10.0]),
        sources=("a", "b"),
        backgrounds=("O1", "O2"),
        row_obsid=np.array([0, 0, 1, 1, 1]),
        offset=np.zeros(5),
    )


def test_frozen_backgrounds_become_expected_counts(two_obsids):
    """Section 6.1: b = B/Ω_b for each obsid."""
    p = two_obsids.with_frozen_backgrounds()
    assert p.labels == ("a", "b")
    b1, b2 = 40 / 400, 90 / 900
    np.testing.assert_allclose(p.offset, [50 * b1, 400 * b1, 70 * b2, 60 * b2, 900 * b2])
    np.testing.assert_array_equal(p.F, two_obsids.F[:, :2])


def test_a_source_that_only_the_excluded_obsid_sees_goes_with_it(two_obsids):
    p = two_obsids.without(["O2"])
    assert p.labels == ("a", "O1")
    np.testing.assert_array_equal(p.F, [[0.9, 50], [0.05, 400]])
    np.testing.assert_array_equal(p.counts, [30, 40])
    q = two_obsids.without(["O1"])
    assert q.labels == ("a", "b", "O2")
    np.testing.assert_array_equal(q.row_obsid, [0, 0, 0])


def test_prior_factors_apply_to_the_named_columns_only(two_obsids):
    p = two_obsids.with_prior_factors({"b": 10, "O1": 0.1})
    np.testing.assert_allclose(p.upper, [1e6, 1e7, 1.0, 10.0])


def test_maximum_likelihood_solves_one_obsid_and_propagates_poisson_errors():
    p = problem([51, 692], np.array([[0.9, 300.0], [0.05, 18000.0]]), 1, [1e6, 10.0])
    best, sigma = p.maximum_likelihood()
    inverse = np.linalg.inv(p.F)
    np.testing.assert_allclose(best, inverse @ p.counts, rtol=1e-10)
    covariance = inverse @ np.diag(p.counts) @ inverse.T
    np.testing.assert_allclose(sigma, np.sqrt(np.diag(covariance)), rtol=1e-10)


def test_maximum_likelihood_of_several_obsids_is_the_weighted_mean():
    """Without background a source in two obsids has s = ΣC/ΣF if the weights are Poisson's."""
    F = np.array([[2.0, 0, 0], [0, 1, 0], [6.0, 0, 0], [0, 0, 1]])
    p = problem([10, 5, 30, 5], F, 1, [1e3, 1e3, 1e3])
    best, sigma = p.maximum_likelihood()
    assert best[0] == pytest.approx(40 / 8)
    assert sigma[0] == pytest.approx(np.sqrt(40) / 8)


def test_maximum_likelihood_of_small_fluxes_is_not_lost_in_rounding(two_obsids):
    """Energy fluxes: F of 1e15 for the source and 1e18 for the background."""
    scale = np.array([1e15, 1e15, 1e18])
    p = two_obsids.without(["O1"])
    q = Problem(**{**vars(p), "F": p.F * scale})
    np.testing.assert_allclose(q.maximum_likelihood(), p.maximum_likelihood() / scale, rtol=1e-10)


def test_intensities_of_single_obsids_find_where_a_source_is_brightest(two_obsids):
    per_obsid = two_obsids.single_obsid_intensities(0)
    (f, w), (g, wb) = two_obsids.F[:2, [0, 2]]
    expected = (30 * wb - 40 * w) / (f * wb - g * w)
    assert per_obsid[0] == pytest.approx(expected)
    assert two_obsids.single_obsid_intensities(1)[0] == -np.inf
