"""The pymc engine against quadrature and closed forms; what it compiles, and how it fails."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nutpie")

from posteriors import (
    assert_quantiles,
    many_columns,
    one_source,
    quadrature_quantiles,
    truncated_gamma,
    two_sources_two_obsids,
)

from mpiapp.engines import SamplingError, create, nuts, pymc_nuts
from mpiapp.engines.pymc_nuts import PymcEngine
from mpiapp.posterior.diagnostics import rhat_and_ess

pytestmark = pytest.mark.pymc

SEED = np.random.SeedSequence(1575)
PATHS = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]


def run(code):
    """What a new Python process prints that runs `code`."""
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {PATHS!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("counts", [(0, 30), (3, 0), (30, 900), (100_000, 40_000)])
def test_two_parameters_agree_with_quadrature(counts):
    problem = one_source(*counts)
    draws = PymcEngine().sample(problem, SEED)
    assert (draws.rhat < 1.02).all()
    for column in (0, 1):
        assert_quantiles(draws.values[:, :, column], quadrature_quantiles(problem, column))


def test_a_prior_that_cuts_into_the_posterior_agrees_with_quadrature():
    problem = one_source(100, 30, upper=(9e-8, 1e-6))
    draws = PymcEngine().sample(problem, SEED)
    assert draws.values[:, :, 0].max() < 9e-8
    assert_quantiles(draws.values[:, :, 0], quadrature_quantiles(problem, 0))


# The last does not fit into 32 bits.
@pytest.mark.parametrize("counts", [0, 30, 100_000, 2**32 + 5])
def test_known_background_is_a_truncated_gamma(counts):
    problem, quantiles = truncated_gamma(counts, upper=10.0)
    draws = PymcEngine().sample(problem, SEED)
    assert_quantiles(draws.values[:, :, 0], quantiles)


def test_two_blended_sources_agree_with_the_compiled_engine():
    problem = two_sources_two_obsids()
    ours = PymcEngine().sample(problem, SEED)
    gibbs = create("gibbs", ess_target=20_000.0, max_draws=40_000).sample(problem, SEED)
    for column in range(problem.n_columns):
        theirs = np.sort(gibbs.of(column))
        assert_quantiles(ours.values[:, :, column], lambda p, x=theirs: np.quantile(x, p))


def test_draws_depend_on_problem_and_seed_alone():
    engine = PymcEngine(draws=200, tune=200)
    a, b = one_source(12, 300), one_source(4, 10, upper=(1e-3, 1e-7))
    first = engine.sample(a, SEED)
    engine.sample(b, np.random.SeedSequence(2))
    engine.sample(two_sources_two_obsids(), SEED)
    again = engine.sample(a, SEED)
    np.testing.assert_array_equal(first.values, again.values)
    other = engine.sample(a, np.random.SeedSequence(2))
    assert (first.values != other.values).all()


def test_a_process_with_an_empty_compile_directory_draws_the_same(tmp_path):
    here = PymcEngine(draws=200, tune=200).sample(one_source(12, 300), SEED).values
    stdout = run(
        "from mpiapp.parallel.compiledir import claim\n"
        f"directory = claim(0, {str(tmp_path)!r})\n"
        "import test_pymc_engine as t, pytensor\n"
        "assert str(pytensor.config.base_compiledir) == str(directory)\n"
        "values = t.PymcEngine(draws=200, tune=200).sample(t.one_source(12, 300), t.SEED).values\n"
        "print('VALUES', values.tobytes().hex())\n"
    )
    there = np.frombuffer(bytes.fromhex(stdout.split("VALUES")[1].strip()))
    np.testing.assert_array_equal(here.ravel(), there)


def test_a_hundred_problems_of_one_shape_compile_once(monkeypatch):
    compiled = []

    def counted(n_columns, seconds):
        compiled.append(n_columns)
        return whole(n_columns, seconds)

    whole = pymc_nuts._compiled
    monkeypatch.setattr(pymc_nuts, "_compiled", counted)
    monkeypatch.setattr(pymc_nuts, "_models", type(pymc_nuts._models)())
    compilers = count_numba_compilations(monkeypatch)
    engine = PymcEngine(draws=20, tune=20)
    engine.sample(one_source(12, 300), SEED)
    assert compiled == [2] and compilers
    compilers.clear()
    for n in range(100):
        problem = one_source(n, 10 * n, upper=(10.0 ** -(n % 5), 1e-6))
        draws = engine.sample(problem, np.random.SeedSequence(n))
        assert draws.seconds["compile"] == 0
    # more rows are no other shape
    F, counts, rows = np.tile(one_source(1, 1).F, (2, 1)), np.array([9, 90] * 2), np.zeros(4, int)
    twice = replace(one_source(1, 1), F=F, counts=counts, row_obsid=rows, offset=np.zeros(4))
    engine.sample(twice, SEED)
    assert compiled == [2] and not compilers


def count_numba_compilations(monkeypatch):
    """A list that grows with every function that numba compiles or loads."""
    import numba.core.ccallback

    seen = []
    whole = numba.core.ccallback.CFunc.compile

    def compile_counted(self):
        seen.append(self)
        return whole(self)

    monkeypatch.setattr(numba.core.ccallback.CFunc, "compile", compile_counted)
    return seen


def test_keeps_the_models_used_last(monkeypatch):
    monkeypatch.setattr(pymc_nuts, "MODELS_KEPT", 2)
    monkeypatch.setattr(pymc_nuts, "_models", type(pymc_nuts._models)())
    monkeypatch.setattr(pymc_nuts, "_compiled", lambda n_columns, seconds: object())
    two = pymc_nuts._model(2, {})
    pymc_nuts._model(3, {})
    assert pymc_nuts._model(2, {}) is two
    pymc_nuts._model(1, {})
    assert list(pymc_nuts._models) == [2, 1]


def test_reports_convergence_and_time_of_each_phase():
    draws = create("pymc").sample(two_sources_two_obsids(), SEED)
    assert draws.values.shape == (2, 1000, 4)
    assert draws.method == "nuts"
    np.testing.assert_array_equal(rhat_and_ess(draws.values), (draws.rhat, draws.ess))
    assert tuple(draws.seconds) == nuts.PHASES
    assert draws.seconds["sample"] > 0


def test_more_tuning_makes_other_draws_of_the_same_length():
    engine = PymcEngine(draws=100, tune=100)
    once = engine.sample(one_source(12, 300), SEED)
    thrice = engine.sample(one_source(12, 300), SEED, tune_factor=3)
    assert once.values.shape == thrice.values.shape == (2, 100, 2)
    assert (once.values != thrice.values).any()


def test_chains_start_apart():
    starts = [pymc_nuts._jittered(np.zeros(3), seed) for seed in (1, 2)]
    assert (starts[0] != starts[1]).all()
    assert (np.abs(starts) <= pymc_nuts.JITTER).all()


def test_counts_that_cannot_be_are_a_sampling_error():
    # Five counts where neither source nor background reaches.
    problem = one_source(5, 30)
    problem.F[0] = 0.0
    with pytest.raises(SamplingError, match="pymc") as caught:
        PymcEngine().sample(problem, SEED)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x[:-1], r"\[49, 49\] draws instead of 2 × 50"),
        (lambda x: x * [1, np.nan], "of o .*not finite"),
        (lambda x: x * [1, 0], "of o .*never moved"),
    ],
)
def test_useless_draws_are_a_sampling_error(monkeypatch, spoil, message):
    def spoilt(self, model, seed, tune_factor):
        shares, divergences = whole(self, model, seed, tune_factor)
        return [spoil(share) for share in shares], divergences

    whole = PymcEngine._chains
    monkeypatch.setattr(PymcEngine, "_chains", spoilt)
    with pytest.raises(SamplingError, match=message):
        PymcEngine(draws=50, tune=50).sample(one_source(12, 300), SEED)


def test_a_run_that_takes_too_long_is_interrupted():
    from mpiapp.photometry.time_limit import RunTimeLimit, time_limit

    engine = PymcEngine(draws=10**7, tune=100)
    PymcEngine(draws=20, tune=20).sample(one_source(12, 300), SEED)
    with pytest.raises(RunTimeLimit), time_limit(0.5):
        engine.sample(one_source(12, 300), SEED)


def test_shapes_of_any_size_compile():
    draws = PymcEngine(draws=50, tune=200).sample(many_columns(12), SEED)
    assert draws.values.shape == (2, 50, 12)


def test_importing_does_not_import_pymc():
    stdout = run("import mpiapp.engines.pymc_nuts as m; m.PymcEngine(); print(sorted(sys.modules))")
    assert "'pytensor'" not in stdout and "'nutpie'" not in stdout


def test_one_chain_is_refused():
    with pytest.raises(ValueError, match="chains"):
        PymcEngine(chains=1)
