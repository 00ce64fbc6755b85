"""The main job: scan, plan, send the work out, gather the results into one file.

Rank 0 partitions the work list and writes; the worker ranks measure.  With one
process the same code runs without MPI.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from datetime import datetime, timezone
from pathlib import Path

from .. import provenance, sampling
from ..catalog.worklist import Target
from ..config import Config, ConfigError, load
from ..files import results
from ..files.schema import Batch
from ..photometry.outcome import Outcome
from .dispatch import stream
from .planning import Fault, find_inputs, make_plan
from .progress import Progress
from .warmup import warm_up
from .worker import Worker
from .world import World

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_STOPPED = 3
EXIT_RUNS_FAILED = 4

# Units under way per worker: one to work on, and the next.
_WINDOW = 2

_worker: Worker | None = None


class BadInput(RuntimeError):
    """Input that cannot be used, in a job that is to end at the first (on_bad_input = "abort")."""


def measure_unit(targets: Sequence[Target]) -> Batch:
    """All runs of a few targets; called on the worker ranks."""
    return _worker.measure(targets)


def run(path: str | Path, world: World) -> int:
    """Do the whole job that a configuration names; called on every rank.

    Returns this rank's exit code.  What is wrong with the configuration, its
    paths or the output is said by rank 0, and every rank returns EXIT_USAGE.
    """
    job = None
    if world.rank == 0:
        try:
            job = _Job(load(path), world)
        except (ConfigError, results.ResultsError) as error:
            print(f"mpiapp: {error}", file=sys.stderr)
    config = world.broadcast(job and job.config)
    if config is None:
        return EXIT_USAGE
    global _worker
    engine = sampling.create(config.engine.name, **config.engine.settings())
    warm_up(engine, world, config.engine.scratch)
    _worker = Worker(engine, config.policy(), config.seed, world.rank)
    ranks = world.gather(provenance.this_rank())
    with world.executor() as executor:
        return job.run(executor, ranks) if job else EXIT_OK


class _Job:
    """Rank 0's side of the job: everything that can be checked before any work is, at once."""

    def __init__(self, config: Config, world: World):
        self.config = config
        self.world = world
        self.started = time.perf_counter()
        self.final = Path(config.output.results)
        self.inputs = find_inputs(config)
        self.n_failed = 0
        for path in (self.final, results.work_path(self.final)):
            if path.exists():
                raise results.ResultsError(f"{path}: exists already; move it or remove it first")
        output = config.output
        self.writer = results.Writer(
            results.work_path(self.final),
            batch_runs=output.batch_runs,
            flush_seconds=output.flush_seconds,
        )

    def run(self, executor: Executor, ranks: list[dict]) -> int:
        self._begin(ranks)
        try:
            n_faults = self._measure(executor)
        except BadInput as error:
            self._end(f"bad input: {error}")
            self.writer.close()
            print(
                f"mpiapp: {error}\nmpiapp: stopped at bad input as configured; what was measured "
                f"is in {self.writer.path}",
                file=sys.stderr,
            )
            return EXIT_RUNS_FAILED
        self._end("complete")
        self.writer.publish(self.final)
        print(
            f"{self.final}: {self.writer.n_runs} runs, {self.n_failed} failed, "
            f"{n_faults} faults of input files",
            file=sys.stderr,
        )
        return EXIT_RUNS_FAILED if self.n_failed or n_faults else EXIT_OK

    def _measure(self, executor: Executor) -> int:
        """All runs; returns how many input faults no run stands for."""
        plan = make_plan(
            self.config, self.inputs, executor, self.world.n_workers, _worker.engine.typical_seconds
        )
        self.writer.add("inputs", [(0, path, digest) for path, digest in plan.inputs])
        self._refuse(plan.faults)
        window = _WINDOW * self.world.n_workers
        units = plan.units()
        with Progress(plan.n_runs) as progress:
            for (_, unit), batch in stream(
                executor, measure_unit, units, lambda pair: pair[0].targets(pair[1]), window
            ):
                self.writer.append(batch)
                failed = sum(not Outcome(o).is_planned for o in batch.runs["outcome"])
                self.n_failed += failed
                progress.add(unit.n_runs, failed)
                if failed and self.config.ladder.on_bad_input == "abort":
                    self._check(batch)
        return len(plan.faults)

    def _check(self, batch: Batch) -> None:
        bad = set(batch.runs["run_id"][batch.runs["outcome"] == Outcome.NULL_BAD_INPUT])
        for run_id, _, _, message, _ in batch.failures:
            if run_id in bad:
                raise BadInput(message)

    def _refuse(self, faults: list[Fault]) -> None:
        for where, message in faults:
            print(f"mpiapp: bad input: {message}", file=sys.stderr)
            self.writer.add("failures", [(0, where, "InputError", message, "")])
        if faults and self.config.ladder.on_bad_input == "abort":
            raise BadInput(faults[0].message)

    def _begin(self, ranks: list[dict]) -> None:
        row = (
            0, _now(), "", "", 0.0, self.config.model_dump_json(), self.config.hash(),
            json.dumps(provenance.versions(self.world.library)), provenance.revision(),
            json.dumps(provenance.scheduler()), provenance.command_line(), json.dumps(ranks),
        )  # fmt: skip
        self.writer.add("jobs", [row])

    def _end(self, reason: str) -> None:
        self.writer.flush()
        self.writer.update_job(
            0, ended=_now(), exit_reason=reason, wall_seconds=time.perf_counter() - self.started
        )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
