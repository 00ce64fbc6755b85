"""From problems to numbers: the one way, for jobs, notebooks, tables, checks and re-runs.

All problems of a batch are attempted together, if the engine can (`BatchEngine`).  Problems that
are pegged, fail, are unseen or have not converged climb the ladder one by one, by `Engine.sample`;
so do all problems of an engine that solves one at a time, for which nothing else has to be done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from ..catalog.outcome import Outcome
from ..catalog.problem import Problem, are_unseen
from ..catalog.problems import Problems
from ..engines import Engine
from ..files.schema import PHASES
from ..posterior import Smoothing, Solutions
from ..posterior.numbers import no_numbers
from ..posterior.tabulated import Tabulated
from ..stopwatch import timed
from .extras import Further, further
from .ladder import Ladder, Policy, Run, null_run
from .rules import energy_floor, judge, pegged
from .time_limit import RunTimeLimit, time_limit

# Sources of a problem; of larger ones there are too few, and too many that need the ladder.
_TOGETHER = 8


@runtime_checkable
class BatchEngine(Protocol):
    """An engine that can solve many problems at once, each as it would solve it alone."""

    def summarise(
        self, problems: Problems, smoothing: Smoothing, points: int = 0, seeds: Sequence = ()
    ) -> Solutions:
        """The numbers of every problem, and if asked for its densities at so many points.

        Of sources that are not reported no more is needed than what they cannot exceed.
        What is drawn follows from SeedSequence([seed, 0]) of each of the `seeds`.
        """
        ...


@dataclass(eq=False)
class Measured:
    """The results of n problems, and how they came about.

    Attributes
    ----------
    numbers : (n, n_reported) NUMBERS
    method : (n,) bytes, how the last posterior was found
    n_sources, n_obsids : (n,) of the problem that was solved last; 0 if none was
    n_attempts, n_excluded : (n,)
    seconds : dict of phase -> (n,)
        Wall time of the phases (memo, Listing 4), and of all together in "total".
    finished : (n,)
        Unix time; NaN where it was stopped before.
    tabulated : Tabulated or None
        Densities of the results, with axes (n, n_reported) before its own; NaN where NULL.
    runs : dict of int -> Run
        Those that climbed the ladder.
    further : dict of int -> Further
        Of each problem that has any, the numbers beside mode and bounds that were asked for.
    """

    numbers: np.ndarray
    method: np.ndarray
    n_sources: np.ndarray
    n_obsids: np.ndarray
    n_attempts: np.ndarray
    n_excluded: np.ndarray
    seconds: dict[str, np.ndarray]
    finished: np.ndarray
    tabulated: Tabulated | None
    runs: dict[int, Run]
    further: dict[int, Further] = field(default_factory=dict)

    @classmethod
    def nothing(cls, n: int, n_reported: int, points: int = 0) -> Measured:
        """n problems without results."""
        tabulated = None
        if points:
            ends = np.full((3, n, n_reported), np.nan)
            tabulated = Tabulated(*ends[:2], np.zeros((n, n_reported, points)), ends[2])
        counts = np.zeros((4, n), int)
        seconds = {phase: np.zeros(n) for phase in (*PHASES, "total")}
        numbers, method = no_numbers(n, n_reported), np.zeros(n, "S12")
        finished = np.full(n, np.nan)
        return cls(numbers, method, *counts, seconds, finished, tabulated, {})

    def put(self, i: int, run: Run, smoothing: Smoothing) -> None:
        """What became of problem i by itself."""
        problem, posterior = run.problem, run.posterior
        self.runs[i] = run
        self.numbers[i] = run.numbers
        self.method[i] = posterior.method.encode("ascii", "replace") if posterior else b""
        self.n_sources[i] = problem.n_sources if problem else 0
        self.n_obsids[i] = problem.n_obsids if problem else 0
        self.n_attempts[i], self.n_excluded[i] = len(run.attempts), len(run.excluded)
        self.finished[i] = time.time()
        for phase in run.seconds.keys() & self.seconds.keys():
            self.seconds[phase][i] += run.seconds[phase]
        if self.tabulated is not None:
            points = self.tabulated.density.shape[-1]
            for j in np.flatnonzero(np.isfinite(run.numbers["mode"])):
                column = problem.sources.index(run.sources[j])
                found = posterior.tabulated(column, points, smoothing)
                for array, values in zip(self.tabulated, found):
                    array[i, j] = values


def measure(
    problems: Problems,
    engine: Engine,
    policy: Policy,
    seeds: Sequence[int],
    quantities: Sequence[str],
    *,
    points: int = 0,
    run_seconds: float = math.inf,
    keep: bool = False,
    is_over: Callable[[], bool] = lambda: False,
) -> Measured:
    """Mode, bounds and outcome of every problem of a batch.

    Parameters
    ----------
    problems : Problems
        n of them.
    engine : Engine
        One that is a `BatchEngine` is asked for all of them at once.
    policy : Policy
    seeds : (n,) integers
        Entropy of each problem's draws; its results depend on nothing else.
    quantities : (n,) names
        The problems' quantities.
    points : int
        Of the tables of the densities; 0 for none.
    run_seconds : float
        A problem by itself, and the first attempt of all, may take so long.
    keep : bool
        Whether posteriors are wanted: each problem then is in `Measured.runs`.
    is_over : callable
        Asked before every problem by itself but the first, and whatever is left then is not done.

    A failure is an outcome of its problem, never an exception.
    """
    n, extras = len(problems), policy.extras
    measured = Measured.nothing(n, len(problems.reported), points)
    done, flags = np.zeros(n, bool), problems.flags()
    alone = keep or extras.need_posteriors
    if isinstance(engine, BatchEngine) and not alone and problems.n_sources <= _TOGETHER:
        floors = np.array([energy_floor(q, policy.energy_floor) for q in quantities])
        done = _measure_together(problems, engine, policy, seeds, floors, run_seconds, measured)
        measured.numbers["flags"] |= flags
    if not extras.numbers:
        measured.finished[done] = time.time()
    for i in np.flatnonzero(np.isnan(measured.finished)).tolist():
        if is_over() and np.isfinite(measured.finished).any():
            break
        problem, run = problems[i], None
        if not done[i]:
            spent: dict[str, float] = {}
            with timed(spent, "total"):
                run = _climb(problem, engine, policy, int(seeds[i]), quantities[i], run_seconds)
            run.numbers["flags"] |= flags[i]
            measured.put(i, run, policy.smoothing)
            measured.seconds["total"][i] += spent["total"]
            problem = run.problem
        if extras.numbers and problem:
            _add_further(measured, i, problem, run, policy)
        if run and not keep:
            run.posterior = None
        measured.finished[i] = time.time()
    return measured


def _add_further(
    measured: Measured, i: int, problem: Problem, run: Run | None, policy: Policy
) -> None:
    """Add what was asked for beside mode and bounds; `run` is the problem's own, if it has one."""
    spent: dict[str, float] = {}
    sources = run.sources if run else problem.reported
    has_numbers = run and np.isfinite(run.numbers["mode"]).any()
    posterior = run.posterior if has_numbers else None
    with timed(spent, "summarise"):
        measured.further[i] = further(problem, posterior, sources, policy.extras, policy.smoothing)
    for phase in ("summarise", "total"):
        measured.seconds[phase][i] += spent["summarise"]


