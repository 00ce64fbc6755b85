"""The engine of CSC 2.0: its priors by hand, its draws against quadrature, its failures."""

import numpy as np
import pytest
from problems import matrix, problem

from mpiapp.engines import SamplingError, create
from mpiapp.engines.get_draws import LOWEST, prior_range
from mpiapp.engines.one_source import marginal
from mpiapp.posterior.mpdf import summarise

SEED = np.random.SeedSequence(20)


def one_source(source_counts, background_counts, unit=1e9, upper=(1e-2, 1e-6)):
    """A source in one obsid: 90 % of the PSF in its aperture, a background of 60 times its area."""
    F = np.array([[0.9, 300.0], [0.05, 18000.0]]) * unit
    return problem([source_counts, background_counts], F, 1, upper)


def test_priors_are_five_sigma_about_the_solution():
    p = one_source(400, 692, unit=1.0, upper=(1e6, 10.0))
    best, sigma = p.maximum_likelihood()
    lowest, highest = prior_range(p)
    np.testing.assert_allclose(highest, best + 5 * sigma)
    np.testing.assert_allclose(lowest, best - 5 * sigma)


def test_a_negative_solution_counts_as_zero_and_leaves_a_narrow_prior():
    p = one_source(0, 30, unit=1.0, upper=(1e6, 10.0))
    best, sigma = p.maximum_likelihood()
    assert best[0] < 0
    lowest, highest = prior_range(p)
    assert highest[0] == pytest.approx(5 * sigma[0])
    assert lowest[0] == pytest.approx(LOWEST * highest[0])


def test_without_any_counts_there_is_no_prior():
    with pytest.raises(SamplingError, match="no prior range for r0: "):
        prior_range(one_source(0, 0))


def test_priors_of_no_counts_may_have_a_variance_of_half_a_count():
    p = one_source(0, 30, unit=1.0, upper=(1e6, 10.0))
    inverse = np.linalg.inv(p.F)
    _, highest = prior_range(p, least_variance=0.5)
    assert highest[0] == pytest.approx(5 * np.sqrt(inverse[0] ** 2 @ [0.5, 30.0]))
    assert (prior_range(one_source(0, 0), least_variance=0.5)[1] > 0).all()


class TestWithSherpa:
    @pytest.fixture(autouse=True)
    def _sherpa(self):
        pytest.importorskip("sherpa")

    def test_a_clear_source_has_the_exact_posterior(self):
        p = one_source(51, 692)
        draws = create("get_draws").sample(p, SEED)
        assert draws.values.shape == (1, 5000, 2)
        # The share of draws below a true quantile scatters by √(p(1 - p)/ESS); 4 of that.
        for share in (0.16, 0.5, 0.84):
            below = np.mean(draws.of(0) < marginal(p).quantile(share))
            assert abs(below - share) < 4 * np.sqrt(share * (1 - share) / draws.ess[0])

    def test_the_same_seed_gives_the_same_draws(self):
        engine = create("get_draws", draws=200)
        p = one_source(51, 692)
        first = engine.sample(p, np.random.SeedSequence(1))
        engine.sample(p, np.random.SeedSequence(2))
        again = engine.sample(p, np.random.SeedSequence(1))
        np.testing.assert_array_equal(first.values, again.values)

    def test_two_blended_sources_in_two_obsids_add_up(self):
        """What both sources give together is well known: its mean is that of the compiled engine.

        Both means carry an error σ/√ESS; 5 of their quadratic sum.
        """
        p = problem([60, 40, 200, 70, 45, 190], matrix(2, 2), 2, [1e4, 1e4, 1e2, 1e2])
        sums, errors = [], []
        for name in ("get_draws", "gibbs"):
            draws = create(name).sample(p, SEED)
            both = draws.of(0) + draws.of(1)
            sums.append(both.mean())
            errors.append(both.std() / np.sqrt(draws.ess[:2].min()))
        assert abs(sums[0] - sums[1]) < 5 * np.hypot(*errors)

    def test_no_source_counts_beside_a_bright_background_give_far_too_low_a_bound(self):
        """As in CSC 2.0 (memo, section 2.3, Figure 1): the prior ends below the posterior."""
        p = one_source(0, 30)
        draws = create("get_draws").sample(p, SEED).of(0)
        assert draws.max() < marginal(p).quantile(0.5)

    def test_half_a_count_of_variance_gives_the_published_limits_of_no_counts(self):
        """1.04/f in the median of CSC 2.0 (0.93 to 1.10), where all of a posterior gives 1.19/f."""
        p = one_source(0, 30, unit=1.0, upper=(1e6, 1e3))
        engine = create("get_draws", least_variance=0.5)
        seeds = (np.random.SeedSequence(i) for i in range(8))
        found = [summarise(engine.sample(p, seed).of(0)).hilim for seed in seeds]
        # a single one scatters by 0.08
        assert 0.9 * np.median(found) == pytest.approx(1.04, abs=3 * 1.25 * 0.08 / np.sqrt(8))
