"""The compiled engine against exact marginals, independent draws and simulated truths."""

from __future__ import annotations

import os

import numpy as np
import pytest
from jobs import needs_pymc3
from problems import matrix, problem, simulated
from scipy import stats

from mpiapp.engines import SamplingError, create
from mpiapp.engines._compiled import draw_on_lines
from mpiapp.engines.gibbs import GibbsEngine
from mpiapp.engines.one_source import marginal
from mpiapp.engines.random_lanes import lane_states
from mpiapp.posterior.diagnostics import remember_start
from mpiapp.posterior.mpdf import Smoothing, summarise

P = np.array([0.16, 0.5, 0.84])


def seed(*key):
    return np.random.SeedSequence(20220406, spawn_key=key)


def deviations(values, mean, std, quantiles, n_reference=np.inf):
    """Standard normal deviates of mean, variance and fractions below quantiles of draws.

    values : (chains, n) independent chains; quantiles : those of P.  Each statistic
    is a mean over draws, so that of a chain is nearly normal, and the mean over
    chains divided by its standard error follows Student's t; no estimate of an
    effective sample size enters.  n_reference : of how many independent draws
    mean, std and quantiles are themselves estimates.
    """
    z = (values - mean) / std
    below = [(values < q) - p for q, p in zip(quantiles, P)]
    per_draw = np.array([z, z**2 - 1.0, *below])
    per_chain = per_draw.mean(axis=2)
    chains = per_chain.shape[1]
    variance = per_chain.var(axis=1, ddof=1) / chains + per_draw.var(axis=(1, 2)) / n_reference
    return stats.norm.ppf(stats.t.cdf(per_chain.mean(axis=1) / np.sqrt(variance), chains - 1))


def deviations_from_marginal(values, m):
    """`deviations` from an exact marginal."""
    return deviations(values, m.mean, m.std, m.quantile(P))


def assert_standard(z):
    """Each column of z (n, m) has mean 0 and variance 1, and no entry is far out.

    Means lie within 4/√n, variances within 4 √(2/n) of 1; a normal deviate beyond
    the last bound, Bonferroni's for all entries, happens once in 1000 tests.
    """
    n = len(z)
    assert np.abs(z).max() < stats.norm.isf(0.5e-3 / z.size)
    assert np.abs(z.mean(axis=0)).max() < 4.0 / np.sqrt(n)
    assert np.abs(z.var(axis=0) - 1.0).max() < 4.0 * np.sqrt(2.0 / n)


def one_source_problems():
    """500 problems of one source: faint to bright, 1 to 10 obsids, any background aperture."""
    rng = np.random.default_rng(7)
    for n in range(500):
        source = rng.choice([0.0, 1.0, 5.0, 30.0, 1e3, 1e5])
        background = rng.choice([1e-3, 1e-2, 0.1, 1.0, 30.0])
        yield (
            n,
            simulated(
                1,
                int(rng.choice([1, 1, 1, 2, 3, 5, 10])),
                source,
                background,
                rng,
                background_area=rng.choice([10.0, 50.0, 400.0]),
                wings=rng.choice([0.0, 0.02, 0.1]),
            ),
        )


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "gibbs"])
def test_draws_follow_the_exact_marginal_over_500_problems(exact):
    engine = GibbsEngine(exact=exact)
    z = []
    for n, p in one_source_problems():
        draws = engine.sample(p, seed(n))
        assert draws.method == ("exact" if exact else "gibbs")
        z.append(deviations_from_marginal(draws.values[:, :, 0], marginal(p)))
    assert_standard(np.array(z))


@pytest.mark.slow
def test_backgrounds_of_the_exact_method_follow_their_marginals():
    # Of one obsid the columns may be exchanged: the background then is the source of an exact
    # marginal.
    rng = np.random.default_rng(3)
    z = []
    for n in range(100):
        p = simulated(1, 1, rng.choice([0.0, 3.0, 1e3]), rng.choice([0.01, 0.3, 5.0]), rng)
        draws = GibbsEngine().sample(p, seed(n))
        m = marginal(problem(p.counts, p.F[:, ::-1], 1, p.upper[::-1]))
        z.append(deviations_from_marginal(draws.values[:, :, 1], m))
    assert_standard(np.array(z))


