"""What a worker rank does: read, assemble, sample, summarise, and send the rows home."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from .. import provenance
from ..catalog.assemble import assemble
from ..catalog.bundle import Bundle, InputError
from ..catalog.quantities import QUANTITIES, Matrix
from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..files.prep3 import Prep3File
from ..files.prep3_cache import Prep3Cache
from ..files.schema import PHASES, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from ..photometry.ladder import Ladder, Policy, Run, null
from ..photometry.outcome import Flag, Outcome
from ..sampling import Engine
from .board import Board, InFlight
from .interrupt import RunTimeLimit, StopFlag, time_limit


class Worker:
    """Measures targets; one per rank.

    Parameters
    ----------
    engine : Engine
    policy : Policy
    job_seed : int
    rank, job : int
        Written into every row of /runs.
    run_seconds : float
        A run that takes longer ends as NULL_TIME_LIMIT.
    board : Board, optional
        Where this rank says which run it is at, and is told to stop.
    flag : StopFlag, optional
        Set by a signal that asks to stop.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        job_seed: int,
        rank: int = 0,
        job: int = 0,
        run_seconds: float = 3600.0,
        board: Board | None = None,
        flag: StopFlag | None = None,
    ):
        self.run_seconds = run_seconds
        self.board = board or Board()
        self.flag = flag or StopFlag()
        self.n_runs = 0
        self._seconds = dict.fromkeys(("scan", "measure", "write", "idle"), 0.0)
        self.ready()
        self.engine = engine
        self.policy = policy
        self.job_seed = job_seed
        self.rank = rank
        self.job = job
        self.host = provenance.host().encode()[:32]
        self._files = Prep3Cache()

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Count the time of the block as spent on "scan", "measure", "write" or "idle"."""
        t0 = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[what] += time.perf_counter() - t0

    def ready(self) -> None:
        """Starting up is over."""
        self._startup = provenance.process_seconds()
        self._since = time.perf_counter()

    def clock(self) -> tuple:
        """This rank's row of /ranks, without the job.

        What is not counted is rank 0's handing out of work, and the waiting of a worker.
        """
        wall = time.perf_counter() - self._since
        spent = dict(self._seconds)
        left = max(0.0, wall - sum(spent.values()))
        dispatch = left if spent["idle"] else 0.0
        idle = spent.pop("idle") + left - dispatch
        return (
            self.rank, self.host, self.n_runs, self._startup, *spent.values(), dispatch, idle,
            _peak_memory(),
        )  # fmt: skip

    def measure(self, targets: Sequence[Target]) -> Batch:
        """All runs of the targets; bad input and failed runs are rows, never exceptions.

        Asked to stop, it returns what it has after the run in hand.
        """
        with self.busy("measure"):
            rows = _Rows(self)
            for target in targets:
                t0 = time.perf_counter()
                self.board.doing(f"reading {target.level} {target.name}")
                files, fault = self._read(target)
                read = time.perf_counter() - t0
                for key in target.run_keys():
                    if self.flag.signal or self.board.stopping:
                        self.board.idle(asked=self.flag.signal)
                        return rows.batch()
                    self.board.begin(key)
                    t0 = time.perf_counter()
                    run = self._run(target, files, key, fault)
                    run.seconds["read"] = read
                    rows.add(target, key, run, read + time.perf_counter() - t0)
                    read = 0.0
                    self.n_runs += 1
            self.board.idle()
            return rows.batch()

    def give_up(self, targets: Sequence[Target], lost: InFlight) -> Batch:
        """The row of a run whose rank does not answer any more; made on rank 0."""
        rows = _Rows(self, lost.rank)
        for target in targets:
            for key in target.run_keys():
                if key.run_id == lost.run_id:
                    error = RunTimeLimit(f"rank {lost.rank} did not answer any more")
                    run = _failed(target, Outcome.NULL_TIME_LIMIT, error)
                    rows.add(target, key, run, lost.seconds)
        return rows.batch()

    def run(self, target: Target, key: RunKey) -> Run:
        """One run by itself; what went wrong stands in it."""
        files, fault = self._read(target)
        return self._run(target, files, key, fault)

    def _read(self, target: Target) -> tuple[list[Prep3File], str]:
        files = []
        if target.fault:
            return files, target.fault
        for part in target.parts:
            file = self._files.get(part.path)
            if isinstance(file, InputError):
                return files, str(file)
            files.append(file)
        return files, ""

    def _run(self, target: Target, files: list[Prep3File], key: RunKey, fault: str) -> Run:
        t0 = time.perf_counter()
        try:
            with time_limit(self.run_seconds):
                if fault:
                    raise InputError(fault)
                bundles = _contributing(target, files, key.matrix)
                if not bundles:
                    return Run([null(s, Outcome.NULL_UNSEEN, Flag(0)) for s in target.reported])
                labels = target.labels
                problem = assemble(
                    bundles, key.matrix, label=labels and (lambda stack, c: labels[stack, c])
                )
                assembled = time.perf_counter() - t0
                run = Ladder(
                    problem,
                    self.engine,
                    self.policy,
                    key.seed(self.job_seed),
                    key.quantity,
                    target.reported,
                ).measure()
            run.seconds["assemble"] = assembled
        except RunTimeLimit as error:
            run = _failed(target, Outcome.NULL_TIME_LIMIT, error, traceback.format_exc())
        except InputError as error:
            run = _failed(target, Outcome.NULL_BAD_INPUT, error)
        except Exception as error:
            run = _failed(target, Outcome.NULL_FAILED, error, traceback.format_exc())
        return run


class _Rows:
    """Collects the rows of a batch."""

    def __init__(self, worker: Worker, rank: int | None = None):
        self.worker = worker
        self.rank = worker.rank if rank is None else rank
        self.photometry, self.runs, self.attempts, self.failures = [], [], [], []

    def batch(self) -> Batch:
        return Batch(
            np.array(self.photometry, PHOTOMETRY_DTYPE),
            np.array(self.runs, RUNS_DTYPE),
            self.attempts,
            self.failures,
        )

    def add(self, target: Target, key: RunKey, run: Run, seconds: float) -> None:
        rows = _photometry_rows(key, run, Flag.BEST_BLOCK if target.is_best_block else Flag(0))
        self.runs.append(self._run_row(key, run, rows, seconds))
        self.photometry += rows
        if len(run.attempts) > 1:
            self.attempts += [
                (key.run_id, i, a.changes, a.ended, a.seconds) for i, a in enumerate(run.attempts)
            ]
        if run.error is not None:
            self.failures.append(
                (key.run_id, str(key), type(run.error).__name__, str(run.error), run.traceback)
            )

    def _run_row(self, key: RunKey, run: Run, rows: list[tuple], seconds: float) -> tuple:
        worker, flags = self.worker, Flag(0)
        for p in run.photometry:
            flags |= p.flags
        problem, posterior = run.problem, run.posterior
        return (
            key.run_id,
            *(text.encode() for text in key),
            problem.n_sources if problem else 0,
            problem.n_obsids if problem else 0,
            worker.engine.name.encode()[:12],
            posterior.method.encode() if posterior else b"",
            key.seed(worker.job_seed),
            int(run.outcome),
            int(flags),
            len(run.attempts),
            len(run.excluded),
            *(run.seconds.get(phase, 0.0) for phase in PHASES),
            seconds,
            time.time(),
            self.rank,
            worker.host,
            worker.job,
            _peak_memory(),
            len(self.photometry),
            len(rows),
        )


def _failed(target: Target, outcome: Outcome, error: BaseException, text: str = "") -> Run:
    run = Run([null(source, outcome, Flag(0)) for source in target.reported])
    run.error, run.traceback = error, text
    return run


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB


def _photometry_rows(key: RunKey, run: Run, flags: Flag) -> list[tuple]:
    names = (key.run_id, *(text.encode() for text in key))
    unit = QUANTITIES[key.quantity].unit.encode()
    return [
        (
            *names, p.source.encode(), p.value, p.lolim, p.hilim, p.mode, unit, p.mean, p.rms,
            int(p.outcome), int(p.flags | flags), p.n_draws, p.rhat, p.ess,
            p.noise,
        )
        for p in run.photometry
    ]  # fmt: skip


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
