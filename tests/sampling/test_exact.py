"""The engine without noise: against draws, grids and itself."""

import numpy as np
import pytest
from problems import matrix, problem, simulated

from mpiapp.photometry.ladder import Ladder, Policy
from mpiapp.photometry.outcome import Outcome
from mpiapp.posterior import Smoothing
from mpiapp.sampling import create

EXACT = create("exact")


def summaries(posterior, p):
    found = [posterior.summary(j, Smoothing()) for j in range(p.n_sources)]
    return np.array([(s.mode, s.lolim, s.hilim, s.noise) for s in found])


def sampled(p, seed=0):
    return EXACT.sample(p, np.random.SeedSequence(seed))


def half_widths(numbers):
    return 0.5 * (numbers[..., 2] - numbers[..., 1])


@pytest.mark.parametrize("n_obsids", [1, 5, 40])
@pytest.mark.parametrize("source", [0.0, 3.0, 100.0, 1e4])
def test_one_source_agrees_with_many_draws_and_knows_no_seed(n_obsids, source):
    p = simulated(1, n_obsids, source, 0.5, np.random.default_rng(n_obsids))
    one, two = summaries(sampled(p, 1), p), summaries(sampled(p, 2), p)
    assert (one == two).all()
    assert (one[:, 3] == 0.0).all()
    draws = create("gibbs", ess_target=40_000).sample(p, np.random.SeedSequence(0))
    reference = summaries(draws, p)
    # `noise` of the draws is one standard deviation; 12 × 3 numbers are compared
    difference = np.abs(one - reference)[:, :3].max() / half_widths(one)[0]
    assert difference < 4.0 * reference[0, 3]


def test_frozen_backgrounds_and_cutting_priors_are_included():
    p = problem([30, 200], matrix(1, 1), 1, [22.0, 1e3])
    for q in (p, p.with_frozen_backgrounds()):
        reference = create("gibbs", ess_target=40_000).sample(q, np.random.SeedSequence(0))
        one, other = summaries(sampled(q), q), summaries(reference, q)
        assert np.abs(one - other)[0, :3].max() < 4.0 * other[0, 3] * half_widths(one)[0]
        assert one[0, 2] <= 22.0


def test_the_same_data_in_other_units_give_the_same_numbers():
    p = simulated(1, 3, 12.0, 0.3, np.random.default_rng(4))
    scale = np.array([1e-16, 1e-19, 1e-19, 1e-19])
    q = problem(p.counts, p.F / scale, 1, p.upper * scale)
    a, b = summaries(sampled(p), p), summaries(sampled(q), q)
    np.testing.assert_allclose(b[:, :3], 1e-16 * a[:, :3], rtol=1e-6)


def two_source_grid(p, points=241):
    """(modes, means, sds) of the sources by sums over a grid of both and of the background."""
    best = np.maximum(p.least_squares(), 0.0)
    sigma = np.sqrt(p.counts.max() + 4.0) / p.F.max(axis=0)
    axes = [
        np.linspace(max(0.0, b - 9 * s), b + 9 * s + 3 * s, points) for b, s in zip(best, sigma)
    ]
    logp = 0.0
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    for c, row in zip(p.counts, p.F):
        mu = sum(f * g for f, g in zip(row, grids))
        with np.errstate(divide="ignore", invalid="ignore"):
            logp = logp + (c * np.log(mu) if c else 0.0) - mu
    density = np.exp(logp - np.nanmax(logp))
    density = np.nan_to_num(density)
    for axis in range(3):  # trapezoids
        density[tuple(slice(None) if i != axis else 0 for i in range(3))] *= 0.5
    moments = []
    for j in range(2):
        marginal = density.sum(axis=tuple(i for i in range(3) if i != j))
        mean = (axes[j] * marginal).sum() / marginal.sum()
        moments.append((mean, np.sqrt(((axes[j] - mean) ** 2 * marginal).sum() / marginal.sum())))
    return np.array(moments)