def gamma_draws(p, n, rng):
    """(≥ n, n_columns) independent draws of a problem with as many rows as columns.

    Each μ_r is then Gamma(C_r + 1) and θ = F⁻¹ μ, kept if it lies in the box.
    """
    inverse = np.linalg.inv(p.F)
    kept = np.empty((0, p.n_columns))
    while len(kept) < n:
        theta = rng.standard_gamma(p.counts + 1.0, (200_000, len(p.counts))) @ inverse.T
        kept = np.vstack([kept, theta[(theta >= 0).all(axis=1) & (theta <= p.upper).all(axis=1)]])
    return kept


BLENDS = [
    (2, 0.3, 5.0, 0.01),
    (2, 0.9, 5.0, 0.01),
    (2, 0.9, 100.0, 0.3),
    (2, 0.9, 1e4, 1.0),
    (3, 0.6, 30.0, 0.1),
    (5, 0.3, 5.0, 0.03),
    (5, 0.5, 1e4, 1.0),
]


@pytest.mark.parametrize(("n_sources", "blend", "source", "background"), BLENDS)
def test_blends_follow_independent_gamma_draws(n_sources, blend, source, background):
    rng = np.random.default_rng(11)
    p = simulated(n_sources, 1, source, background, rng, blend=blend)
    reference = gamma_draws(p, 20_000, rng)
    draws = GibbsEngine(ess_target=8000, max_draws=4000).sample(p, seed(1))
    assert not draws.limited
    z = [
        deviations(x, r.mean(), r.std(), np.quantile(r, P), len(r))
        for x, r in zip(draws.values.transpose(2, 0, 1), reference.T)
    ]
    # Bonferroni's bound for all blends, columns and statistics together, once in 1000 tests.
    assert np.abs(z).max() < stats.norm.isf(0.5e-3 / (len(BLENDS) * 6 * 5)), z


