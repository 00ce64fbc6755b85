"""Runs of a finished job again: the same problem from its input, the same draws from its seed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from .. import sampling
from ..catalog.bundle import InputError
from ..catalog.problem import Problem
from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..config import Config
from ..files.results import Results
from ..parallel.planning import find_inputs, make_plan, scan_here
from ..parallel.worker import Worker
from ..photometry.ladder import Run


class PlannedRun(NamedTuple):
    """A run of the work list: its key, and the target whose it is."""

    key: RunKey
    target: Target


def planned_runs(config: Config) -> Iterator[PlannedRun]:
    """Every run that a configuration names, in the order of the work list."""
    plan = make_plan(config, find_inputs(config), scan_here)
    for unit in plan.units:
        for target in unit.targets():
            for key in target.run_keys():
                yield PlannedRun(key, target)


def assembled(config: Config) -> Iterator[tuple[RunKey, Problem]]:
    """Every problem of a configuration as assembled, without sampling it; bad input is left out."""
    worker = Worker(None, config.policy(), config.seed)
    for planned in planned_runs(config):
        with contextlib.suppress(InputError):
            if problem := worker.problem(planned.target, planned.key):
                yield planned.key, problem


def job_config(results: Results) -> Config:
    """The configuration of the first job of a results file; InputError if it has none."""
    jobs = results.table("jobs")
    try:
        return Config.model_validate_json(jobs[0]["config"])
    except (IndexError, ValueError) as error:
        raise InputError(
            f"{results.path}: /jobs has no configuration of this version; the runs cannot be "
            "repeated"
        ) from error


def find_key(results: Results, text: str) -> RunKey:
    """The key that a text means: "level target band aperture quantity", or a run id.

    Raises InputError if the file has no such run; the message says how keys look.
    """
    wanted = int(text) if text.isdigit() else None
    for rows in results.chunks("runs"):
        for row in rows if wanted is None else rows[rows["run_id"] == wanted]:
            key = RunKey(*(row[name].decode() for name in RunKey._fields))
            if wanted is not None or str(key) == text:
                return key
    with_example = f', for example "{key}"' if results.n_rows("runs") and wanted is None else ""
    raise InputError(
        f"{results.path}: no run {text!r}; give a run_id or the words level, target, band, "
        f"aperture and quantity{with_example}"
    )


def rerun(results: Results, key: RunKey, trusted_engine: str = "") -> tuple[Run, Config]:
    """Measure one run of a results file again, from its input and its seed.

    An engine from outside of this package is code that the file names and this process would run;
    that is done only if the caller trusts it by name.

    Raises InputError if it is not trusted, or the input no longer has the run or cannot be used.
    """
    config = job_config(results)
    if config.engine.name not in {*sampling.ENGINES, trusted_engine}:
        raise InputError(
            f"{results.path}: names the engine {config.engine.name!r}, not one of this package; "
            "if you trust that code and its options in /jobs, have it run by --engine "
            f"{config.engine.name}"
        )
    for planned in planned_runs(config):
        if planned.key == key:
            sampling.require(config.engine.name)
            worker = Worker(config.engine.create(), config.policy(), config.seed)
            run = worker.run(planned.target, planned.key)
            if run.posterior is None:
                raise InputError(f"{key}: no draws: {run.error}")
            return run, config
    raise InputError(f"{key}: the input of {results.path} no longer has this run")