@pytest.mark.parametrize(("counts", "blend"), [((9, 3, 40), 0.3), ((60, 55, 90), 0.8)])
def test_two_sources_have_the_moments_of_a_brute_force_grid(counts, blend):
    p = problem(counts, matrix(2, 1, blend=blend), 2, [1e6, 1e6, 1e3])
    posterior = sampled(p)
    noise = summaries(posterior, p)[:, 3].max()
    expected = two_source_grid(p)
    for j in range(2):
        mean, std = expected[j]
        # the grid's own error is below 1e-3 σ; a half-width is about 1.1 σ
        assert posterior.mean(j) == pytest.approx(mean, abs=(4 * noise + 1e-3) * 1.1 * std)
        assert posterior.std(j) == pytest.approx(std, rel=4 * noise + 2e-3)


SEVERAL = [(2, 1, 10.0, 0.3), (2, 5, [3.0, 40.0], 0.9), (3, 4, 10.0, 0.5), (5, 2, 5.0, 0.3)]


@pytest.mark.parametrize(("n", "m", "source", "blend"), SEVERAL)
def test_what_noise_is_left_is_said_and_is_small(n, m, source, blend):
    p = simulated(n, m, source, 0.5, np.random.default_rng(7), blend=blend)
    repeats = np.array([summaries(sampled(p, seed), p) for seed in range(24)])
    half = half_widths(repeats).mean(axis=0)
    spread = (repeats[:, :, :3].std(axis=0, ddof=1) / half[:, None]).max(axis=1)
    said = np.sqrt((repeats[:, :, 3] ** 2).mean(axis=0))
    # 24 repeats give a spread to 15 %, the largest of three a little more: over all sources
    assert 1 / 1.5 < np.sqrt((said**2).mean() / (spread**2).mean()) < 1.5
    # of the 24 · 23/2 pairs the largest difference is 4 standard deviations, each at most 0.01
    assert np.ptp(repeats[:, :, :3], axis=0).max(axis=1) == pytest.approx(0, abs=0.05 * half.max())


def test_several_sources_agree_with_many_draws():
    p = simulated(3, 2, [2.0, 10.0, 60.0], 0.5, np.random.default_rng(3), blend=0.6)
    draws = create("gibbs", ess_target=40_000).sample(p, np.random.SeedSequence(0))
    one, reference = summaries(sampled(p), p), summaries(draws, p)
    error = np.hypot(one[:, 3], reference[:, 3])
    assert (np.abs(one - reference)[:, :3].max(axis=1) < 4.0 * error * half_widths(one)).all()


def test_the_marginal_of_a_background_is_that_of_its_draws():
    for n in (1, 2):
        p = simulated(n, 3, 20.0, 0.5, np.random.default_rng(5))
        posterior = sampled(p)
        draws = create("gibbs", ess_target=20_000).sample(p, np.random.SeedSequence(0))
        for column in range(n, p.n_columns):
            s, d = (x.summary(column, Smoothing()) for x in (posterior, draws))
            half = 0.5 * (d.hilim - d.lolim)
            assert s.mode == pytest.approx(d.mode, abs=(4 * d.noise + 0.04) * half)
            assert s.hilim == pytest.approx(d.hilim, abs=(4 * d.noise + 0.04) * half)
            assert posterior.reach(column, Smoothing()) >= s.mode + 1.5 * (s.hilim - s.lolim)


def test_it_climbs_the_ladder_as_the_draws_do():
    cases = {
        "pegged source": (problem([3000, 20], matrix(1, 1), 1, [1e3, 1e3]), Outcome.MEASURED),
        "pegged for good": (
            problem([300000, 20], matrix(1, 1), 1, [1e3, 1e3]),
            Outcome.NULL_PEGGED,
        ),
        "pegged background": (problem([9, 2000], matrix(1, 1), 1, [1e6, 5.0]), Outcome.MEASURED),
    }
    for name, (p, outcome) in cases.items():
        runs = [
            Ladder(p, create(engine), Policy(), 1, "cnts", p.sources).measure()
            for engine in ("exact", "gibbs")
        ]
        assert [run.photometry[0].outcome for run in runs] == [outcome, outcome] or (
            name == "pegged background"
        )
        assert runs[0].photometry[0].outcome == runs[1].photometry[0].outcome, name
        assert runs[0].photometry[0].flags == runs[1].photometry[0].flags, name


def test_an_accuracy_that_is_not_reached_is_flagged():
    p = simulated(5, 1, 5.0, 0.5, np.random.default_rng(2), blend=0.5)
    assert create("exact", accuracy=1e-4).sample(p, np.random.SeedSequence(1)).limited
