"""NUTS through current PyMC and nutpie, with a model compiled once per shape and its data swapped.

The only file that imports pymc, pytensor and nutpie, and only when an engine
samples: pytensor freezes its compile directory at import (see mpiapp/parallel/compiledir.py).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np

from ..catalog.problem import Problem
from ..posterior import Draws, SamplingError
from ..posterior.diagnostics import rhat_and_ess
from ..stopwatch import timed
from .nuts import PHASES, most_recent, stacked, start_from_maximum_likelihood
from .settings import PymcSettings

# Chains start this far about the solution on the unbounded scale, as PyMC's do about its own.
JITTER = 1.0

MODELS_KEPT = 64
_models: OrderedDict[int, object] = OrderedDict()


class PymcEngine(PymcSettings):
    """The posterior of the pymc3 engine from maintained libraries: nutpie's NUTS on a PyMC model.

    Settings: `PymcSettings`.
    """

    name = "pymc"
    typical_seconds = 0.1
    compiles_per_rank = True

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Draws:
        """Draw from the posterior of `problem` with `tune_factor` times the tuning steps.

        Raises SamplingError, chained from its cause, when nutpie fails or when
        what it returns is short, not finite or constant.
        """
        seconds = dict.fromkeys(PHASES, 0.0)
        try:
            model = _model(problem.n_columns, seconds)
            with timed(seconds, "init"):
                start = start_from_maximum_likelihood(problem)
            with timed(seconds, "likelihood"):
                model = replace(
                    model.with_data(
                        F=problem.F * problem.upper,
                        counts=problem.counts.astype(float),
                        offset=problem.offset,
                    ),
                    initial_point_func=lambda chain_seed: _jittered(start, chain_seed),
                )
            with timed(seconds, "sample"):
                shares, divergences = self._chains(model, seed, tune_factor)
        except Exception as error:
            raise SamplingError(f"pymc: {type(error).__name__}: {error}") from error
        values = stacked(
            [share * problem.upper for share in shares], (self.chains, self.draws), problem, "pymc"
        )
        rhat, ess = rhat_and_ess(values)
        return Draws(
            values=values, rhat=rhat, ess=ess, divergences=divergences, method="nuts",
            seconds=seconds,
        )  # fmt: skip

    def warm(self) -> None:
        """Import alone: each rank compiles its shapes as fast as it would copy half of one.

        Raises ImportError if PyMC or nutpie is not installed.
        """
        import nutpie  # noqa: F401
        import pymc  # noqa: F401

    def _chains(self, model, seed, tune_factor):
        """The (draws, n_columns) shares of each chain, and how many transitions diverged."""
        import nutpie
        import pyarrow

        sampler = nutpie.sample(
            model,
            draws=self.draws,
            tune=self.tune * tune_factor,
            chains=self.chains,
            cores=1,
            seed=int(seed.generate_state(1, np.uint64)[0]),
            target_accept=self.target_accept,
            progress_bar=False,
            # arrays for ArviZ take longer to make than the draws
            return_raw_trace=True,
            # where it waits itself it swallows KeyboardInterrupt
            blocking=False,
        )
        try:
            draws, stats = sampler.wait().get_arrow_trace()
        except BaseException:
            sampler.cancel()
            raise
        shares, divergences = [], 0
        for chain, stat in zip(draws, stats):
            kept = ~stat.column("tuning").to_numpy()
            flat = pyarrow.array(chain.column("share")).flatten().to_numpy()
            shares.append(flat.reshape(len(kept), -1)[kept])
            divergences += int(stat.column("diverging").to_numpy()[kept].sum())
        return shares, divergences


def _jittered(start: np.ndarray, seed: int) -> np.ndarray:
    return start + np.random.default_rng(seed).uniform(-JITTER, JITTER, len(start))


def _model(n_columns: int, seconds: dict[str, float]):
    """The compiled model of a shape."""
    return most_recent(_models, n_columns, lambda: _compiled(n_columns, seconds), MODELS_KEPT)


def _compiled(n_columns: int, seconds: dict[str, float]):
    """The memo's model for `n_columns` parameters, compiled; the number of rows is free.

    It samples the share of each prior range, θ / P_upper, uniform on [0, 1]:
    bounds that are constants make less to compile.
    """
    import nutpie
    import pymc as pm
    import pytensor

    F = pytensor.shared(np.ones((2, n_columns)), "F", shape=(None, n_columns))
    counts = pytensor.shared(np.ones(2), "counts", shape=(None,))
    offset = pytensor.shared(np.zeros(2), "offset", shape=(None,))
    # Fast mathematics would give code from the cache other last digits than code just compiled.
    with pytensor.config.change_flags(numba__fastmath=False), pm.Model(check_bounds=False) as model:
        with timed(seconds, "prior"):
            share = pm.Uniform("share", lower=0.0, upper=1.0, shape=n_columns)
        with timed(seconds, "likelihood"):
            mu = (F * share).sum(axis=1) + offset
            # Neither as observed= nor by pm.logp, which would round the counts of Gamma priors.
            pm.Potential("log_likelihood", pm.Poisson.logp(counts, mu).sum())
        with timed(seconds, "compile"):
            return nutpie.compile_pymc_model(model)
