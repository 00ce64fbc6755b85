"""Many problems with one source at a time: what each gives does not depend on the others."""

import numpy as np
import pytest
from problems import matrix, problem, simulated

from mpiapp.catalog.problems import Problems
from mpiapp.engines import create
from mpiapp.posterior import SamplingError, Smoothing

EXACT = create("exact")
SEED = np.random.SeedSequence(0)


@pytest.mark.parametrize("n_obsids", [1, 3, 20])
@pytest.mark.parametrize("smoothing", [Smoothing(), Smoothing(0.5, 0.9, "quantile")])
def test_a_batch_gives_what_its_problems_give_one_by_one(n_obsids, smoothing):
    rng = np.random.default_rng(n_obsids)
    intensities = 10.0 ** rng.uniform(-1.5, 4.0, 40)
    problems = [simulated(1, n_obsids, s, 10.0 ** rng.uniform(-2, 1), rng) for s in intensities]
    found = EXACT.summarise(Problems.of(problems), smoothing)
    assert found.is_solved.all()
    assert 0 < found.is_upper_limit.sum() < len(problems)
    for i, p in enumerate(problems):
        posterior = EXACT.sample(p, SEED)
        one = posterior.summary(0, smoothing)
        numbers = (one.value, one.lolim, one.hilim, one.mode, posterior.mean(0), posterior.std(0))
        assert found.numbers[i, 0].item()[:6] == numbers
        assert found.is_upper_limit[i, 0] == one.is_upper_limit
        reach = [posterior.reach(column, smoothing) for column in range(p.n_columns)]
        assert found.eq11[i].tolist() == reach


def test_a_problem_that_cannot_be_solved_costs_its_neighbours_nothing():
    good = simulated(1, 1, 5.0, 0.5, np.random.default_rng(0))
    nothing_explains = problem([3, 2], np.array([[0.0, 0.0], [0.5, 8.0]]), 1, good.upper)
    alone = EXACT.summarise(Problems.of([good]), Smoothing())
    found = EXACT.summarise(Problems.of([good, nothing_explains, good]), Smoothing())
    assert found.is_solved.tolist() == [True, False, True]
    assert found.numbers["value"][[0, 2], 0].tolist() == [alone.numbers["value"][0, 0]] * 2
    with pytest.raises(SamplingError, match="row 0 holds 3 counts"):
        EXACT.sample(nothing_explains, SEED)


@pytest.mark.parametrize("smoothing", [Smoothing(), Smoothing(2.0, 0.9, "quantile")])
def test_no_background_exceeds_what_is_said_of_it(smoothing):
    rng = np.random.default_rng(8)
    for n_obsids, source, background in ((1, 0.0, 0.001), (1, 900.0, 0.01), (3, 10.0, 2.0)):
        p = simulated(1, n_obsids, source, background, rng)
        posterior = EXACT.sample(p, SEED)
        for column in range(1, p.n_columns):
            s = posterior.summary(column, smoothing)
            excess = s.mode + 1.5 * (s.hilim - s.lolim)
            assert excess <= posterior.reach(column, smoothing) < 12.0 * excess


@pytest.mark.parametrize("n_obsids", [1, 4])
def test_the_same_data_in_other_units_are_solved_once(n_obsids):
    p = simulated(1, n_obsids, 9.0, 0.4, np.random.default_rng(5))
    units = np.array([1.0, 3.7e-16, 1.1e-7, 2.9e-5])
    problems = [problem(p.counts, p.F / u, 1, p.upper * u) for u in units]
    changed = p.F.copy()
    changed[1, 0] *= 1.1
    other = problem(p.counts, changed, 1, p.upper)
    cut = problem(p.counts, p.F, 1, np.append(6.0, p.upper[1:]))
    found = EXACT.summarise(Problems.of([*problems, other, p, cut]), Smoothing())
    assert (found.method == b"scaled").tolist() == [False, *[True] * 3, *[False] * 3]
    for name in found.numbers.dtype.names[:6]:
        numbers = found.numbers[name]
        # the division by the unit, and the product with it here, round once each
        np.testing.assert_allclose(numbers[:4, 0] / units, numbers[0, 0], rtol=4e-16)
    hilim = found.numbers["hilim"][:, 0]
    assert hilim[6] <= 6.0 < hilim[5]


def test_the_mean_and_width_are_those_of_the_density():
    p = problem([9, 40], matrix(1, 1), 1, [1e6, 1e3])
    posterior = EXACT.sample(p, SEED)
    x, w = np.polynomial.legendre.leggauss(400)
    s = 50.0 * (1.0 + x)
    mass = 50.0 * w * posterior.pdf(0, s)
    mean = mass @ s
    assert mass.sum() == pytest.approx(1.0, rel=1e-6)
    assert posterior.mean(0) == pytest.approx(mean, rel=1e-6)
    assert posterior.std(0) == pytest.approx(np.sqrt(mass @ (s - mean) ** 2), rel=1e-6)
