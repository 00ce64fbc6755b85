"""The ladder: what to do when a run is pegged or fails (memo, sections 6 and 7).

One small state machine, independent of the engine.  A run starts with the
problem as assembled and climbs:

* pegged (Eq. 11, any parameter; rec. 5): that parameter's prior bound × 10, again;
  still pegged: NULL with one obsid, else without the offending obsid;
* failed (rec. 7): backgrounds frozen at B/Ω_b, again; background priors ÷ 10, again; NULL;
* not seen: a source that cannot give a count even at ten times its prior bound leaves
  the problem, since it would be pegged and its neighbours with it;
* not converged: once again with twice the tuning, then flagged.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field, replace

import numpy as np

from ..catalog.fault import InputError
from ..catalog.outcome import Flag, Outcome, worst
from ..catalog.priors import Priors, UpperBounds
from ..catalog.problem import Problem
from ..engines import Engine
from ..posterior import Posterior, Smoothing, Solutions
from ..posterior.numbers import no_numbers
from ..stopwatch import timed
from .extras import Extras
from .rules import energy_floor, judge, pegged
from .solution import solution


@dataclass(frozen=True)
class Policy:
    """Settings of the ladder, of the mode and bounds, and which numbers are wanted beside them."""

    smoothing: Smoothing = field(default_factory=Smoothing)
    prior_factor: float = 10.0
    background_factor: float = 10.0
    energy_floor: float = 5e-18
    rhat_limit: float = 1.05
    ess_limit: float = 100.0
    extras: Extras = field(default_factory=Extras)
    priors: Priors = field(default_factory=dict)
    prior_upper: UpperBounds = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One sampling of a run: with which changes, why, and how it ended."""

    changes: str
    ended: str
    seconds: float