def _measure_together(
    problems: Problems,
    engine: BatchEngine,
    policy: Policy,
    seeds: Sequence[int],
    floors: np.ndarray,
    run_seconds: float,
    measured: Measured,
) -> np.ndarray:
    """Fill in what the first attempt gives; returns (n,) whether that is all a problem needs."""
    spent: dict[str, float] = {}
    points = 0 if measured.tabulated is None else measured.tabulated.density.shape[-1]
    try:
        with timed(spent, "sample"), time_limit(run_seconds):
            rows = problems.with_prior_rows()
            found = engine.summarise(rows, policy.smoothing, points, seeds)
    except (Exception, RunTimeLimit):
        # The error will recur, and be recorded, where each problem is by itself.
        return np.zeros(len(problems), bool)
    judge(found.numbers, found.is_upper_limit, floors)
    unseen = are_unseen(problems.F, problems.upper, problems.n_sources, policy.prior_factor)
    are_pegged = pegged(found, problems.reported, problems.upper)
    done = found.is_solved & ~unseen.any(axis=1) & ~are_pegged.any(axis=1)
    reported = list(problems.reported)
    measured.numbers[:] = found.numbers[:, reported]
    measured.method[:] = found.method
    measured.n_sources[:], measured.n_obsids[:] = problems.n_sources, problems.n_obsids
    measured.n_attempts[:] = 1
    for phase in ("sample", "total"):
        measured.seconds[phase] += spent["sample"] / len(problems)
    if points:
        low, high, density, kernel = found.tabulated
        parts = low, high, density, np.broadcast_to(kernel, low.shape)
        for array, values in zip(measured.tabulated, parts):
            array[:] = values[:, reported]
    return done


def _climb(
    problem: Problem, engine: Engine, policy: Policy, seed: int, quantity: str, limit: float
) -> Run:
    """One problem by itself, whatever happens to it."""
    try:
        with time_limit(limit):
            return Ladder(problem, engine, policy, seed, quantity).measure()
    except RunTimeLimit as error:
        return null_run(problem.reported, Outcome.NULL_TIME_LIMIT, error)
    except Exception as error:
        return null_run(problem.reported, Outcome.NULL_FAILED, error)