@pytest.mark.parametrize("blend", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("n_sources", [2, 3, 5])
def test_blends_of_5_to_10000_counts_mix_well(n_sources, blend):
    rng = np.random.default_rng(5)
    engine = GibbsEngine(ess_target=0)
    for source in (0.0, 5.0, 30.0, 300.0, 1e4):
        for background in (0.01, 0.1, 1.0):
            p = simulated(n_sources, 1, source, background, rng, blend=blend)
            draws = engine.sample(p, seed(0))
            # It is 0.8 at worst; its own error is about a tenth.
            assert draws.ess.min() / draws.values[:, :, 0].size > 0.3
            assert draws.rhat.max() < 1.03


SHAPES = {"1x1": (1, 1), "2x1 blended": (2, 1), "2x3": (2, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "gibbs"])
@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_of_truths_drawn_from_the_prior_are_uniform(shape, exact):
    """Simulation-based calibration (Talts et al. 2018), 2000 replications.

    The last draws of 31 chains are independent, so the rank of the truth among
    them is uniform on 0..31 and χ² has 31 degrees of freedom.
    """
    n_sources, n_obsids = SHAPES[shape]
    if exact and n_sources > 1:
        pytest.skip("exact for one source")
    rng = np.random.default_rng(1)
    F = matrix(n_sources, n_obsids, blend=0.8, background_area=50.0)
    upper = np.append(np.full(n_sources, 30.0), np.full(n_obsids, 1.0))
    engine = GibbsEngine(chains=31, draws=4, ess_target=0, exact=exact)
    ranks = np.zeros((32, len(upper)))
    for n in range(2000):
        theta = rng.uniform(0.0, upper)
        p = problem(rng.poisson(F @ theta), F, n_sources, upper)
        last = engine.sample(p, seed(n)).values[:, -1]
        ranks[(last < theta).sum(axis=0), np.arange(len(upper))] += 1
    assert stats.chisquare(ranks, axis=0).pvalue.min() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_of_the_true_quantile_setting_cover_68_percent_of_truths(shape):
    """Truths drawn from the prior; 4000 of them, so that 2 % is 2.7 standard errors of a coverage.

    Any set that holds 68 % of the posterior covers the truth with 68 % probability
    when truths follow the prior, so the rule by which the set is chosen does not
    matter, as long as it knows the draws alone; the kernel must be narrow.
    """
    n_sources, n_obsids = SHAPES[shape]
    rng = np.random.default_rng(4)
    F = matrix(n_sources, n_obsids, blend=0.5, background_area=50.0)
    upper = np.append(np.full(n_sources, 30.0), np.full(n_obsids, 1.0))
    engine = GibbsEngine()
    covered = 0
    for n in range(4000):
        theta = rng.uniform(0.0, upper)
        draws = engine.sample(problem(rng.poisson(F @ theta), F, n_sources, upper), seed(n))
        s = summarise(draws.of(0), Smoothing(bandwidth=0.1, upper_limit="quantile"))
        covered += s.lolim <= theta[0] <= s.hilim
    assert abs(covered / 4000 - 0.68) < 0.02


@pytest.mark.parametrize(
    ("counts", "mu", "v", "total", "lo", "hi"),
    [
        ([], [], [], 1.0, 0.0, 1e9),
        ([], [], [], -1.0, 0.0, 10.0),
        ([], [], [], 0.0, -1.0, 2.0),
        ([0.5], [0.0], [1.0], 1.0, 0.0, 1e9),
        ([1e7], [0.0], [1.0], 1.0, 0.0, 1e12),
        ([100.0], [0.0], [1.0], 1.0, 0.0, 30.0),
        ([100.0], [500.0], [1.0], 1.0, 0.0, 1e9),
        ([5.0, 80.0], [4.0, 1.0], [0.05, 1.0], 1.05, 0.0, 1e9),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, -0.5, 0.5], 1.0, -1.0, 3.9),
    ],
)
def test_draws_along_a_line_follow_its_density(counts, mu, v, total, lo, hi):
    lanes, rounds = 64, 1000
    counts, v = np.array(counts), np.array(v)
    mu = np.repeat(np.array(mu, dtype=float).reshape(-1, 1), lanes, axis=1)
    state = lane_states(seed(1), lanes)
    start = min(hi, lo + 1.0) * 0.5 + lo * 0.5
    draws = np.empty((rounds, lanes))
    for n in range(rounds):
        t = np.full(lanes, start)
        missed = draw_on_lines(
            counts, mu, v, total, np.full(lanes, lo), np.full(lanes, hi), t, state
        )
        assert missed == 0
        draws[n] = t
    end = min(hi, draws.max() + draws.std())
    grid = np.linspace(max(lo, draws.min() - draws.std()), end, 200_001)
    middle = 0.5 * (grid[1:] + grid[:-1])
    psi = counts @ np.log(mu[:, :1] + np.outer(v, middle)) - total * middle
    cdf = np.append(0.0, np.cumsum(np.exp(psi - psi.max())))
    uniform = np.interp(draws.ravel(), grid, cdf / cdf[-1])
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3


def test_draws_depend_on_problem_and_seed_alone():
    rng = np.random.default_rng(2)
    problems = [simulated(*shape, 5.0, 0.1, rng) for shape in ((1, 1), (2, 1), (2, 3), (5, 2))]
    engine = GibbsEngine()
    first = [engine.sample(p, seed(n)).values for n, p in enumerate(problems)]
    np.random.seed(0)  # noqa: NPY002
    for n, p in reversed(list(enumerate(problems))):
        assert np.array_equal(GibbsEngine().sample(p, seed(n)).values, first[n])
        assert not np.array_equal(engine.sample(p, seed(n + 100)).values, first[n])


@pytest.mark.parametrize("n_sources", [1, 2, 3])
@pytest.mark.parametrize("level", [0, 1, 100, 10**4, 10**7])
@pytest.mark.parametrize("unit", [1.0, 1e-19, 1e8])
def test_every_range_of_counts_and_units_is_sampled(n_sources, level, unit):
    F = matrix(n_sources, 2)
    counts = np.full(len(F), level)
    upper = np.append(np.full(n_sources, 1e9), np.full(2, 1e7))
    p = problem(counts, F / unit, n_sources, upper * unit)
    draws = GibbsEngine().sample(p, seed(0))
    assert np.isfinite(draws.values).all()
    assert (draws.values >= 0.0).all() and (draws.values <= p.upper).all()
    assert draws.rhat.max() < 1.05 and draws.ess.min() >= 1000 and not draws.limited


