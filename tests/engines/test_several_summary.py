"""Batches of problems with several sources give what their problems give one by one."""

import numpy as np
import pytest
from problems import problem, simulated
from scipy.stats import gamma

from mpiapp.catalog.problems import Problems
from mpiapp.engines import create
from mpiapp.engines.canonical import canonical
from mpiapp.engines.compressed import compress
from mpiapp.engines.several import fit, marginals
from mpiapp.engines.several_summary import SHIFTS, summarise_several
from mpiapp.posterior import SamplingError, Smoothing

EXACT = create("exact")
SEED = np.random.SeedSequence(0)


def some_problems(n, m, number=12):
    rng = np.random.default_rng(10 * n + m)
    return [
        simulated(
            n, m, 10.0 ** rng.uniform(-1.0, 3.0, n), 10.0 ** rng.uniform(-2, 0), rng,
            blend=rng.choice([0.0, 0.4, 0.8]),
        )
        for _ in range(number)
    ]  # fmt: skip


@pytest.mark.parametrize(("n", "m"), [(2, 1), (2, 4), (3, 2)])
@pytest.mark.parametrize("smoothing", [Smoothing(), Smoothing(0.5, 0.9, "quantile")])
def test_a_batch_gives_what_its_problems_give_one_by_one(n, m, smoothing):
    problems = some_problems(n, m)
    found = EXACT.summarise(Problems.of(problems), smoothing)
    assert found.is_solved.sum() > 0.8 * len(problems)
    assert 0 < found.is_upper_limit.sum() < found.numbers.size
    for i in np.flatnonzero(found.is_solved):
        posterior = EXACT.sample(problems[i], SEED)
        for j in range(n):
            s = posterior.summary(j, smoothing)
            numbers = *s[:4], posterior.mean(j), posterior.std(j), s.noise
            assert found.numbers[i, j].item()[:7] == numbers
            assert found.is_upper_limit[i, j] == s.is_upper_limit
        reach = [posterior.reach(column, smoothing) for column in range(n + m)]
        assert found.eq11[i].tolist() == reach


@pytest.mark.parametrize("smoothing", [Smoothing(), Smoothing(0.5, 0.9, "quantile")])
def test_the_compiled_numbers_are_those_of_the_marginals(smoothing):
    """One source after the other, its repeats summarised in full: not as small changes."""
    for p in [canonical(p).problem for p in some_problems(3, 1)]:
        posterior = EXACT.sample(p, SEED)
        depth = summarise_several(
            p.counts[None], p.F[None], p.offset[None], p.row_obsid, p.upper[None], 3,
            smoothing, EXACT.accuracy,
        ).depth  # fmt: skip
        for j in range(p.n_sources):
            s = posterior.summary(j, smoothing)
            repeats = marginals(fit(compress(p)), j, 0.0, SHIFTS, depth[0, j])
            other = repeats[0].summary(smoothing)
            half = 0.5 * (s.hilim - s.lolim)
            np.testing.assert_allclose(s[:4], other[:4], atol=1e-9 * half)
            assert posterior.mean(j) == pytest.approx(posterior.marginal(j).mean, abs=0.01 * half)
            found = [m.summary(smoothing) for m in repeats[1:]]
            if len({one.is_upper_limit for one in [*found, s]}) > 1:
                continue
            spread = np.std([one[1:4] for one in found], axis=0, ddof=1).max()
            expected = 2.0 * spread / np.sqrt(len(found)) / half
            # changes of a few hundredths of a half-width, to first order; more is noise of the
            # integrals over backgrounds and of the series
            assert 0.9 * expected < s.noise < 1.1 * expected + 0.0015


def test_quantities_are_solved_once_and_what_fails_costs_its_neighbours_nothing():
    p = some_problems(2, 2, 1)[0]
    other = problem(p.counts, p.F / 3.7e-16, 2, p.upper * 3.7e-16)
    changed = p.F.copy()
    changed[0] = 0.0
    impossible = problem(np.maximum(p.counts, 1), changed, 2, p.upper)
    found = EXACT.summarise(Problems.of([p, other, impossible, p]), Smoothing())
    assert found.is_solved.tolist() == [True, True, False, True]
    assert (found.method == b"scaled").tolist() == [False, True, False, False]
    value = found.numbers["value"]
    np.testing.assert_allclose(value[1] / 3.7e-16, value[0], rtol=4e-16)
    assert value[3].tolist() == value[0].tolist()
    with pytest.raises(SamplingError, match="row 0 holds"):
        EXACT.sample(impossible, SEED)


@pytest.mark.parametrize("n", [1, 2])
def test_priors_that_cut_nothing_make_no_other_problem(n):
    """Quantities have background priors of their own, which rarely reach into the likelihood."""
    rng = np.random.default_rng(3)
    p = simulated(n, 2, np.full(n, 300.0), 0.02, rng)
    far, near = p.upper.copy(), p.upper.copy()
    far[n:] *= 1.7
    near[n:] = 5.0 / p.F[:, n:].max(axis=0)
    problems = Problems.of([problem(p.counts, p.F, n, upper) for upper in (p.upper, far, near)])
    method = EXACT.summarise(problems, Smoothing()).method
    assert (method == b"scaled").tolist() == [False, True, False]
    own = canonical(p)
    beyond = own.problem.upper[n:]
    assert (beyond < (p.upper * own.units)[n:]).all()
    # b given the sources is at most Gamma(counts it sees + 1, what one of it makes expected)
    for k in range(2):
        F = own.problem.F[:, n + k]
        seen = p.counts[F > 0].sum()
        assert gamma.sf(beyond[k], seen + 1, scale=1.0 / F.sum()) < 1e-11
