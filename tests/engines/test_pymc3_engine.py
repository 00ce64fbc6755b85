"""The pymc3 engine against quadrature, closed forms, pm.sample itself and the memo's recipe."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from posteriors import (
    assert_quantiles,
    one_source,
    quadrature_quantiles,
    truncated_gamma,
    two_sources_two_obsids,
)

from mpiapp.engines import SamplingError, create, pymc3_nuts
from mpiapp.engines.pymc3_nuts import Pymc3Engine
from mpiapp.engines.settings import INITS
from mpiapp.posterior.diagnostics import rhat_and_ess

pytestmark = pytest.mark.pymc3
pytest.importorskip("pymc3")

SEED = np.random.SeedSequence(1575)

PATHS = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]


def run(code):
    """What a new Python process prints that runs `code`."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("counts", "init"),
    [(counts, INITS[0]) for counts in ((0, 30), (3, 0), (30, 900), (100_000, 40_000))]
    + [((3, 0), INITS[1])],
)
def test_two_parameters_agree_with_quadrature(counts, init):
    problem = one_source(*counts)
    draws = Pymc3Engine(init=init).sample(problem, SEED)
    assert (draws.rhat < 1.02).all()
    for column in (0, 1):
        assert_quantiles(draws.values[:, :, column], quadrature_quantiles(problem, column))


def test_a_prior_that_cuts_into_the_posterior_agrees_with_quadrature():
    problem = one_source(100, 30, upper=(9e-8, 1e-6))
    draws = Pymc3Engine().sample(problem, SEED)
    assert draws.values[:, :, 0].max() < 9e-8
    assert_quantiles(draws.values[:, :, 0], quadrature_quantiles(problem, 0))


@pytest.mark.parametrize("counts", [0, 30, 100_000])
def test_known_background_is_a_truncated_gamma(counts):
    problem, quantiles = truncated_gamma(counts)
    draws = Pymc3Engine().sample(problem, SEED)
    assert_quantiles(draws.values[:, :, 0], quantiles)


def test_freezing_the_background_drops_its_column():
    problem = two_sources_two_obsids().with_frozen_backgrounds()
    draws = Pymc3Engine().sample(problem, SEED)
    assert draws.values.shape == (2, 1000, 2)


def test_draws_depend_on_problem_and_seed_alone():
    engine = Pymc3Engine(draws=200, tune=200)
    a, b = one_source(12, 300), one_source(4, 10, upper=(1e-3, 1e-7))
    first = engine.sample(a, SEED)
    engine.sample(b, np.random.SeedSequence(2))
    engine.sample(two_sources_two_obsids(), SEED)
    Pymc3Engine(draws=200, tune=200, init="adapt_diag").sample(a, SEED)
    again = engine.sample(a, SEED)
    np.testing.assert_array_equal(first.values, again.values)
    other = engine.sample(a, np.random.SeedSequence(2))
    assert (first.values != other.values).all()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """What a new process says that has an empty compile directory, which it warms: the modules
    that there are then, those after problems of many shapes, and draws, as hexadecimal digits."""
    stdout = run(
        f"import sys; sys.path[:0] = {PATHS!r}\n"
        "from mpiapp.parallel.compiledir import claim\n"
        f"directory = claim(0, {str(tmp_path_factory.mktemp('fresh'))!r})\n"
        "from mpiapp.engines.pymc3_nuts import Pymc3Engine\n"
        "engine = Pymc3Engine(draws=20, tune=20)\n"
        "engine.warm()\n"
        "from posteriors import many_columns\n"
        "modules = lambda: len(list(directory.glob('*/tmp*/*.so')))\n"
        "warmed = modules()\n"
        "import test_pymc3_engine as t\n"
        "engine = t.Pymc3Engine(draws=200, tune=200)\n"
        "values = engine.sample(t.one_source(12, 300), t.SEED).values\n"
        "engine = Pymc3Engine(draws=20, tune=20)\n"
        "problem = t.two_sources_two_obsids()\n"
        "for p in (problem, problem.with_frozen_backgrounds(), t.one_source(9, 90),\n"
        "          t.one_source(9, 90).with_frozen_backgrounds(), many_columns(7),\n"
        "          many_columns(12)):\n"
        "    engine.sample(p, t.SEED)\n"
        "print('FOUND', warmed, modules(), values.tobytes().hex())\n"
    )
    return stdout.split("FOUND")[1].split()


def test_a_used_engine_draws_as_a_new_one_in_a_new_process(fresh):
    engine = Pymc3Engine(draws=200, tune=200)
    engine.sample(one_source(500, 3), np.random.SeedSequence(9))
    here = engine.sample(one_source(12, 300), SEED).values
    np.testing.assert_array_equal(here.ravel(), np.frombuffer(bytes.fromhex(fresh[2])))


def test_draws_are_those_of_pm_sample_with_the_same_seeds():
    # pm.sample compiles everything anew, runs ADVI with its own callbacks and
    # makes its own step object.
    import pymc3 as pm

    problem = one_source(12, 300)
    engine = Pymc3Engine(draws=500, tune=500)
    engine.sample(one_source(700, 2), np.random.SeedSequence(3))
    ours = engine.sample(problem, SEED)
    seconds = dict.fromkeys(pymc3_nuts.PHASES, 0.0)
    fresh = pymc3_nuts._Model(problem.n_columns, seconds)
    fresh.set(problem, seconds)
    with fresh.model:
        trace = pm.sample(
            500,
            tune=500,
            target_accept=0.95,
            init="advi+adapt_diag",
            chains=2,
            cores=1,
            random_seed=[int(word >> 2) for word in SEED.generate_state(2)],
            progressbar=False,
            return_inferencedata=False,
        )
    theirs = np.stack(trace.get_values("theta", combine=False))
    np.testing.assert_array_equal(ours.values, theirs)
    assert ours.divergences == trace.get_sampler_stats("diverging").sum()