# Priors far below what the counts call for, at the catalog's units and at others.
CUT = {
    "source at its bound": ([200_000, 40], [[9e3, 2e5], [500, 4e6]], [10, 1e-3]),
    "one background beyond its bound": (
        [40, 80, 11_000, 200_000],
        [[9e3, 2e5, 0], [500, 4e6, 0], [9e3, 0, 2e5], [500, 0, 4e6]],
        [10, 1e-3, 1e-3],
    ),
    "both at their bounds": ([10**7, 10**7], [[1e9, 1e10], [1e7, 1e12]], [1e-2, 1e-6]),
    "energy flux": ([3, 10], [[0.9e25, 2e26], [5e23, 4e27]], [1e-8, 1e-12]),
    "everything below a count": ([1000, 1000], [[0.9, 10], [0.05, 200]], [1e-6, 1e-6]),
    "nothing seen, tiny priors": ([0, 0], [[0.9, 10], [0.05, 200]], [1e-9, 1e-9]),
    "unseen source": ([3, 10], [[0, 2e5], [0, 4e6]], [10, 1e-3]),
}


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "gibbs"])
@pytest.mark.parametrize("case", CUT)
def test_priors_that_cut_into_the_likelihood_bound_the_draws(case, exact):
    counts, F, upper = CUT[case]
    p = problem(counts, np.array(F, dtype=float), 1, upper)
    draws = GibbsEngine(exact=exact).sample(p, seed(0))
    assert (draws.values >= 0.0).all() and (draws.values <= p.upper).all()
    assert draws.rhat.max() < 1.05 and not draws.limited
    z = deviations_from_marginal(draws.values[:, :, 0], marginal(p))
    assert np.abs(z).max() < stats.norm.isf(0.5e-3 / (5 * 2 * len(CUT)))


def against_pymc3(shape, n_problems):
    """Deviations of pymc3's draws from many of ours, over random problems of one shape.

    Batches of 50 draws stand for independent chains: autocorrelations of NUTS are gone
    after a few draws.
    """
    rng = np.random.default_rng(sum(shape))
    reference = GibbsEngine(draws=1000, ess_target=12_000, max_draws=2000)
    pymc3 = create("pymc3")
    z = []
    for n in range(n_problems):
        source, background = rng.choice([5.0, 30.0, 300.0, 1e4]), rng.choice([0.03, 0.3])
        p = simulated(*shape, source, background, rng)
        ours = reference.sample(p, seed(n))
        theirs = pymc3.sample(p, seed(n)).values.reshape(40, 50, p.n_columns)
        for j in range(p.n_sources):
            x = ours.of(j)
            z.append(deviations(theirs[:, :, j], x.mean(), x.std(), np.quantile(x, P), ours.ess[j]))
    return np.array(z)


@needs_pymc3
def test_draws_agree_with_pymc3():
    z = against_pymc3((1, 1), 3)
    assert np.abs(z).max() < stats.norm.isf(0.5e-3 / z.size)


@needs_pymc3
@pytest.mark.slow
@pytest.mark.skipif("MPIAPP_SLOW" not in os.environ, reason="minutes: set MPIAPP_SLOW=1")
def test_draws_agree_with_pymc3_on_54_problems_of_every_shape():
    shapes = [(1, 1), (2, 1), (1, 2), (1, 5), (2, 3), (2, 5), (3, 1), (5, 1), (3, 4)]
    z = np.vstack([against_pymc3(shape, 6) for shape in shapes])
    assert np.abs(z).max() < stats.norm.isf(0.5e-3 / z.size)


def test_priors_anywhere_about_the_truth_leave_the_chains_mixed():
    rng = np.random.default_rng(0)
    for n in range(100):
        n_sources, n_obsids = rng.integers(2, 4), rng.integers(1, 4)
        F = matrix(n_sources, n_obsids, blend=rng.uniform(0.0, 0.9))
        theta = 10.0 ** np.append(rng.uniform(-1, 6, n_sources), rng.uniform(-3, 3, n_obsids))
        cut = 10.0 ** rng.choice([-2, -1, -0.3, -0.01, 0.01, 0.3, 5], len(theta))
        draws = GibbsEngine().sample(
            problem(rng.poisson(F @ theta), F, n_sources, theta * cut), seed(n)
        )
        assert (draws.values <= theta * cut).all()
        assert draws.rhat.max() < 1.05 and not draws.limited


