"""From targets to rows: reads their files, has their problems measured, makes the rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

from ..catalog.fault import InputError
from ..catalog.outcome import Outcome
from ..catalog.problem import Problem
from ..catalog.problems import Problems
from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..engines import Engine
from ..files.prep3 import Prep3File
from ..files.prep3_cache import Prep3Cache
from ..files.schema import MPDF_POINTS, Batch
from ..stopwatch import timed
from .batching import Assembled, Batcher, NotMeasured, TargetRuns
from .kept_draws import NO_DRAWS, KeptDraws
from .ladder import Policy, Run, null_run
from .measuring import Measured, measure
from .rows import Rows, chosen, keys_of
from .time_limit import RunTimeLimit


class Photometer:
    """Measures targets: what a worker rank does, and whoever measures some of its runs again.

    Parameters
    ----------
    engine : Engine
    policy : Policy
    job_seed : int
    run_seconds : float
        A run that takes longer ends as NULL_TIME_LIMIT.
    mpdf : sequence of str
        Patterns of the runs whose posterior densities are kept, as in `Rows`.
    draws : KeptDraws
        The runs whose draws are written into files of their own.
    is_stopped : callable
        Asked whether to end after the run or batch in hand.
    rank, host, job : columns of /runs
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        job_seed: int,
        run_seconds: float = math.inf,
        mpdf: Sequence[str] = (),
        draws: KeptDraws = NO_DRAWS,
        *,
        is_stopped: Callable[[], object] = lambda: False,
        rank: int = 0,
        host: bytes = b"",
        job: int = 0,
    ):
        self.engine = engine
        self.policy = policy
        self.job_seed = job_seed
        self.run_seconds = run_seconds
        self.is_stopped = is_stopped
        self._mpdf = mpdf
        self._draws = draws
        name = engine.name.encode() if engine else b""
        self._about = {"engine": name, "rank": rank, "host": host, "job": job}
        self._files = Prep3Cache()

    def measure(self, targets: Sequence[Target], seconds: float = math.inf) -> Batch:
        """All runs of the targets; bad input and failed runs are rows, never exceptions.

        Stopped, it returns what it has; after so many seconds too, but one run or batch at least.
        """
        rows = Rows(self.job_seed, self._mpdf, self._about)
        batcher = Batcher(self.policy.priors, self.policy.prior_upper)
        end = time.monotonic() + seconds
        spent: dict[str, float] = {}
        for target in targets:
            if self._is_over(rows, end):
                break
            with timed(spent, "read"):
                files = self._read(target)
            with timed(spent, "assemble"):
                self._add(batcher, target, files)
            if batcher.is_full:
                self._measure(batcher, rows, spent, end)
        self._measure(batcher, rows, spent, end)
        return rows.batch()

    def _is_over(self, rows: Rows, end: float) -> bool:
        return bool(self.is_stopped()) or (rows.any and time.monotonic() > end)

    def _read(self, target: Target) -> list[Prep3File] | InputError:
        """The files of the target's parts, or why they cannot be used."""
        if target.fault:
            return InputError(target.fault)
        files = []
        for part in target.parts:
            file = self._files.get(part.files)
            if isinstance(file, InputError):
                return file
            files.append(file)
        return files

    def _add(self, batcher: Batcher, target: Target, files: list[Prep3File] | InputError) -> None:
        """Add all runs of the target, if only to say that they cannot be measured."""
        outcome, error = Outcome.NULL_BAD_INPUT, files
        if not isinstance(files, InputError):
            try:
                batcher.add(target, files)
                return
            except InputError as fault:
                error = fault
            except Exception as failure:
                outcome, error = Outcome.NULL_FAILED, failure
        runs = TargetRuns(target, target.matrices)
        batcher.not_measured.append(NotMeasured(runs, outcome, error))

    def _measure(self, batcher: Batcher, rows: Rows, spent: dict[str, float], end: float) -> None:
        """Measure all that has been added, which took so many seconds by phase."""
        with timed(spent, "assemble"):
            batches = list(batcher.take())
        n_runs = sum(len(batch.problems) for batch in batches)
        share = {phase: total / n_runs for phase, total in spent.items() if n_runs}
        spent.clear()
        for one in batcher.not_measured:
            self._add_null(rows, one)
        batcher.not_measured.clear()
        for batch in batches:
            for piece, keep in self._pieces(batch):
                if self._is_over(rows, end):
                    return
                ids, seeds = rows.ids_and_seeds(piece.runs)
                points = MPDF_POINTS if rows.keeps_densities(piece.runs).any() else 0
                measured = self._numbers(piece, seeds, points, keep, end)
                if keep:
                    (key,) = keys_of(piece.runs)
                    self._draws.write(key, measured.runs[0], int(seeds[0]))
                rows.add(piece.runs, ids, seeds, measured, share)

    def _pieces(self, batch: Assembled) -> Iterator[tuple[Assembled, bool]]:
        """What is measured at once, and whether its draws are wanted: then it is one run."""
        wanted = chosen(batch.runs, self._draws.patterns)
        if not wanted.any():
            yield batch, False
            return
        pieces = list(zip(_each(batch), wanted.tolist()))
        if others := [one for one, keep in pieces if not keep]:
            problems = Problems.of([one.problems[0] for one in others])
            yield Assembled(problems, [one.runs[0] for one in others]), False
        yield from (piece for piece in pieces if piece[1])

    def _numbers(
        self,
        batch: Assembled,
        seeds: Sequence[int],
        points: int = 0,
        keep: bool = False,
        end: float = math.inf,
    ) -> Measured:
        quantities = [matrix.quantity for one in batch.runs for matrix in one.matrices]
        return measure(
            batch.problems,
            self.engine,
            self.policy,
            seeds,
            quantities,
            points=points,
            run_seconds=self.run_seconds,
            keep=keep,
            is_over=lambda: bool(self.is_stopped()) or time.monotonic() > end,
        )

    def _add_null(self, rows: Rows, lost: NotMeasured, seconds: float = 0.0) -> None:
        (target, matrices), outcome, error = lost
        measured = Measured.nothing(len(matrices), len(target.reported))
        for i in range(len(matrices)):
            measured.put(i, null_run(target.reported, outcome, error), self.policy.smoothing)
        ids, seeds = rows.ids_and_seeds([lost.runs])
        rows.add([lost.runs], ids, seeds, measured, {"read": seconds})

    def give_up(self, target: Target, reason: str, seconds: float) -> Batch:
        """Rows of a target's abandoned runs, as of runs that took too long."""
        rows = Rows(self.job_seed, (), self._about)
        runs, error = TargetRuns(target, target.matrices), RunTimeLimit(reason)
        self._add_null(rows, NotMeasured(runs, Outcome.NULL_TIME_LIMIT, error), seconds)
        return rows.batch()

    def problem(self, target: Target, key: RunKey) -> Problem | None:
        """A run's problem as assembled, None where no aperture sees it.

        Raises InputError if its input cannot be used.
        """
        found = self._assembled(target, key)
        if isinstance(found, Assembled):
            return found.problems[0]
        if found.error:
            raise found.error
        return None

    def run(self, target: Target, key: RunKey) -> Run:
        """One run with its posterior, or with its error."""
        found = self._assembled(target, key)
        if isinstance(found, NotMeasured):
            return null_run(target.reported, found.outcome, found.error)
        return self._numbers(found, [key.seed(self.job_seed)], keep=True).runs[0]

    def _assembled(self, target: Target, key: RunKey) -> Assembled | NotMeasured:
        batcher = Batcher(self.policy.priors, self.policy.prior_upper)
        target = target._replace(matrices=(key.matrix,))
        self._add(batcher, target, self._read(target))
        return (*batcher.take(), *batcher.not_measured)[0]


def _each(batch: Assembled) -> list[Assembled]:
    """Batches of one run each."""
    runs = [TargetRuns(one.target, (m,)) for one in batch.runs for m in one.matrices]
    return [Assembled(Problems.of([batch.problems[i]]), [run]) for i, run in enumerate(runs)]
