"""The reference engine: pymc3's NUTS, with the model compiled once per shape and its data swapped.

The only file that imports pymc3 and theano, and only when an engine samples:
theano freezes its compile directory at import (see mpiapp/parallel/compiledir.py).
"""

from __future__ import annotations

import logging
import warnings
from collections import OrderedDict, deque
from contextlib import contextmanager
from copy import copy

import numpy as np

from ..catalog.problem import Problem
from ..posterior.diagnostics import rhat_and_ess
from ..posterior.draws import Draws, SamplingError
from ..stopwatch import timed
from .nuts import PHASES, most_recent, stacked, start_from_maximum_likelihood
from .settings import Pymc3Settings

# Columns whose C code serves every other number of columns: theano treats a
# dimension of length one as broadcast, and draws normals in pairs.
WARM_COLUMNS = (1, 2, 3)

# pymc3's own settings of the initialisation (pm.sample, init_nuts).
ADVI_STEPS = 200_000
ADVI_CHECK_EVERY = 100
ADVI_TOLERANCE = 1e-2
ADVI_WEIGHT = 50
DIAG_WEIGHT = 10

MODELS_KEPT = 64
_models: OrderedDict[int, _Model] = OrderedDict()


class Pymc3Engine(Pymc3Settings):
    """NUTS as the memo runs it (Listings 1 and 3).

    Settings: `Pymc3Settings`.
    """

    name = "pymc3"
    typical_seconds = 2.5
    compiles_per_rank = True

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Draws:
        """Draw from the posterior of `problem` with `tune_factor` times the tuning steps.

        Raises SamplingError, chained from its cause, when pymc3 fails or when
        what it returns is short, not finite or constant.
        """
        seconds = dict.fromkeys(PHASES, 0.0)
        # pymc3 accepts seeds below 2^30, theano's generator none that is zero.
        seeds = [int(word >> 2) or 1 for word in seed.generate_state(self.chains)]
        try:
            with _numpy_generator_kept():
                model = _model(problem.n_columns, seconds)
                model.set(problem, seconds)
                starts, potential = self._initialise(model, problem, seeds[0], seconds)
                with timed(seconds, "sample"):
                    traces = [
                        self._sample_chain(model, start, potential, chain_seed, tune_factor)
                        for start, chain_seed in zip(starts, seeds)
                    ]
        except Exception as error:
            raise SamplingError(f"pymc3: {type(error).__name__}: {error}") from error
        values = stacked(
            [values for values, _ in traces], (self.chains, self.draws), problem, "pymc3"
        )
        rhat, ess = rhat_and_ess(values)
        return Draws(
            values=values,
            rhat=rhat,
            ess=ess,
            divergences=sum(divergences for _, divergences in traces),
            method="nuts",
            seconds=seconds,
        )

    def warm(self) -> None:
        """Compile all the C code that any problem needs into the compile directory."""
        for n_columns in WARM_COLUMNS:
            model = _model(n_columns, dict.fromkeys(PHASES, 0.0))
            if self.init == "advi+adapt_diag":
                model.compile_advi()

    def _initialise(self, model, problem, seed, seconds):
        """The chains' starting points in the unbounded space, and a potential to copy."""
        from pymc3.step_methods.hmc.quadpotential import QuadPotentialDiagAdapt

        if self.init == "advi+adapt_diag":
            with timed(seconds, "compile"):
                model.compile_advi()
            with timed(seconds, "init"):
                starts, mean, variance = model.advi.fit(seed, self.chains)
            weight = ADVI_WEIGHT
        else:
            with timed(seconds, "init"):
                mean = start_from_maximum_likelihood(problem)
            starts = [mean] * self.chains
            variance = np.ones_like(mean)
            weight = DIAG_WEIGHT
        for start in starts:
            if not np.isfinite(model.logp(start)[0]):
                raise FloatingPointError(f"log probability at the start {start} is not finite")
        return starts, QuadPotentialDiagAdapt(problem.n_columns, mean, variance, weight)

    def _sample_chain(self, model, start, potential, seed, tune_factor):
        """One chain: its (draws, n_columns) values, and how many of them diverged."""
        import pymc3 as pm
        from pymc3.sampling import _iter_sample

        tune = self.tune * tune_factor
        # A fresh step object around the compiled function: it carries the tuning
        # state, the function none.  The potential starts anew with each chain.
        step = pm.NUTS(
            model=model.model,
            potential=potential,
            target_accept=self.target_accept,
            logp_dlogp_func=model.logp,
        )
        # What pm.sample runs for each chain.  pm.sample itself would compile
        # checks of the starting points in every call, and swallow KeyboardInterrupt.
        steps = _iter_sample(
            tune + self.draws,
            step,
            start={model.unbounded: start},
            trace=model.empty_trace(),
            tune=tune,
            model=model.model,
            random_seed=seed,
        )
        [(trace, _)] = deque(steps, maxlen=1)
        diverging = trace.get_sampler_stats("diverging")[tune:]
        return trace.get_values("theta", burn=tune), int(diverging.sum())


def _model(n_columns: int, seconds: dict[str, float]) -> _Model:
    """The compiled model of a shape."""
    return most_recent(_models, n_columns, lambda: _Model(n_columns, seconds), MODELS_KEPT)


