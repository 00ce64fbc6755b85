"""The ladder on the real engines, with data that provoke each branch by themselves.

T is the exposure; a source aperture of 20 pixels holds 90 % of the PSF, a
background aperture of 400 pixels 5 %.
"""

import numpy as np
import pytest
from jobs import needs_pymc3, without_nutpie, without_pymc3

from mpiapp import Flag, Outcome, measure

T = 1e4
F = T * np.array([[0.9, 20.0], [0.05, 400.0]])
# What the ladder does is the same on each, so NUTS, which is slow, goes through two branches.
QUICK = ["exact", "gibbs"]
ENGINES = [
    *QUICK,
    pytest.param("pymc3", marks=[pytest.mark.pymc3, without_pymc3]),
    pytest.param("pymc", marks=[pytest.mark.pymc, without_nutpie]),
]


def two_obsids():
    blocks = np.zeros((4, 3))
    blocks[:2, [0, 1]] = blocks[2:, [0, 2]] = F
    return blocks


def expected(counts, matrix=F):
    """Source intensity of the linear solution, with the σ of its Poisson counts."""
    inverse = np.linalg.inv(matrix)
    return inverse[0] @ counts, np.sqrt(inverse[0] ** 2 @ counts)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_brighter_than_table_1_allows_is_measured_with_a_raised_prior(engine):
    """20 count/s against a bound of 10: pegged, then measured, not NULL."""
    counts = np.array([200_000, 13_000])
    (p,) = measure(counts, F, 1, "rate", engine=engine)
    truth, sigma = expected(counts)
    assert truth > 20
    assert p.outcome is Outcome.MEASURED
    assert p.flags & ~Flag.DIVERGENT == Flag.PRIOR_RAISED
    # the mode of some 1000 smoothed draws scatters by about 0.05 σ; six of those
    assert abs(p.value - truth) < 0.3 * sigma


@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_far_beyond_the_raised_prior_is_null_in_a_single_obsid(engine):
    (p,) = measure([2_000_000_000, 110_000_000], F, 1, "rate", engine=engine)
    assert p.outcome in (Outcome.NULL_PEGGED, Outcome.NULL_FAILED)
    assert p.outcome is Outcome.NULL_PEGGED or engine == "pymc3"


@pytest.mark.parametrize("engine", QUICK)
def test_a_background_brighter_than_table_1_allows_gets_a_raised_prior(engine):
    """Figure 6: 2e-3 count/s/pixel against a bound of 1e-3."""
    counts = np.array([450, 8000])
    (p,) = measure(counts, F, 1, "rate", engine=engine)
    truth, sigma = expected(counts)
    assert p.outcome is Outcome.MEASURED
    assert p.flags & ~Flag.DIVERGENT == Flag.PRIOR_RAISED
    assert abs(p.value - truth) < 0.3 * sigma


@pytest.mark.parametrize("engine", QUICK)
def test_an_obsid_whose_background_stays_pegged_is_left_out(engine):
    """5e-2 count/s/pixel in the second obsid: beyond ten times the bound too."""
    counts = np.array([40, 80, 11_000, 200_000])
    (p,) = measure(counts, two_obsids(), 1, "rate", engine=engine)
    alone, sigma = expected(counts[:2])
    assert p.outcome is Outcome.MEASURED
    assert p.flags & ~Flag.DIVERGENT == Flag.OBSID_EXCLUDED
    # smoothing moves the mode of so skewed a posterior towards zero by up to 0.3 σ
    assert abs(p.value - alone) < 0.6 * sigma


@pytest.mark.parametrize("engine", QUICK)
def test_energy_fluxes_below_the_floor_are_null(engine):
    """30 counts at 1e19 count per erg/s/cm² are 3e-18, below 5e-18."""
    scale = 1e19 / T
    (p,) = measure([40, 80], F * scale, 1, "flux", engine=engine, prior_upper=BOUNDS)
    assert p.outcome is Outcome.NULL_ENERGY_FLOOR
    assert np.isnan(p.value)
    assert 2e-18 < p.mode < 5e-18


# Table 1's bounds are 10^9 times these intensities, where NUTS cannot start (next test).
BOUNDS = {"source": 1e-14, "background": 1e-17}


@needs_pymc3
def test_pymc3_recovers_from_a_failure_with_frozen_backgrounds():
    """A background a million times the bound stops NUTS from starting; frozen, it runs."""
    counts = np.array([1_000_000, 100_000_000])
    (p,) = measure(counts, [[1e4, 1e5], [1e2, 1e7]], 1, "cnts", engine="pymc3")
    assert Flag.BACKGROUND_FROZEN in p.flags
    assert not p.outcome.is_null
    # backgrounds at B/Ω_b explain all counts, so that the source is an upper limit of the
    # order of its Poisson noise: sqrt(1e6) / 1e4
    assert p.hilim < 3 * np.sqrt(1e6) / 1e4


@needs_pymc3
def test_a_problem_that_pymc3_cannot_sample_at_all_is_null_and_says_why():
    """F of 10^25: at the middle of the priors the expected counts are 10^17."""
    from mpiapp.engines import SamplingError

    with pytest.raises(SamplingError, match="pymc3"):
        measure([3, 10], [[1e25, 1e26], [1e24, 1e27]], 1, "flux", engine="pymc3")


def test_a_source_that_no_aperture_sees_is_null_without_sampling():
    (p,) = measure([4, 30], [[0, 20], [0, 400]], 1, "cnts", engine="gibbs")
    assert p.outcome is Outcome.NULL_UNSEEN