@dataclass
class Run:
    """What became of one problem: results, attempts, timings and the last posterior.

    Attributes
    ----------
    numbers : (n_reported,) NUMBERS
    sources : tuple of str
        Whose numbers they are.
    excluded : tuple of str
        Obsids that had to be left out.
    problem, posterior : as of the last attempt; None where there was none
    """

    numbers: np.ndarray
    sources: tuple[str, ...]
    attempts: list[Attempt] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    error: BaseException | None = None
    traceback: str = ""
    problem: Problem | None = None
    posterior: Posterior | None = None

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of its sources."""
        return Outcome(int(worst(self.numbers["outcome"])))


def null_run(sources: tuple[str, ...], outcome: Outcome, error: BaseException | None = None) -> Run:
    """A run that ended without numbers, and why."""
    is_input = error is None or isinstance(error, InputError)
    text = "" if is_input else "".join(traceback.format_exception(error))
    numbers = no_numbers(len(sources), outcome=outcome)
    return Run(numbers, sources, error=error, traceback=text)


@dataclass(frozen=True)
class _Rung:
    """Where on the ladder the next attempt stands."""

    excluded: tuple[str, ...] = ()
    factors: tuple[tuple[str, float], ...] = ()
    frozen: bool = False
    reduced: bool = False
    tune_factor: int = 1

    @property
    def flags(self) -> Flag:
        flags = Flag(0)
        for is_set, flag in (
            (self.factors, Flag.PRIOR_RAISED),
            (self.frozen, Flag.BACKGROUND_FROZEN),
            (self.reduced, Flag.BACKGROUND_PRIOR_REDUCED),
            (self.excluded, Flag.OBSID_EXCLUDED),
            (self.tune_factor > 1, Flag.RETUNED),
        ):
            if is_set:
                flags |= flag
        return flags

    @property
    def changes(self) -> str:
        parts = [f"without {obsid}" for obsid in self.excluded]
        parts += [f"prior of {label} x {factor:g}" for label, factor in self.factors]
        if self.frozen:
            parts.append("backgrounds frozen")
        if self.reduced:
            parts.append("background priors reduced")
        if self.tune_factor > 1:
            parts.append(f"tuning x {self.tune_factor}")
        return "; ".join(parts) or "as assembled"


class Ladder:
    """Measures one problem, climbing the ladder until it ends in a documented outcome.

    Parameters
    ----------
    problem : Problem
        As assembled.
    engine : Engine
    policy : Policy
    seed : int
        Entropy of the run; attempt k uses SeedSequence([seed, k]), so that a
        rerun repeats every retry.
    quantity : str
        Decides whether the energy floor applies.
    """

    def __init__(self, problem: Problem, engine: Engine, policy: Policy, seed: int, quantity: str):
        self.assembled = problem.without_sources(problem.unseen_sources(policy.prior_factor))
        self.engine = engine
        self.policy = policy
        self.seed = seed
        self.floor = energy_floor(quantity, policy.energy_floor)
        sources = tuple([problem.sources[j] for j in problem.wanted])
        self.run = Run(no_numbers(len(sources)), sources)

    def measure(self) -> Run:
        """Climb until the run ends; a failure of the engine is an outcome, not an exception."""
        run = self.run
        rung: _Rung | None = _Rung()
        if not set(run.sources) & set(self.assembled.sources):
            self._null(Outcome.NULL_UNSEEN)
            return run
        while rung is not None:
            run.problem, run.excluded = self._problem(rung), rung.excluded
            rung = self._attempt(rung)
        return run

    def _problem(self, rung: _Rung) -> Problem:
        problem = self.assembled
        if rung.excluded:
            problem = problem.without(rung.excluded)
            problem = problem.without_sources(problem.unseen_sources(self.policy.prior_factor))
        if rung.factors:
            problem = problem.with_prior_factors(dict(rung.factors))
        if rung.reduced:
            down = 1.0 / self.policy.background_factor
            problem = problem.with_prior_factors(dict.fromkeys(problem.backgrounds, down))
        if rung.frozen:
            problem = problem.with_frozen_backgrounds()
        return problem

    def _attempt(self, rung: _Rung) -> _Rung | None:
        """Sample once; the next rung, or None when the run has ended."""
        run = self.run
        seed = np.random.SeedSequence([self.seed, len(run.attempts)])
        spent: dict[str, float] = {}
        try:
            with timed(spent, "sample"):
                rows = run.problem.with_prior_rows()
                run.posterior = self.engine.sample(rows, seed, tune_factor=rung.tune_factor)
            with timed(spent, "summarise"):
                found = solution(run.problem, run.posterior, self.policy.smoothing)
        except Exception as error:
            self._spent(spent)  # the engine failed before it could say in which phases
            self._record(rung, f"failed: {type(error).__name__}: {error}", spent)
            return self._after_failure(rung, error)
        self._spent(run.posterior.seconds)
        self._spent({"summarise": spent["summarise"]})

        beyond = np.flatnonzero(pegged(found, run.problem.wanted, run.problem.upper)[0])
        if beyond.size:
            labels = [run.problem.labels[i] for i in beyond]
            self._record(rung, f"pegged: {', '.join(labels)}", spent)
            return self._after_pegged(rung, beyond)

        rhat = run.posterior.rhat
        unconverged = run.posterior.n_draws > 0 and not np.max(rhat) <= self.policy.rhat_limit
        if unconverged and rung.tune_factor == 1:
            self._record(rung, f"not converged: r-hat {np.max(rhat):.3f}", spent)
            return replace(rung, tune_factor=2)
        self._record(rung, "not converged" if unconverged else "done", spent)
        self._finish(rung, found, unconverged)
        return None

    def _after_pegged(self, rung: _Rung, beyond: np.ndarray) -> _Rung | None:
        """Raise the priors; still pegged, leave out an obsid; with one obsid NULL (rec. 5)."""
        problem = self.run.problem
        factors = dict(rung.factors)
        fresh = [label for i in beyond if (label := problem.labels[i]) not in factors]
        if fresh:
            factors |= dict.fromkeys(fresh, self.policy.prior_factor)
            return replace(rung, factors=tuple(factors.items()), tune_factor=1)
        remaining = [b for b in self.assembled.backgrounds if b not in rung.excluded]
        if len(remaining) == 1:
            self._null(Outcome.NULL_PEGGED, rung.flags)
            return None
        return _Rung(excluded=(*rung.excluded, remaining[self._offender(beyond)]))

    def _offender(self, beyond: np.ndarray) -> int:
        """Index of the obsid to exclude (section 7, rec. 5).

        A pegged background names its obsid.  A pegged source names none: it is
        the obsid in which that source's own maximum-likelihood intensity is largest.
        """
        problem = self.run.problem
        backgrounds = beyond[beyond >= problem.n_sources] - problem.n_sources
        if backgrounds.size:
            return int(backgrounds[0])
        return int(np.argmax(problem.single_obsid_intensities(int(beyond[0]))))

    def _after_failure(self, rung: _Rung, error: Exception) -> _Rung | None:
        """Freeze the backgrounds; then reduce their priors; then NULL (section 7, rec. 7)."""
        if not rung.frozen and not rung.reduced:
            return _Rung(rung.excluded, rung.factors, frozen=True)
        if rung.frozen:
            return _Rung(rung.excluded, rung.factors, reduced=True)
        self.run.error = error
        self.run.traceback = "".join(traceback.format_exception(error))
        self._null(Outcome.NULL_FAILED, rung.flags)
        return None

    def _finish(self, rung: _Rung, found: Solutions, unconverged: bool) -> None:
        run, posterior, numbers = self.run, self.run.posterior, found.numbers
        judge(numbers, found.is_upper_limit, np.array([self.floor]))
        flags = rung.flags
        if unconverged:
            flags |= Flag.UNCONVERGED
        if posterior.divergences:
            flags |= Flag.DIVERGENT
        self._null(Outcome.NULL_PEGGED, flags)  # the end of sources that only excluded obsids see
        if posterior.limited:
            flags |= Flag.LOW_ESS if posterior.n_draws else Flag.NOISY
        numbers["flags"] = flags
        numbers["flags"][numbers["ess"] < self.policy.ess_limit] |= int(Flag.LOW_ESS)
        for i, source in enumerate(run.sources):
            if source in run.problem.sources:
                run.numbers[i] = numbers[0, run.problem.sources.index(source)]

    def _null(self, outcome: Outcome, flags: int = 0) -> None:
        """Results without numbers: for this reason, or since no aperture sees the source."""
        seen = [source in self.assembled.sources for source in self.run.sources]
        outcomes = np.where(seen, outcome, Outcome.NULL_UNSEEN)
        self.run.numbers = no_numbers(len(seen), outcome=outcomes, flags=flags)

    def _record(self, rung: _Rung, ended: str, spent: dict[str, float]) -> None:
        self.run.attempts.append(Attempt(rung.changes, ended, sum(spent.values())))

    def _spent(self, phases: dict[str, float]) -> None:
        for phase, seconds in phases.items():
            self.run.seconds[phase] = self.run.seconds.get(phase, 0.0) + seconds