class _Model:
    """The memo's model for `n_columns` parameters, with data and bounds in shared variables.

    Sources and backgrounds are one vector θ, since each has its own bound
    anyway: fewer operations than two vectors, and one shape per n_columns
    (the number of rows is free).
    """

    def __init__(self, n_columns: int, seconds: dict[str, float]):
        # Said at import, on the standard error of every rank: that BLAS is numpy's, and that
        # pymc3 has successors.
        logging.getLogger("theano.tensor.blas").setLevel(logging.ERROR)
        logging.getLogger("pymc3").addFilter(lambda record: "outdated" not in record.msg)
        import pymc3 as pm
        import theano
        from pymc3.model import ValueGradFunction

        single = (n_columns == 1,)
        self.F = theano.shared(np.ones((2, n_columns)), "F", broadcastable=(False,) + single)
        self.upper = theano.shared(np.ones(n_columns), "upper", broadcastable=single)
        self.counts = theano.shared(np.ones(2), "counts")
        self.offset = theano.shared(np.zeros(2), "offset")
        with _uncompiled(), pm.Model() as self.model:
            with timed(seconds, "prior"):
                theta = pm.Uniform("theta", lower=0.0, upper=self.upper, shape=n_columns)
            with timed(seconds, "likelihood"):
                # Not a matrix product, which theano leaves to Python here: for the
                # few columns of most problems that costs twice as much.
                mu = (self.F * theta).sum(axis=1) + self.offset
                # Not as observed=, which would round the counts of Gamma priors.
                pm.Potential("C_obs", pm.Poisson.dist(mu=mu).logp(self.counts).sum())
                logp = self.model.logpt
        with timed(seconds, "compile"):
            self.logp = ValueGradFunction([logp], self.model.vars, mode=_mode())
            self.logp.set_extra_values({})
            # The sampler passes arrays of the right type: no need to look each time.
            self.logp._theano_function.trust_input = True
            self._trace = pm.backends.NDArray(model=self.model, vars=[theta])
        self.unbounded = theta.transformed.name
        self.advi: _Advi | None = None

    def compile_advi(self) -> None:
        """Compile the mean-field fit, the first time."""
        if self.advi is None:
            self.advi = _Advi(self.model, self.unbounded)

    def empty_trace(self):
        """An NDArray of its own for a chain, around the function compiled once."""
        trace = copy(self._trace)
        trace.samples = {}
        return trace

    def set(self, problem: Problem, seconds: dict[str, float]) -> None:
        """Put the data and prior bounds of `problem` in place."""
        with timed(seconds, "prior"):
            self.upper.set_value(problem.upper)
        with timed(seconds, "likelihood"):
            self.F.set_value(problem.F)
            self.counts.set_value(problem.counts.astype(float))
            self.offset.set_value(problem.offset)


class _Advi:
    """pymc3's ADVI as init_nuts runs it, its step compiled once and its state reset for a fit."""

    def __init__(self, model, unbounded: str):
        import pymc3 as pm
        import theano

        self.unbounded = unbounded
        fit = pm.ADVI(model=model, random_seed=1)
        self.approx = fit.approx
        with _uncompiled():
            updates = fit.objective.updates(obj_optimizer=pm.adagrad_window)
        self.step = theano.function([], updates.loss, updates=updates, mode=_mode())
        with warnings.catch_warnings():
            # cachetools dislikes how pymc3 memoises methods.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.sample = self.approx.sample_dict_fn
        self.random = self.approx.groups[0]._rng
        self.state = [(variable, variable.get_value()) for variable in updates]

    def fit(self, seed: int, n_starts: int):
        """Starting points drawn from the fit, (n_starts, n), and its mean and variance, (n,)."""
        self._reset(seed, n_starts)
        self._iterate()
        starts = self.sample(n_starts)[self.unbounded]
        return starts, self.approx.mean.get_value(), self.approx.std.eval() ** 2

    def _iterate(self) -> None:
        """Step until the mean and width settle; raises FloatingPointError if they become NaN.

        Between two looks at convergence the steps run inside theano's loop in
        C, so that NaN is seen some steps later than by pymc3: it stays.
        """
        from pymc3.variational.callbacks import CheckParametersConvergence

        checks = [
            CheckParametersConvergence(ADVI_CHECK_EVERY, ADVI_TOLERANCE, diff)
            for diff in ("absolute", "relative")
        ]
        done = 0
        for until in (1, *range(ADVI_CHECK_EVERY, ADVI_STEPS + 1, ADVI_CHECK_EVERY)):
            self.step.fn(n_calls=until - done)
            done = until
            if any(np.isnan(p.get_value(borrow=True)).any() for p in self.approx.params):
                raise FloatingPointError(f"ADVI became NaN before step {until}")
            try:
                for check in checks:
                    check(self.approx, None, until)
            except StopIteration:
                return

    def _reset(self, seed: int, n_starts: int) -> None:
        """Put parameters, optimiser and random streams where a new pm.fit starts."""
        for variable, value in self.state:
            variable.set_value(value)
        # As MRG_RandomStreams.seed, but only the streams that are read (one per
        # number drawn) of the 15,360 that each use owns.
        self.random.set_rstate(seed)
        n_streams = n_starts * self.approx.ddim + 1
        for states, updated, _, _ in self.random.state_updates:
            dtype = updated.owner.outputs[1].dtype
            value = states.get_value(borrow=True)
            value[:n_streams] = self.random.get_substream_rstates(n_streams, dtype)
            states.set_value(value, borrow=True)


def _uncompiled():
    """A context in which expressions are written down.

    pymc3 evaluates each of them once with test values, which is not worth a
    compiler, and leaves that switched on behind it.
    """
    import theano

    return theano.config.change_flags(cxx="", compute_test_value="off")


def _mode():
    """Compilation that keeps the memory of intermediate results from call to call."""
    import theano

    return theano.Mode(linker="cvm_nogc", optimizer=theano.config.optimizer)


@contextmanager
def _numpy_generator_kept():
    """pymc3 seeds numpy's global generator: give it back as it was."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)
