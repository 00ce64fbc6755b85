"""Known backgrounds and Gamma priors, against closed forms, quadrature and a second epoch."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special, stats

import mpiapp
from mpiapp.catalog.assemble import assemble_unnamed
from mpiapp.catalog.bundle import KNOWN, InputError, check_matrices
from mpiapp.catalog.outcome import Flag
from mpiapp.catalog.priors import Gamma
from mpiapp.catalog.problem import Problem
from mpiapp.catalog.problems import Problems
from mpiapp.engines import create, installed
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.measuring import measure

P = np.array([0.05, 0.16, 0.5, 0.84, 0.95])
DRAWING = [
    pytest.param(engine, marks=[getattr(pytest.mark, engine)] if engine != "gibbs" else [])
    for engine in ("gibbs", "pymc3", "pymc")
    if engine in installed()
]
SETTINGS = {"gibbs": {"ess_target": 8000.0}}


def of_known(counts, columns, expected, error=0.0):
    """One obsid with a background that is known: F of its sources, counts expected from it."""
    n = len(counts)
    F = np.zeros((n + 1, n + 1))
    F[:n, :n], F[:n, n], F[n, n] = columns, expected, error
    C = np.array([*counts, KNOWN], float)
    return assemble_unnamed([C[None]], [F[None]], np.array([[1e6] * n + [1e3]]))


def measured(problems, engine="exact", **settings):
    """The run of one problem."""
    found = measure(problems, create(engine, **settings), Policy(), [7], ["cnts"], keep=True)
    return found.runs[0]


def assert_draws(posterior, column, quantiles):
    """Fractions of draws below the quantiles P, within four standard errors."""
    draws = posterior.values[:, :, column].ravel()
    error = 4.0 * np.sqrt(P * (1.0 - P) / min(posterior.ess[column], len(draws)))
    assert (np.abs((draws[:, None] < quantiles).mean(axis=0) - P) < error).all()


@pytest.mark.parametrize(("counts", "expected"), [(0, 2.5), (7, 2.5), (320, 300.0), (10120, 1e4)])
def test_a_background_known_exactly_leaves_a_gamma_cut_where_there_is_no_source(counts, expected):
    run = measured(of_known([counts], [[0.9]], [expected]))
    total = stats.gamma(counts + 1)  # of counts expected from source and background
    quantiles = (total.isf((1.0 - P) * total.sf(expected)) - expected) / 0.9
    np.testing.assert_allclose(run.posterior.cdf(0, quantiles), P, rtol=0, atol=1e-6)
    assert run.numbers["flags"][0] == Flag.KNOWN_BACKGROUND


def test_a_known_background_is_one_measured_in_an_aperture_of_a_million_times_the_area():
    known = measured(of_known([7], [[0.9]], [2.5])).numbers[0]
    F = np.array([[[0.9, 1.0], [0.0, 1e6]]])
    C = np.array([[7, 2_500_000]])
    large = measured(assemble_unnamed([C], [F], np.array([[1e6, 1e3]]))).numbers[0]
    for name in ("mode", "lolim", "hilim", "mean", "rms"):
        assert known[name] == pytest.approx(large[name], rel=1e-6)


# Of 24 nodes for a background whose density begins as b^φ the error goes as 24^(−2φ − 2): 4e-4 for
# φ = 0.23.
@pytest.mark.parametrize(("error", "off"), [(0.03, 2e-5), (0.3, 2e-5), (0.9, 4e-4), (1.0, 2e-5)])
def test_a_background_known_with_an_error_has_a_gamma_density_of_this_mean_and_rms(error, off):
    run = measured(of_known([7], [[0.9]], [2.5], error))
    scale = stats.gamma(error**-2, scale=error**2)
    assert scale.mean() == pytest.approx(1.0)
    assert scale.std() == pytest.approx(error)
    b, weight = special.roots_legendre(400)
    b = scale.ppf(1e-12) + (scale.isf(1e-12) - scale.ppf(1e-12)) * 0.5 * (1.0 + b)
    s = np.linspace(0.0, 40.0, 4001)
    mu = 0.9 * s[:, None] + 2.5 * b
    density = (mu**7 * np.exp(-mu)) @ (weight * scale.pdf(b))
    cdf = integrate.cumulative_trapezoid(density, s, initial=0.0)
    at = s[100:2000:100]
    np.testing.assert_allclose(run.posterior.cdf(0, at), cdf[100:2000:100] / cdf[-1], atol=off)


@pytest.mark.parametrize("engine", DRAWING)
def test_engines_that_draw_know_backgrounds_and_priors_as_the_exact_one_does(engine):
    problems = of_known([7, 3], [[0.9, 0.1], [0.1, 0.9]], [2.5, 2.0], 0.3)
    gamma = np.zeros((1, 3, 2))
    gamma[0, 1] = 1.3, 0.4
    problems = replace(problems, gamma=gamma)
    exact = measured(problems)
    drawn = measured(problems, engine, **SETTINGS.get(engine, {}))
    for column in (0, 1):
        assert_draws(drawn.posterior, column, exact.posterior.quantile(column, P))
    both = Flag.KNOWN_BACKGROUND | Flag.GAMMA_PRIOR
    assert drawn.numbers["flags"].tolist() == [Flag.KNOWN_BACKGROUND, both]


def test_obsids_with_known_and_with_measured_backgrounds_are_one_likelihood():
    of_one = np.array([[[0.9, 2.5], [0.0, 0.0]]]), np.array([[7, KNOWN]])
    other = np.array([[[0.8, 10.0], [0.05, 200.0]]]), np.array([[9, 60]])
    upper = np.array([[1e6, 1e3, 1e3]])
    run = measured(assemble_unnamed([of_one[1], other[1]], [of_one[0], other[0]], upper))
    s, b = np.linspace(0.0, 40.0, 8001), np.linspace(0.01, 0.8, 801)
    mu = 0.8 * s[:, None] + 10.0 * b, 0.05 * s[:, None] + 200.0 * b
    logs = 9 * np.log(mu[0]) - mu[0] + 60 * np.log(mu[1]) - mu[1]
    density = integrate.simpson(np.exp(logs - logs.max()), x=b, axis=1)
    density *= (0.9 * s + 2.5) ** 7 * np.exp(-0.9 * s)
    cdf = integrate.cumulative_trapezoid(density, s, initial=0.0)
    np.testing.assert_allclose(run.posterior.cdf(0, s[::99]), cdf[::99] / cdf[-1], atol=1e-6)


def two_sources(gamma=None):
    """Two sources in one obsid with a background aperture."""
    F = np.array([[0.9, 0.1, 10.0], [0.05, 0.8, 10.0], [0.02, 0.02, 300.0]])
    problem = Problem.of([30, 4, 60], F, 2, "cnts")
    return problem if gamma is None else replace(problem, gamma=np.array(gamma, float))


def test_a_gamma_prior_is_the_posterior_of_an_earlier_epoch_measured_jointly():
    """An epoch whose apertures see the second source alone, and one the background alone."""
    now = two_sources()
    prior = two_sources([(0, 0), (12, 1.7), (25, 180.0)])
    F = np.vstack([[0, 1.7, 0], now.F[:2], [0, 0, 180.0], now.F[2:]])
    joint = replace(
        now,
        F=F,
        counts=np.array([12, 30, 4, 25, 60]),
        row_obsid=np.zeros(5, int),
        offset=np.zeros(5),
    )
    found, wanted = (measured(assembled(problem)).numbers for problem in (prior, joint))
    for name in ("mode", "lolim", "hilim", "mean", "rms"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6)
    assert found["flags"].tolist() == [Flag.GAMMA_PRIOR] * 2


def assembled(problem):
    return Problems.of([problem])


def test_a_gamma_prior_of_one_source_is_the_conjugate_density():
    """Without background C counts turn Gamma(α, β) into Gamma(α + C, β + f)."""
    gamma = Gamma.of_moments(4.0, 3.0)
    problem = replace(
        Problem.of([5, 0], np.array([[2.0, 1e-9], [0.0, 1.0]]), 1, "cnts"),
        gamma=np.array([(gamma.alpha - 1.0, gamma.beta), (0.0, 0.0)]),
    )
    run = measured(assembled(problem))
    after = stats.gamma(gamma.alpha + 5, scale=1 / (gamma.beta + 2.0))
    np.testing.assert_allclose(run.posterior.cdf(0, after.ppf(P)), P, rtol=0, atol=1e-6)


def test_priors_stay_when_obsids_are_left_out_and_backgrounds_frozen():
    F = np.array([[0.9, 10, 0], [0, 300, 0], [0.8, 0, 10], [0, 0, 200]])
    gamma = np.array([(12, 1.7), (25, 180.0), (0, 0)])
    problem = replace(Problem.of([5, 60, 7, 50], F, 1, "cnts"), gamma=gamma)
    np.testing.assert_array_equal(problem.without(["b0"]).gamma, gamma[[0, 2]])
    rows = problem.without(["b0"]).with_prior_rows()
    np.testing.assert_array_equal(rows.F, [[1.7, 0], [0.8, 10], [0, 200]])
    np.testing.assert_array_equal(rows.counts, [12, 7, 50])
    frozen = problem.with_frozen_backgrounds()
    np.testing.assert_allclose(frozen.offset[0], 10 * (60 + 25) / (300 + 180))
    np.testing.assert_array_equal(frozen.gamma, gamma[:1])


def test_a_problem_does_not_depend_on_whether_its_neighbours_have_priors():
    with_one = two_sources([(0, 0), (12, 1.7), (0, 0)])
    others = two_sources([(3.5, 0.2), (0, 0), (25, 180.0)])
    together = Problems.of([others, with_one])
    engine = create("exact")
    found = measure(together, engine, Policy(), [1, 2], ["cnts"] * 2).numbers[1]
    alone = measure(assembled(with_one), engine, Policy(), [2], ["cnts"]).numbers[0]
    assert found.tobytes() == alone.tobytes()


def test_a_known_background_that_has_no_gamma_density_is_refused_with_the_reason():
    F = np.array([[0.9, 2.5], [0.0, 1.5]])
    with pytest.raises(InputError, match=r"relative error 1\.5: expected at most 1"):
        check_matrices(np.array([7, KNOWN]), F, 1)


def test_the_api_takes_known_backgrounds_and_priors():
    prior = Gamma.of_moments(4.0, 1.5)
    F, expected = np.array([[0.9, 0.1], [0.1, 0.9]]), [2.5, 2.0]
    found = mpiapp.measure(
        [7, 3], F, 2, "cnts", background=expected, background_error=0.3, priors={1: prior}
    )
    problems = of_known([7, 3], F, expected, 0.3)
    gamma = np.array([[(0.0, 0.0), (prior.alpha - 1.0, prior.beta), (0.0, 0.0)]])
    wanted = measured(replace(problems, gamma=gamma)).numbers
    assert [one.mode for one in found] == wanted["mode"].tolist()
    assert Flag.GAMMA_PRIOR in found[1].flags
    with pytest.raises(InputError, match="column 1: a Gamma prior with"):
        mpiapp.measure([7, 3], F, 2, "cnts", background=expected, priors={1: Gamma(0.5, 1.0)})
    with pytest.raises(InputError, match="do not fit"):
        mpiapp.measure([7, 3], F, 2, "cnts", background=2.5)