@pytest.mark.parametrize("n_sources", [1, 2])
def test_source_that_no_aperture_sees_is_drawn_from_its_prior(n_sources):
    p = simulated(n_sources, 2, 20.0, 0.1, np.random.default_rng(0))
    F = p.F.copy()
    F[:, 0] = 0.0
    draws = GibbsEngine().sample(problem(p.counts, F, n_sources, p.upper), seed(3))
    assert stats.kstest(draws.of(0) / p.upper[0], "uniform").pvalue > 1e-3


def test_sources_over_frozen_backgrounds_follow_truncated_gammas():
    # Without blending each source sees its own aperture alone.
    F = matrix(2, 1, blend=0.0, wings=0.0)
    p = problem([3, 40, 100], F, 2, [1e4, 1e4, 1e3]).with_frozen_backgrounds()
    draws = GibbsEngine(ess_target=4000).sample(p, seed(0))
    for j, counts in enumerate((3, 40)):
        o = p.offset[j]
        reference = stats.gamma(counts + 1)
        uniform = 1 - reference.sf(draws.of(j) * 0.9 + o) / reference.sf(o)
        # thinned to independent draws
        assert stats.kstest(uniform[::4], "uniform").pvalue > 1e-3


def test_counts_that_nothing_can_explain_are_an_error():
    F = matrix(2, 1)
    F[0] = 0.0
    with pytest.raises(SamplingError, match="row 0 holds 4 counts but all its elements of F"):
        GibbsEngine().sample(problem([4, 3, 9], F, 2, [1e3, 1e3, 1e3]), seed(0))


def test_draws_go_on_until_the_target_or_the_limit():
    p = simulated(2, 2, 3.0, 0.1, np.random.default_rng(0), blend=0.9)
    more = GibbsEngine(ess_target=5000, max_draws=1000).sample(p, seed(0))
    assert more.ess.min() >= 5000 and not more.limited
    short = GibbsEngine(ess_target=5000, max_draws=150).sample(p, seed(0))
    assert short.limited and short.values.shape[1] == 150
    exact = GibbsEngine(ess_target=5000).sample(
        simulated(1, 1, 3.0, 0.1, np.random.default_rng(1)), seed(0)
    )
    assert exact.values.shape[0] * exact.values.shape[1] >= 5000


def test_engine_is_chosen_by_name_and_checks_its_settings():
    assert create("gibbs", chains=4).chains == 4
    with pytest.raises(ValueError, match="chains = 1: expected at least 2"):
        create("gibbs", chains=1)


def test_chains_of_a_bright_blend_forget_where_they_began():
    """Widths of five sources of 10³ to 10⁵·⁸ counts, of which three are cut off at zero."""
    chain = [0.9, 0.63, 0.441, 0.309, 0.216]
    F = np.array(
        [[chain[abs(i - j)] for j in range(5)] + [30.0] for i in range(5)] + [[0.1] * 5 + [150.0]]
    )
    p = problem(
        [595389, 523098, 516269, 576704, 710927, 117270], F, 5, np.array([1e6] * 5 + [10.0])
    )
    expected = np.array([1346.2, 1199.0, 751.1, 1032.6, 1311.0])  # reference_posterior, to 0.1 %
    runs = [GibbsEngine().sample(p, seed(n)) for n in range(20)]
    found = np.array([[d.std(j) for j in range(5)] for d in runs])
    error = found.std(axis=0, ddof=1) / np.sqrt(len(runs))
    assert (np.abs(found.mean(axis=0) - expected) < 4.0 * error + 0.002 * expected).all()
    # 1000 effective draws of an exponential's tail give its width to 4.5 %
    assert (np.abs(found / expected - 1.0) < 5 * 0.045).all()


def test_draws_that_come_from_far_away_are_noticed():
    rng = np.random.default_rng(1)
    at_rest = rng.standard_normal((16, 75, 3))
    assert not remember_start(at_rest)
    assert not remember_start(rng.exponential(size=(16, 75, 3)) ** 2)
    coming = at_rest.copy()
    coming[3, :, 1] += 16.0 * np.exp(-np.arange(75) / 15.0)
    assert remember_start(coming)
    assert not remember_start(coming[:, 57:])
