"""The ladder: what to do when a run is pegged or fails (memo, sections 6 and 7).

One small state machine, independent of the engine.  A run starts with the
problem as assembled and climbs:

* pegged (Eq. 11, any parameter): that parameter's prior bound × 10, again;
  still pegged: NULL with one obsid, else without the offending obsid;
* failed: backgrounds frozen at B/Ω_b, again; background priors ÷ 10, again; NULL;
* not seen: a source that cannot give a count even at ten times its prior bound leaves
  the problem, since it would be pegged and its neighbours with it;
* not converged: once again with twice the tuning, then flagged.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field, replace

import numpy as np

from ..catalog.problem import Problem
from ..engines import Engine
from ..posterior import Posterior, SamplingError, Smoothing, Summary
from ..stopwatch import timed
from .outcome import Flag, Outcome, worst
from .rules import energy_floor, judge, reach


@dataclass(frozen=True)
class Policy:
    """Settings of the ladder and of the mode and bounds."""

    smoothing: Smoothing = field(default_factory=Smoothing)
    prior_factor: float = 10.0
    background_factor: float = 10.0
    energy_floor: float = 5e-18
    rhat_limit: float = 1.05
    ess_limit: float = 100.0


@dataclass(frozen=True)
class Attempt:
    """One sampling of a run: with which changes, why, and how it ended."""

    changes: str
    ended: str
    seconds: float


@dataclass(frozen=True)
class Photometry:
    """Mode and 68 % bounds of one source, in the unit of its quantity; NaN where NULL.

    `mode` is the mode of the MPDF even for an upper limit, whose value is 0; `mean` and
    `rms` are the posterior's own, not smoothed.
    `rhat`, `ess` and `n_draws` are those of this source's own draws: NaN, NaN and 0
    where the engine drew none.  `noise` is what chance leaves in mode and bounds, as in
    `Summary`.
    """

    source: str
    value: float
    lolim: float
    hilim: float
    mode: float
    mean: float
    rms: float
    outcome: Outcome
    flags: Flag
    rhat: float
    ess: float
    n_draws: int
    noise: float


@dataclass
class Run:
    """Everything that one run left: results, attempts, timings and the last posterior."""

    photometry: list[Photometry]
    attempts: list[Attempt] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    error: Exception | None = None
    traceback: str = ""
    problem: Problem | None = None
    posterior: Posterior | None = None

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of its sources."""
        return Outcome(int(worst([p.outcome for p in self.photometry])))


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
    """Measures one run, climbing the ladder until it ends in a documented outcome.

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
    reported : sequence of str
        The source columns that are results of this run.
    """

    def __init__(
        self,
        problem: Problem,
        engine: Engine,
        policy: Policy,
        seed: int,
        quantity: str,
        reported: tuple[str, ...],
    ):
        problem = replace(problem, reported=reported)
        self.assembled = problem.without_sources(problem.unseen_sources(policy.prior_factor))
        self.engine = engine
        self.policy = policy
        self.seed = seed
        self.quantity = quantity
        self.reported = reported
        self.run = Run([])

    def measure(self) -> Run:
        """Climb until the run ends; a failure of the engine is an outcome, not an exception."""
        rung: _Rung | None = _Rung()
        if not set(self.reported) & set(self.assembled.sources):
            self._null(Outcome.NULL_UNSEEN, rung)
            return self.run
        while rung is not None:
            self.run.problem = self._problem(rung)
            rung = self._attempt(rung)
        return self.run

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
        run, problem = self.run, self.run.problem
        seed = np.random.SeedSequence([self.seed, len(run.attempts)])
        spent: dict[str, float] = {}
        try:
            with timed(spent, "sample"):
                run.posterior = self.engine.sample(problem, seed, tune_factor=rung.tune_factor)
            with timed(spent, "summarise"):
                summaries = self._summaries(problem, run.posterior)
        except Exception as error:
            self._spent(spent)  # of what phases, the engine alone knew
            self._record(rung, f"failed: {type(error).__name__}: {error}", spent)
            return self._after_failure(rung, error)
        self._spent(run.posterior.seconds)
        self._spent({"summarise": spent["summarise"]})

        pegged = self._pegged(problem, summaries)
        if pegged:
            labels = [problem.labels[i] for i in pegged]
            self._record(rung, f"pegged: {', '.join(labels)}", spent)
            return self._after_pegged(rung, pegged)

        rhat = run.posterior.rhat
        unconverged = run.posterior.n_draws > 0 and not np.max(rhat) <= self.policy.rhat_limit
        if unconverged and rung.tune_factor == 1:
            self._record(rung, f"not converged: r-hat {np.max(rhat):.3f}", spent)
            return replace(rung, tune_factor=2)
        self._record(rung, "not converged" if unconverged else "done", spent)
        self._finish(rung, summaries, unconverged)
        return None

    def _summaries(self, problem: Problem, posterior: Posterior) -> list[Summary | None]:
        """Mode and bounds of every column that is reported or may be pegged."""
        summaries: list[Summary | None] = []
        smoothing = self.policy.smoothing
        for i, label in enumerate(problem.labels):
            if label not in self.reported and posterior.reach(i, smoothing) <= problem.upper[i]:
                summaries.append(None)
                continue
            try:
                summaries.append(posterior.summary(i, smoothing))
            except ValueError as error:
                raise SamplingError(f"{label}: {error}") from error
        return summaries

    def _pegged(self, problem: Problem, summaries: list[Summary | None]) -> list[int]:
        """Columns whose reach exceeds P_upper (Eq. 11)."""
        return [
            i
            for i, (s, upper) in enumerate(zip(summaries, problem.upper))
            if s is not None and reach(s.mode, s.lolim, s.hilim) > upper
        ]

    def _after_pegged(self, rung: _Rung, pegged: list[int]) -> _Rung | None:
        problem = self.run.problem
        factors = dict(rung.factors)
        fresh = [label for i in pegged if (label := problem.labels[i]) not in factors]
        if fresh:
            factors |= dict.fromkeys(fresh, self.policy.prior_factor)
            return replace(rung, factors=tuple(factors.items()), tune_factor=1)
        remaining = [b for b in self.assembled.backgrounds if b not in rung.excluded]
        if len(remaining) == 1:
            self._null(Outcome.NULL_PEGGED, rung)
            return None
        return _Rung(excluded=(*rung.excluded, remaining[self._offender(pegged)]))

    def _offender(self, pegged: list[int]) -> int:
        """Index of the obsid to exclude (section 7, recommendation 5).

        A pegged background names its obsid.  A pegged source names none: it is
        the obsid in which that source's own maximum-likelihood intensity is largest.
        """
        problem = self.run.problem
        n = problem.n_sources
        backgrounds = [i - n for i in pegged if i >= n]
        if backgrounds:
            return backgrounds[0]
        return int(np.argmax(problem.single_obsid_intensities(pegged[0])))

    def _after_failure(self, rung: _Rung, error: Exception) -> _Rung | None:
        if not rung.frozen and not rung.reduced:
            return _Rung(rung.excluded, rung.factors, frozen=True)
        if rung.frozen:
            return _Rung(rung.excluded, rung.factors, reduced=True)
        self._null(Outcome.NULL_FAILED, rung, error)
        return None

    def _finish(self, rung: _Rung, summaries: list[Summary | None], unconverged: bool) -> None:
        problem, posterior, policy = self.run.problem, self.run.posterior, self.policy
        common = rung.flags
        if unconverged:
            common |= Flag.UNCONVERGED
        if posterior.divergences:
            common |= Flag.DIVERGENT
        for source in self.reported:
            if source not in problem.sources:
                self.run.photometry.append(self._null_row(source, Outcome.NULL_PEGGED, common))
                continue
            i = problem.sources.index(source)
            s, flags = summaries[i], common
            if posterior.ess[i] < policy.ess_limit:
                flags |= Flag.LOW_ESS
            if posterior.limited:
                flags |= Flag.LOW_ESS if posterior.n_draws else Flag.NOISY
            floor = energy_floor(self.quantity, policy.energy_floor)
            *bounds, outcome = judge(s.value, s.lolim, s.hilim, s.is_upper_limit, floor)
            value, lolim, hilim = map(float, bounds)
            self.run.photometry.append(
                Photometry(
                    source, value, lolim, hilim, s.mode, posterior.mean(i), posterior.std(i),
                    Outcome(int(outcome)), flags, float(posterior.rhat[i]), float(posterior.ess[i]),
                    posterior.n_draws, s.noise,
                )
            )  # fmt: skip
        self.run.excluded = rung.excluded

    def _null_row(self, source: str, outcome: Outcome, flags: Flag) -> Photometry:
        """A result without numbers: for this reason, unless no aperture sees the source."""
        is_seen = source in self.assembled.sources
        return null(source, outcome if is_seen else Outcome.NULL_UNSEEN, flags)

    def _null(self, outcome: Outcome, rung: _Rung, error: BaseException | None = None) -> None:
        if error is not None:
            self.run.error = error
            self.run.traceback = "".join(traceback.format_exception(error))
        self.run.photometry = [self._null_row(s, outcome, rung.flags) for s in self.reported]
        self.run.excluded = rung.excluded

    def _record(self, rung: _Rung, ended: str, spent: dict[str, float]) -> None:
        self.run.attempts.append(Attempt(rung.changes, ended, sum(spent.values())))

    def _spent(self, phases: dict[str, float]) -> None:
        for phase, seconds in phases.items():
            self.run.seconds[phase] = self.run.seconds.get(phase, 0.0) + seconds


def null(source: str, outcome: Outcome, flags: Flag) -> Photometry:
    """A result without numbers, for the reason that `outcome` gives."""
    nan = float("nan")
    return Photometry(source, nan, nan, nan, nan, nan, nan, outcome, flags, nan, nan, 0, nan)
