"""The main job: scan, plan, send the work out, gather the results into one file.

Rank 0 partitions the work list and writes; the worker ranks measure.  With one
process the same code runs without MPI.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from .. import provenance, sampling
from ..catalog.fault import Fault
from ..catalog.worklist import Target
from ..config import Config, ConfigError, load
from ..files import results
from ..files.schema import Batch
from ..photometry.outcome import Outcome
from .board import Board
from .checkpoint import Done, check_inputs, open_work_file
from .dispatch import stream
from .interrupt import Interrupt, StopFlag, scheduled_end
from .planning import Plan, ScannedFile, find_inputs, make_plan, scan_file
from .progress import Progress
from .shares import Shard, parcels
from .warmup import warm_up
from .watch import Watch
from .worker import Worker
from .world import EXIT_USAGE, World

EXIT_OK = 0
EXIT_STOPPED = 3
EXIT_RUNS_FAILED = 4

# Parcels under way per worker: one to work on, and the next.
_WINDOW = 2
_SCAN_FILES = 8
# How long the ranks may take to say goodbye once all is measured.
_FAREWELL_SECONDS = 60.0

_worker: Worker | None = None


class BadInput(RuntimeError):
    """Input that cannot be used, in a job that is to end at the first (on_bad_input = "abort")."""


def measure_parcel(targets: Sequence[Target]) -> Batch:
    """All runs of a few targets; called on the worker ranks."""
    return _worker.measure(targets)


def scan_files(paths: Sequence[str]) -> list[ScannedFile]:
    """Scan a few prep3 files; called on the worker ranks."""
    with _worker.busy("scan"):
        found = []
        for path in paths:
            _worker.board.doing(f"scanning {path}")
            found.append(scan_file(path))
        _worker.board.idle()
        return found


class Stopped(Exception):
    """The job has to end before its work list is known."""


@dataclass(frozen=True)
class Options:
    """What the command line adds to the configuration.

    Attributes
    ----------
    resume : bool
        Continue the work file of an earlier job, if there is one.
    force : bool
        Continue it even if the configuration or the inputs have changed.
    shard : Shard, optional
        Do only this part, into a file of its own.
    output : str, optional
        Results file, instead of the configuration's.
    """

    resume: bool = False
    force: bool = False
    shard: Shard | None = None
    output: str | None = None


def run(path: str | Path, world: World, options: Options = Options()) -> int:
    """Do the whole job that a configuration names; called on every rank.

    Returns this rank's exit code.  What is wrong with the configuration, its
    paths or the output is said by rank 0, and every rank returns EXIT_USAGE.
    """
    with StopFlag().listening() as flag:
        return _run(path, world, options, flag)


def _run(path: str | Path, world: World, options: Options, flag: StopFlag) -> int:
    job, code = None, EXIT_OK
    if world.rank == 0:
        try:
            job = _Job(load(path), world, options, flag)
        except (ConfigError, results.ResultsError, sampling.EngineMissing) as error:
            print(f"mpiapp: {error}", file=sys.stderr)
            code = EXIT_USAGE
        else:
            if job.writer is None:
                print(f"{job.final}: complete already; nothing to do", file=sys.stderr)
                job = None
    start, code = world.broadcast((job and (job.config, job.number), code))
    if start is None:
        return code
    config, number = start
    board = world.board()
    global _worker
    engine = sampling.create(config.engine.name, **config.engine.settings())
    warm_up(engine, world, config.engine.scratch)
    _worker = Worker(
        engine, config.policy(), config.seed, world.rank, number, config.limits.run_seconds,
        board, flag,
    )  # fmt: skip
    ranks = world.gather(provenance.this_rank())
    _worker.ready()
    farewell = None
    with world.executor() as executor:
        if job:
            code = job.run(executor, board, ranks)
            farewell = _Farewell(job, world, code)
            if job.watch.stuck or job.watch.given_up:
                # their ranks would keep the pool, and so the job, from ending
                farewell.without_the_others()
    clocks = world.gather(_worker.clock())
    if farewell:
        code = farewell.with_all(clocks)
    board.close()
    return code


class _Farewell:
    """Finishes the job on rank 0 once, with the clocks of all ranks or without.

    A rank that froze after its last parcel keeps the pool from closing: after
    _FAREWELL_SECONDS a thread finishes without it, and ends every rank.
    """

    def __init__(self, job: _Job, world: World, code: int):
        self.job, self.world, self.code = job, world, code
        self._once = threading.Lock()
        self._timer = threading.Timer(_FAREWELL_SECONDS, self.without_the_others)
        self._timer.daemon = True
        if world.size > 1:
            self._timer.start()

    def with_all(self, clocks: list[tuple]) -> int:
        self._timer.cancel()
        if not self._once.acquire(blocking=False):
            self._timer.join()
        return self.job.finish(clocks, self.code)

    def without_the_others(self) -> None:
        if self._once.acquire(blocking=False):
            self._timer.cancel()
            self.world.abort(self.job.finish([_worker.clock()], self.code))


class _Job:
    """Rank 0's side of the job: everything that can be checked before any work is, at once."""

    def __init__(self, config: Config, world: World, options: Options, flag: StopFlag):
        self.config = config
        self.world = world
        self.options = options
        self.flag = flag
        self.interrupt = Interrupt(config.limits, scheduled_end())
        self.started = time.perf_counter()
        self.final = Path(options.output or config.output.results)
        results.work_path(self.final)  # refuses what is no name before a shard's is made of it
        if options.shard:
            self.final = options.shard.path(self.final)
        self._check_engine()
        self.inputs = find_inputs(config)
        self.end = ""
        self.writer = open_work_file(config, self.final, resume=options.resume, force=options.force)
        if self.writer is not None:
            self.number = len(self.writer.table("jobs"))
            self.n_failed = _n_failed(self.writer.column("outcome"))

    def _check_engine(self) -> None:
        """Before any file is made: an engine that cannot be used is one line."""
        engine = self.config.engine
        sampling.require(engine.name)
        try:
            sampling.create(engine.name, **engine.settings())
        except Exception as error:
            known = ", ".join(sampling.ENGINES)
            raise ConfigError(
                f"engine.name = {engine.name!r} cannot be used: {type(error).__name__}: {error}; "
                f"choose one of {known}, or install what it needs"
            ) from error

    def run(self, executor: Executor, board: Board, ranks: list[dict]) -> int:
        """Do the work; returns the exit code.  The file is left to `finish`."""
        self.watch = Watch(
            _worker, board, self.flag, self.interrupt, self.config.limits, self.world.n_workers
        )
        try:
            plan = self._plan(executor)
            new = check_inputs(self.writer, plan.inputs, force=self.options.force)
        except (ConfigError, results.ResultsError) as error:
            print(f"mpiapp: {error}", file=sys.stderr)
            return EXIT_USAGE
        except Stopped:
            return EXIT_STOPPED
        self._begin(ranks, plan)
        self.writer.add("inputs", [(self.number, path, digest) for path, digest in new])
        try:
            self._refuse(plan.faults)
            self._measure(executor, plan)
        except BadInput as error:
            self.end = f"bad input: {error}"
            print(f"mpiapp: {error}\nmpiapp: stopped at bad input as configured", file=sys.stderr)
            return EXIT_RUNS_FAILED
        if self.interrupt.reason:
            self.end = f"stopped: {self.interrupt.reason}"
            return EXIT_STOPPED
        self.end = "complete"
        return EXIT_RUNS_FAILED if self.n_failed or plan.faults else EXIT_OK

    def finish(self, clocks: list[tuple], code: int) -> int:
        """Write how the job ended and what its ranks did; the complete file gets its name."""
        self.writer.flush()
        if code == EXIT_USAGE and self.number == 0:
            self.writer.discard()  # nothing began, and the corrected job may
            return code
        if self.end:
            seconds = time.perf_counter() - self.started
            self.writer.add("ranks", [(self.number, *clock) for clock in clocks])
            self.writer.update_job(
                self.number, ended=_now(), exit_reason=self.end, wall_seconds=seconds
            )
        tally = f"{self.writer.n_runs} runs, {self.n_failed} failed"
        if self.end == "complete":
            self.writer.publish(self.final)
            print(f"{self.final}: {tally}", file=sys.stderr)
            return code
        self.writer.close()
        print(f"{self.writer.path}: {tally}", file=sys.stderr)
        if code == EXIT_STOPPED:
            print(
                f"mpiapp: stopped ({self.interrupt.reason}); everything measured is on disk. "
                "Resume with the same command and --resume",
                file=sys.stderr,
            )
        return code

    def _plan(self, executor: Executor) -> Plan:
        n_workers = self.world.n_workers

        def scan(paths: Sequence[str]) -> list[ScannedFile]:
            chunks = [paths[i : i + _SCAN_FILES] for i in range(0, len(paths), _SCAN_FILES)]
            scanned = stream(executor, scan_files, chunks, self._window, self.watch)
            found = {file.path: file for files in scanned for file in files}
            if self.interrupt.reason:
                raise Stopped
            return [found[path] for path in paths]

        plan = make_plan(self.config, self.inputs, scan, n_workers, _worker.engine.typical_seconds)
        shard = self.options.shard
        return plan._replace(units=shard.of(plan.units)) if shard else plan

    @property
    def _window(self) -> int:
        return _WINDOW * self.world.n_workers if self.world.size > 1 else 1

    def _measure(self, executor: Executor, plan: Plan) -> None:
        """All runs that are not done yet."""
        done = Done(np.sort(self.writer.column("run_id")))
        # Alone, this process has all files at hand anyway, and writes the more often.
        n_workers = self.world.n_workers if self.world.size > 1 else float("inf")
        payloads = _payloads(plan, done, n_workers)
        with Progress(plan.n_runs, self.writer.n_runs, note=self.watch.oldest) as progress:
            self.watch.progress = progress
            for batch in stream(executor, measure_parcel, payloads, self._window, self.watch):
                with _worker.busy("write"):
                    self.writer.append(batch)
                    if self.interrupt.reason:
                        self.writer.flush()  # there may not be time for another batch
                failed = _n_failed(batch.runs["outcome"])
                self.n_failed += failed
                progress.add(len(batch.runs), failed)
                if failed and self.config.ladder.on_bad_input == "abort":
                    self._check(batch)

    def _check(self, batch: Batch) -> None:
        bad = set(batch.runs["run_id"][batch.runs["outcome"] == Outcome.NULL_BAD_INPUT])
        for run_id, _, _, message, _ in batch.failures:
            if run_id in bad:
                raise BadInput(message)

    def _refuse(self, faults: list[Fault]) -> None:
        for fault in faults:
            print(f"mpiapp: bad input: {fault.message}", file=sys.stderr)
        known = self.writer.table("failures")
        known = set(zip(known["where"], known["message"]))
        new = (f for f in faults if (f.where, f.message) not in known)
        rows = [(0, f.where, "InputError", f.message, "") for f in new]
        self.writer.add("failures", rows)
        if faults and self.config.ladder.on_bad_input == "abort":
            raise BadInput(faults[0].message)

    def _begin(self, ranks: list[dict], plan: Plan) -> None:
        row = (
            self.number, _now(), "", "", 0.0, self.config.model_dump_json(), self.config.hash(),
            json.dumps(provenance.versions(self.world.library)), provenance.revision(),
            json.dumps(provenance.scheduler()), provenance.command_line(), json.dumps(ranks),
            str(self.options.shard or ""), plan.n_runs,
        )  # fmt: skip
        self.writer.add("jobs", [row])


def _payloads(plan: Plan, done: Done, n_workers: float) -> Iterator[list[Target]]:
    """The targets of each parcel, without what is done."""
    for parcel in parcels(plan.units, n_workers, plan.parcel_cost):
        targets = [target for unit in parcel for target in unit.targets()]
        if remaining := done.remaining(targets):
            yield remaining


def _n_failed(outcomes: np.ndarray) -> int:
    codes, counts = np.unique(outcomes, return_counts=True)
    return sum(int(n) for code, n in zip(codes, counts) if not Outcome(code).is_planned)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