def test_agrees_with_the_memos_recipe():
    """Started otherwise; with the same start it is pm.sample, as above."""
    from benchmarks import memo_recipe

    problem = two_sources_two_obsids()
    ours = Pymc3Engine(init="adapt_diag").sample(problem, SEED).values
    memo = memo_recipe.sample(problem, SEED)
    # Means differ by the two Monte Carlo errors of the mean, standard deviations
    # by those of the spread (σ/√(2 N) for a Gaussian); 4 standard deviations,
    # and 1.5 more for the spread, as the posteriors have longer tails.
    sigma = memo.std(axis=(0, 1))
    error = np.sqrt(1 / rhat_and_ess(ours)[1] + 1 / rhat_and_ess(memo)[1])
    assert (np.abs(ours.mean(axis=(0, 1)) - memo.mean(axis=(0, 1))) < 4 * sigma * error).all()
    assert (np.abs(ours.std(axis=(0, 1)) / sigma - 1) < 1.5 * 4 * error / np.sqrt(2)).all()


def test_reports_convergence_and_time_of_each_phase():
    draws = create("pymc3").sample(two_sources_two_obsids(), SEED)
    assert draws.values.shape == (2, 1000, 4)
    assert draws.method == "nuts"
    np.testing.assert_array_equal(rhat_and_ess(draws.values), (draws.rhat, draws.ess))
    assert tuple(draws.seconds) == ("prior", "likelihood", "compile", "init", "sample")
    assert draws.seconds["sample"] > 0 and draws.seconds["init"] > 0


def test_more_tuning_makes_other_draws_of_the_same_length():
    engine = Pymc3Engine(draws=100, tune=100)
    once = engine.sample(one_source(12, 300), SEED)
    thrice = engine.sample(one_source(12, 300), SEED, tune_factor=3)
    assert once.values.shape == thrice.values.shape == (2, 100, 2)
    assert (once.values != thrice.values).any()


def test_leaves_numpys_global_generator_alone():
    np.random.seed(3)
    expected = np.random.random(4)
    np.random.seed(3)
    Pymc3Engine(draws=50, tune=50).sample(one_source(12, 300), SEED)
    np.testing.assert_array_equal(np.random.random(4), expected)


@pytest.mark.parametrize("init", INITS)
def test_counts_that_cannot_be_are_a_sampling_error(init):
    # Five counts where neither source nor background reaches.
    problem = one_source(5, 30)
    problem.F[0] = 0.0
    with pytest.raises(SamplingError) as caught:
        Pymc3Engine(init=init).sample(problem, SEED)
    assert caught.value.__cause__ is not None


def test_a_short_chain_is_a_sampling_error(monkeypatch):
    import pymc3.sampling

    whole = pymc3.sampling._iter_sample

    def stopped(draws, *args, **kwargs):
        return whole(draws - 1, *args, **kwargs)

    monkeypatch.setattr(pymc3.sampling, "_iter_sample", stopped)
    with pytest.raises(SamplingError, match=r"\[49, 49\] draws instead of 2 × 50"):
        Pymc3Engine(draws=50, tune=50).sample(one_source(12, 300), SEED)


@pytest.mark.parametrize(("value", "message"), [(np.nan, "not finite"), (1e-8, "never moved")])
def test_useless_draws_are_a_sampling_error(monkeypatch, value, message):
    from pymc3.backends import NDArray

    def get_values(self, name, burn=0, thin=1):
        values = self.samples[name][burn::thin].copy()
        values[:, 1] = value
        return values

    monkeypatch.setattr(NDArray, "get_values", get_values)
    with pytest.raises(SamplingError, match=f"of o .*{message}"):
        Pymc3Engine(draws=50, tune=50).sample(one_source(12, 300), SEED)


def test_an_interrupt_is_not_swallowed(monkeypatch):
    import pymc3 as pm

    def interrupted(self, q0):
        raise KeyboardInterrupt

    monkeypatch.setattr(pm.NUTS, "astep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Pymc3Engine(draws=50, tune=50).sample(one_source(12, 300), SEED)


def test_keeps_the_models_used_last(monkeypatch):
    monkeypatch.setattr(pymc3_nuts, "MODELS_KEPT", 2)
    monkeypatch.setattr(pymc3_nuts, "_models", type(pymc3_nuts._models)())
    seconds = dict.fromkeys(pymc3_nuts.PHASES, 0.0)
    two = pymc3_nuts._model(2, seconds)
    pymc3_nuts._model(3, seconds)
    assert pymc3_nuts._model(2, seconds) is two
    pymc3_nuts._model(1, seconds)
    assert list(pymc3_nuts._models) == [2, 1]


def test_warming_compiles_for_every_shape(fresh):
    warmed, after, _ = fresh
    assert int(warmed) > 10
    assert warmed == after


def test_importing_does_not_import_pymc3():
    code = "import sys, mpiapp.engines.pymc3_nuts as m; m.Pymc3Engine(); print(sorted(sys.modules))"
    stdout = run(code)
    assert "'theano'" not in stdout and "'pymc3'" not in stdout


@pytest.mark.parametrize("settings", [{"init": "jitter+adapt_diag"}, {"chains": 1}])
def test_settings_that_do_not_exist_are_refused(settings):
    with pytest.raises(ValueError, match=r"init|chains"):
        Pymc3Engine(**settings)
