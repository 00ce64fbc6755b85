"""What a worker rank does: read, assemble, sample, summarise, and send the rows home."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence

from ..catalog.assemble import assemble
from ..catalog.bundle import Bundle, InputError
from ..catalog.problem import Problem
from ..catalog.quantities import Matrix
from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..engines import Engine
from ..files.prep3 import Prep3File
from ..files.prep3_cache import Prep3Cache
from ..files.schema import Batch
from ..photometry.ladder import Ladder, Policy, Run, null
from ..photometry.outcome import Flag, Outcome
from ..photometry.stack import StackEngine
from ..stopwatch import timed
from .clock import Clock
from .mpdf_rows import MpdfRows
from .rows import Rows
from .stacked_runs import StackedRuns
from .stop import Stop
from .time_limit import RunTimeLimit, time_limit


class Worker:
    """Measures targets; one per rank.  On rank 0 beside others it only makes rows of runs given up.

    Parameters
    ----------
    engine : Engine
    policy : Policy
    job_seed : int
    job : int
        Written into every row of /runs.
    run_seconds : float
        A run that takes longer ends as NULL_TIME_LIMIT.
    clock : Clock, optional
        This rank's.
    stop : Stop, optional
        Says when to begin nothing new.
    mpdf : sequence of str
        Patterns of the runs whose posterior densities are kept.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        job_seed: int,
        job: int = 0,
        run_seconds: float = 3600.0,
        clock: Clock | None = None,
        stop: Stop | None = None,
        mpdf: Sequence[str] = (),
    ):
        self.engine = engine
        self.policy = policy
        self.job_seed = job_seed
        self.run_seconds = run_seconds
        self.job = job
        self.clock = clock or Clock()
        self.stop = stop or Stop()
        self._files = Prep3Cache()
        self._densities = MpdfRows(mpdf, policy.smoothing)

    def measure(self, targets: Sequence[Target], seconds: float = float("inf")) -> Batch:
        """All runs of the targets; bad input and failed runs are rows, never exceptions.

        Those of one shape that an engine can do at once are done first; what they leave climbs
        the ladder run by run.  Asked to stop, or after so many seconds, it returns what it has
        after the run in hand; without a reason to stop that is one run at least.
        """
        rows = self._rows()
        end = time.monotonic() + seconds
        if isinstance(self.engine, StackEngine):
            targets = self._measure_stacks(targets, rows, end)
        for target in targets:
            spent: dict[str, float] = {}
            with timed(spent, "read"):
                files, fault = self._read(target)
            for key in target.run_keys():
                if self.stop.poll() or (rows.runs and time.monotonic() > end):
                    return rows.batch()
                with timed(spent, "run"):
                    run = self._run(target, files, key, fault)
                run.seconds["read"] = spent.get("read", 0.0)
                rows.add(target, key, run, sum(spent.values()))
                spent.clear()
                self.clock.runs += 1
        return rows.batch()

    def _measure_stacks(self, targets: Sequence[Target], rows: Rows, end: float) -> list[Target]:
        """Measure what fits into stacks; returns the targets with the runs that are left."""
        stacked = StackedRuns(self.engine, self.policy, self.run_seconds, rows)
        for target in targets:
            if self.stop.poll() or time.monotonic() > end:
                break
            spent: dict[str, float] = {}
            with timed(spent, "read"):
                files, fault = self._read(target)
            if not fault:
                stacked.add(target, files, spent["read"])
            if stacked.is_full:
                self.clock.runs += stacked.solve()
        self.clock.runs += stacked.solve()
        return stacked.left(targets)

    def give_up(self, target: Target, reason: str, seconds: float) -> Batch:
        """Rows of runs that are waited for no longer, as those that took too long."""
        rows = self._rows()
        for key in target.run_keys():
            run = _failed(target, Outcome.NULL_TIME_LIMIT, RunTimeLimit(reason))
            rows.add(target, key, run, seconds)
        return rows.batch()

    def _rows(self) -> Rows:
        clock, engine = self.clock, self.engine
        return Rows(clock.rank, clock.host, engine.name, self.job_seed, self.job, self._densities)

    def problem(self, target: Target, key: RunKey) -> Problem | None:
        """A run's problem as assembled, None where no aperture sees it.

        Raises InputError if its input cannot be used.
        """
        return self._assemble(target, *self._read(target), key)

    def run(self, target: Target, key: RunKey) -> Run:
        """One run by itself; what went wrong stands in it."""
        files, fault = self._read(target)
        return self._run(target, files, key, fault)

    def _read(self, target: Target) -> tuple[list[Prep3File], str]:
        files = []
        if target.fault:
            return files, target.fault
        for part in target.parts:
            file = self._files.get(part.files)
            if isinstance(file, InputError):
                return files, str(file)
            files.append(file)
        return files, ""

    def _assemble(
        self, target: Target, files: list[Prep3File], fault: str, key: RunKey
    ) -> Problem | None:
        if fault:
            raise InputError(fault)
        bundles = _contributing(target, files, key.matrix)
        if not bundles:
            return None
        labels = target.labels
        return assemble(bundles, key.matrix, label=labels and (lambda stack, c: labels[stack, c]))

    def _run(self, target: Target, files: list[Prep3File], key: RunKey, fault: str) -> Run:
        spent: dict[str, float] = {}
        try:
            with time_limit(self.run_seconds):
                with timed(spent, "assemble"):
                    problem = self._assemble(target, files, fault, key)
                if problem is None:
                    return Run([null(s, Outcome.NULL_UNSEEN, Flag(0)) for s in target.reported])
                run = Ladder(
                    problem,
                    self.engine,
                    self.policy,
                    key.seed(self.job_seed),
                    key.quantity,
                    target.reported,
                ).measure()
            run.seconds |= spent
        except RunTimeLimit as error:
            run = _failed(target, Outcome.NULL_TIME_LIMIT, error, traceback.format_exc())
        except InputError as error:
            run = _failed(target, Outcome.NULL_BAD_INPUT, error)
        except Exception as error:
            run = _failed(target, Outcome.NULL_FAILED, error, traceback.format_exc())
        return run


def _failed(target: Target, outcome: Outcome, error: BaseException, text: str = "") -> Run:
    run = Run([null(source, outcome, Flag(0)) for source in target.reported])
    run.error, run.traceback = error, text
    return run


def _contributing(target: Target, files: list[Prep3File], matrix: Matrix) -> list[Bundle]:
    """The bundles of the target that have this matrix; InputError if one of them is at fault."""
    bundles = []
    for part, file in zip(target.parts, files):
        for fault in file.faults:
            if fault.concerns(part.bundle, matrix):
                raise InputError(fault.message)
        bundle = file.bundles[part.bundle]
        if matrix in bundle.F:
            bundles.append(bundle)
    return bundles
