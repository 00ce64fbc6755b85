"""Rank 0's side of a job: the plan, the dispatch, and the one file of results."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from .. import engines, provenance, scheduler
from ..catalog.fault import ConfigError, Fault, InputError
from ..catalog.outcome import Outcome, n_unplanned
from ..catalog.worklist import Target
from ..config import Config, load
from ..exit_code import ExitCode
from ..files import results
from ..files.draws import SUFFIXES, check_suffix
from ..files.schema import Batch, row
from ..photometry.kept_draws import KeptDraws
from .banner import banner, work
from .calls import measure_parcel, scan_parcel
from .checkpoint import check_inputs, next_job, open_work_file
from .clock import Clock
from .dispatch import stream
from .planning import Plan, find_inputs, make_plan
from .progress import During, say
from .scanning import ScannedFile
from .shares import Done, parcels
from .task import Options, Task
from .watch import Watch
from .world import World

# Parcels under way per worker: one to work on, and the next.
_WINDOW = 2
_SCAN_FILES = 8


class BadInput(RuntimeError):
    """Input that cannot be used, in a job that is to end at the first (on_bad_input = "abort")."""


class Stopped(Exception):
    """The job has to end before its work list is known."""


def prepare(
    path: str | Path, world: World, options: Options
) -> tuple[Coordinator | None, ExitCode]:
    """The job that a configuration names, None if there is nothing to do or it cannot begin."""
    try:
        with During("looking for the inputs", silent=not sys.stderr.isatty()):
            coordinator = Coordinator(load(path), world, options)
    except (ConfigError, results.ResultsError, engines.EngineMissing) as error:
        say(f"mpiapp: {error}")
        return None, ExitCode.USAGE
    if coordinator.writer is None:
        return None, _complete_already(coordinator.final)
    say(banner(coordinator.config, path, coordinator.final, world.size))
    return coordinator, ExitCode.OK


def _complete_already(final: Path) -> ExitCode:
    with results.open_results(final) as found:
        n_runs = n_unplanned(found.column("runs", "outcome"))
        n_inputs = int((found.table("failures")["run_id"] == 0).sum())
    if not n_runs and not n_inputs:
        say(f"{final}: complete already; nothing to do")
        return ExitCode.OK
    say(
        f"{final}: complete already, with {n_runs} failed runs and {n_inputs} bad inputs. Once "
        f"mended: mpiapp merge NEW {final} --retry, then run with --resume --output NEW"
    )
    return ExitCode.RUNS_FAILED


class Coordinator:
    """The job as rank 0 sees it: everything that can be checked before any work is, at once."""

    def __init__(self, config: Config, world: World, options: Options):
        self.config = config
        self.world = world
        self.stop = world.stop
        self.stop.limit(config.limits, scheduler.scheduled_end())
        self.options = options
        self.final = Path(options.output or config.output.results)
        results.work_path(self.final)  # refuses a bad name before a shard's is made of it
        self.draws = _kept_draws(config, self.final)
        if options.shard:
            self.final = options.shard.path(self.final)
        engines.require(config.engine.name)
        self.engine = config.engine.create()
        self.inputs = find_inputs(config)
        self.end = ""
        self.writer = open_work_file(config, self.final, resume=options.resume, force=options.force)
        done = self.writer is not None
        self.number = next_job(self.writer.table("jobs"), options.shard) if done else 0
        self.n_failed = n_unplanned(self.writer.column("outcome")) if done else 0

    def task(self) -> Task:
        """The order to the other ranks."""
        config = self.config
        return Task(
            self.number,
            config.engine.name,
            config.engine.settings(),
            config.engine.scratch,
            config.policy(),
            config.seed,
            config.limits.run_seconds,
            config.output.mpdf,
            self.draws,
            self.stop.seconds_left,
        )

    def watch(
        self,
        executor: Executor,
        clock: Clock,
        clocks: list[dict],
        give_up: Callable[[Target, str, float], Batch],
    ) -> Watch:
        """The watch over the workers; `clocks` are the columns of all ranks in /ranks."""
        return Watch(executor, self.stop, clock, self.config.limits, clocks, give_up)

    def run(self, watch: Watch, ranks: list[dict]) -> ExitCode:
        """Do the work; returns the exit code.  The file is left to `finish`."""
        try:
            plan = self._plan(watch)
            new = check_inputs(self.writer, plan.inputs, force=self.options.force)
        except (ConfigError, results.ResultsError) as error:
            say(f"mpiapp: {error}")
            return ExitCode.USAGE
        except Stopped:
            return ExitCode.STOPPED
        self._begin(ranks, plan)
        self.writer.add(
            "inputs",
            [row("inputs", job=self.number, path=path, digest=digest) for path, digest in new],
        )
        try:
            self._refuse(plan.faults)
            self.writer.flush()
            self._measure(watch, plan)
        except BadInput as error:
            self.end = f"bad input: {error}"
            say(f"mpiapp: {error}\nmpiapp: stopped at bad input as configured")
            return ExitCode.RUNS_FAILED
        if self.stop.reason:
            self.end = f"stopped: {self.stop.reason}"
            return ExitCode.STOPPED
        self.end = "complete"
        return ExitCode.RUNS_FAILED if self.n_failed or plan.faults else ExitCode.OK

    def finish(self, code: ExitCode, clocks: list[dict]) -> ExitCode:
        """Write how the job ended and the times of its ranks; the complete file gets its name."""
        self.writer.flush()
        if code == ExitCode.USAGE:
            self.writer.give_up()  # nothing began, and the corrected job may
            return code
        if self.end:
            self.writer.add("ranks", [row("ranks", job=self.number, **clock) for clock in clocks])
            seconds = provenance.process_seconds()
            self.writer.update_job(
                self.number, ended=_utc(time.time()), exit_reason=self.end, wall_seconds=seconds
            )
        tally = f"{self.writer.n_runs} runs, {self.n_failed} failed"
        if self.end == "complete":
            self.writer.publish(self.final)
            say(f"{self.final}: {tally}")
            return code
        self.writer.close()
        say(f"{self.writer.path}: {tally}")
        if code == ExitCode.STOPPED:
            say(
                f"mpiapp: stopped ({self.stop.reason}); everything measured is on disk. "
                "Resume with the same command and --resume"
            )
        return code

    def _plan(self, watch: Watch) -> Plan:
        found: dict[str, ScannedFile] = {}
        n_files = sum(len(files.prep3) for files in self.inputs)

        def scan(paths: Sequence[str]) -> list[ScannedFile]:
            chunks = (
                watch.to_scan(paths[i : i + _SCAN_FILES]) for i in range(0, len(paths), _SCAN_FILES)
            )
            scanned = stream(watch.executor, scan_parcel, chunks, self._window, watch)
            for files in scanned:
                found.update((file.path, file) for file in files)
            if self.stop.reason:
                raise Stopped
            return [found[path] for path in paths]

        n_workers = self.world.n_workers
        seconds = self.engine.typical_seconds
        with During(lambda: f"making the work list, {len(found)} of {n_files} files are read"):
            plan = make_plan(self.config, self.inputs, scan, n_workers, seconds)
            if shard := self.options.shard:
                plan = plan._replace(units=shard.of(plan.units))
        say(work(len(plan.inputs), plan.runs_by_level(), self.writer.n_runs))
        for hint in plan.hints:
            say(f"hint: {hint}")
        return plan

    @property
    def _window(self) -> int:
        return _WINDOW * self.world.n_workers if self.world.size > 1 else 1

    def _measure(self, watch: Watch, plan: Plan) -> None:
        """All runs that are not done yet."""
        done = Done(np.sort(self.writer.column("run_id")))
        # Alone: a unit a parcel, so that results are written more often.
        n_workers = self.world.n_workers if self.world.size > 1 else float("inf")
        payloads = map(watch.to_measure, _payloads(plan, done, n_workers))
        with watch.progress(plan.n_runs, self.writer.n_runs) as progress:
            for batch in stream(watch.executor, measure_parcel, payloads, self._window, watch):
                with watch.clock.busy("write"):
                    self.writer.append(batch)
                    if self.stop.reason:
                        self.writer.flush()  # there may not be time for another batch
                failed = n_unplanned(batch.runs["outcome"])
                self.n_failed += failed
                progress.add(batch.n_runs, failed)
                if failed and self.config.ladder.on_bad_input == "abort":
                    self._check(batch)

    def _check(self, batch: Batch) -> None:
        bad = set(batch.runs["run_id"][batch.runs["outcome"] == Outcome.NULL_BAD_INPUT])
        for run_id, _, _, message, _ in batch.failures:
            if run_id in bad:
                raise BadInput(message)

    def _refuse(self, faults: list[Fault]) -> None:
        for fault in faults:
            say(f"mpiapp: bad input: {fault.message}")
        known = self.writer.table("failures")
        known = set(zip(known["where"], known["message"]))
        new = (f for f in faults if (f.where, f.message) not in known)
        what = {"run_id": 0, "type": "InputError", "traceback": ""}
        rows = [row("failures", where=f.where, message=f.message, **what) for f in new]
        self.writer.add("failures", rows)
        if faults and self.config.ladder.on_bad_input == "abort":
            raise BadInput(faults[0].message)

    def _begin(self, ranks: list[dict], plan: Plan) -> None:
        begun = row(
            "jobs",
            job=self.number,
            started=_utc(provenance.process_start()),
            ended="",
            exit_reason="",
            wall_seconds=0.0,
            config=self.config.model_dump_json(),
            config_hash=self.config.hash(),
            versions=json.dumps(provenance.versions(self.world.library)),
            revision=provenance.revision(),
            scheduler=json.dumps(scheduler.identifiers()),
            command=provenance.command_line(),
            ranks=json.dumps(ranks),
            shard=str(self.options.shard or ""),
            planned=plan.n_runs,
        )
        self.writer.add("jobs", [begun])


def _kept_draws(config: Config, results: Path) -> KeptDraws:
    """Files of draws beside the results; ConfigError if such files cannot be written here."""
    suffix = SUFFIXES[config.output.draws_format]
    try:
        if config.output.draws:
            check_suffix(suffix)
    except InputError as error:
        raise ConfigError(f"output.draws: {error}") from None
    return KeptDraws(config.output.draws, str(results.with_suffix(".draws")), suffix)


def _payloads(plan: Plan, done: Done, n_workers: float) -> Iterator[list[Target]]:
    """The targets of each parcel, without finished runs."""
    for parcel in parcels(plan.units, n_workers, plan.parcel_cost):
        targets = [target for unit in parcel for target in unit.targets()]
        if remaining := done.remaining(targets):
            yield remaining


def _utc(unix_time: float) -> str:
    return datetime.fromtimestamp(unix_time, timezone.utc).isoformat(timespec="seconds")
