"""The engine of CSC 2.0, the baseline of every comparison: sherpa's get_draws.

The only file that imports sherpa, and only when the engine samples.  As the memo
describes it (sections 2.3 and 2.4): the Cash statistic, a fit and its covariance,
MetropolisMH with that covariance as the scale of its jumps, one chain, and uniform
priors within five standard deviations of the maximum-likelihood solution.  Nothing
is done about what makes it fail.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..catalog.problem import Problem
from ..posterior.diagnostics import rhat_and_ess
from ..posterior.draws import Draws, SamplingError
from ..stopwatch import timed
from .settings import GetDrawsSettings

# "A very small positive number" (memo, section 2.3), in units of the upper bound.
LOWEST = 1e-10


class GetDrawsEngine(GetDrawsSettings):
    """Metropolis and Metropolis–Hastings jumps around a fit (van Dyk et al. 2001), through sherpa.

    Settings: `GetDrawsSettings`.
    """

    name = "get_draws"
    typical_seconds = 1.0
    compiles_per_rank = False

    def warm(self) -> None:
        """Nothing to compile, but sherpa has to be there: raises ImportError if it is not."""
        import sherpa.sim  # noqa: F401

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Draws:
        """Draw from the likelihood within the ±5σ priors, cut to the problem's own; see `Engine`.

        Raises SamplingError, chained from its cause, when a prior range is
        empty, when sherpa fails, or when the chain never moves.
        """
        burn_in = self.burn_in * tune_factor
        prior = self.prior_sigmas, self.least_variance
        try:
            values, seconds = _run(
                problem, prior, burn_in + self.draws, np.random.default_rng(seed)
            )
        except SamplingError:
            raise
        except Exception as error:
            raise SamplingError(f"get_draws: {type(error).__name__}: {error}") from error
        values = values[burn_in + 1 :]  # sherpa's first row is where the chain starts
        if not np.isfinite(values).all():
            raise SamplingError("get_draws returned draws that are not finite")
        if not np.ptp(values, axis=0).all():
            raise SamplingError("get_draws: the chain never moved, no proposal was accepted")
        values = np.ascontiguousarray(values)[None]
        rhat, ess = rhat_and_ess(values)
        return Draws(values=values, rhat=rhat, ess=ess, method="metropolis", seconds=seconds)


def prior_range(
    problem: Problem, sigmas: float = 5.0, least_variance: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """(n_columns,) bounds of the uniform priors of CSC 2.0, s_ML ± `sigmas`·σ_ML (section 2.3).

    A negative s_ML counts as 0, as the memo supposes that it did, a lower bound
    below zero as a very small number.  The problem's own bounds hold beside these.

    Raises SamplingError where nothing is left.
    """
    best, sigma = problem.maximum_likelihood(least_variance)
    best = np.maximum(best, 0.0)
    highest = np.minimum(best + sigmas * sigma, problem.upper)
    lowest = np.maximum(best - sigmas * sigma, LOWEST * highest)
    empty = ~(lowest < highest)
    if empty.any():
        i = int(np.argmax(empty))
        raise SamplingError(
            f"get_draws: no prior range for {problem.labels[i]}: its maximum-likelihood solution "
            f"is {best[i]:.3g} ± {sigma[i]:.3g}, its upper bound {problem.upper[i]:.3g}"
        )
    return lowest, highest


def _run(problem, prior, n_draws, rng) -> tuple[np.ndarray, dict[str, float]]:
    """The chain, (n_draws + 1, n_columns), and the seconds of each phase."""
    from sherpa import sim
    from sherpa.data import Data1D
    from sherpa.estmethods import Covariance
    from sherpa.fit import Fit
    from sherpa.optmethods import NelderMead
    from sherpa.stats import Cash
    from sherpa.utils.logging import SherpaVerbosity

    seconds: dict[str, float] = {}
    with timed(seconds, "prior"):
        lowest, highest = prior_range(problem, *prior)
    with timed(seconds, "likelihood"):
        # In units of the upper bounds every parameter is of order one, as sherpa's steps,
        # tolerances and determinants like it.
        start = np.clip(problem.maximum_likelihood()[0], lowest, highest)
        model = _model(problem.F * highest, problem.offset, start / highest, lowest / highest)
        data = Data1D("counts", np.arange(len(problem.counts)), problem.counts)
    with SherpaVerbosity("CRITICAL"), np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of indefinite covariances
        with timed(seconds, "init"):
            fit = Fit(data, model, stat=Cash(), method=NelderMead(), estmethod=Covariance())
            fit.fit()
            covariance = fit.est_errors().extra_output
            if covariance is None or not np.isfinite(covariance).all():
                raise SamplingError("get_draws: the fit has no covariance")
        with timed(seconds, "sample"):
            sampler = sim.MCMC()
            sampler.set_sampler("MetropolisMH")
            _, _, chain = sampler.get_draws(fit, covariance, niter=n_draws, cache=False, rng=rng)
    return chain.T * highest, seconds


def _model(F, offset, start, lowest):
    """A sherpa model of expected counts in each aperture, its parameters between `lowest` and 1."""
    from sherpa.models import ArithmeticModel, Parameter

    class Apertures(ArithmeticModel):
        def __init__(self):
            parameters = []
            for i, (value, low) in enumerate(zip(start, lowest)):
                name = f"theta{i}"
                parameters.append(
                    Parameter("apertures", name, value, low, 1.0, hard_min=low, hard_max=1.0)
                )
                setattr(self, name, parameters[-1])
            ArithmeticModel.__init__(self, "apertures", tuple(parameters))

        def calc(self, p, x, *args, **kwargs):
            return F @ np.asarray(p) + offset

    return Apertures()
