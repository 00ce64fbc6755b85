"""Runs of a finished job again: the same problem from its input, the same draws from its seed."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .. import engines
from ..catalog.fault import ConfigError, InputError
from ..catalog.problem import Problem
from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..config import Config
from ..files.results import Results
from ..parallel.planning import InputFiles, find_inputs, make_plan
from ..parallel.scanning import scan_here
from ..photometry.ladder import Run
from ..photometry.photometer import Photometer


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
    photometer = Photometer(None, config.policy(), config.seed)
    for planned in planned_runs(config):
        with contextlib.suppress(InputError):
            if problem := photometer.problem(planned.target, planned.key):
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


def moved(path: str, folder: str | None) -> str | None:
    """Where a file, folder or pattern is below `folder`: by the longest tail of its path.

    The path itself without a folder; None if it is not there.
    """
    if folder is None:
        return path
    parts = Path(path).relative_to(Path(path).anchor).parts
    for i in range(len(parts)):
        tail = os.path.join(*parts[i:])
        if os.path.exists(new := os.path.join(folder, tail)):
            return new
        if glob.glob(new := os.path.join(glob.escape(folder), tail), recursive=True):
            return new
    return None


def moved_config(config: Config, folder: str | None) -> Config:
    """The configuration with its inputs below `folder`; InputError if they are not there."""

    def place(path: str) -> str:
        if (new := moved(path, folder)) is None:
            raise InputError(f"{folder}: has no {path}, nor the end of this path")
        return new

    groups = [
        group.model_copy(
            update={
                "prep3": [place(path) for path in group.prep3],
                "mst3": group.mst3 and place(group.mst3),
            }
        )
        for group in config.input
    ]
    file = config.priors.file and place(config.priors.file)
    priors = config.priors.model_copy(update={"file": file})
    return config.model_copy(update={"input": groups, "priors": priors})


def found_config(results: Results, inputs: str | None = None) -> tuple[Config, str | None]:
    """The configuration with its inputs in the folder `inputs`, or where they can be found; where.

    A job names its inputs from the folder that it ran in: the nearest folder above the results
    that has all of them, where this folder has not.  Raises InputError if they are nowhere.
    """
    config = job_config(results)
    places = [None, *map(str, results.path.resolve().parents)] if inputs is None else [inputs]
    for place in places:
        with contextlib.suppress(InputError, ConfigError):
            found = moved_config(config, place)
            find_inputs(found)
            return found, place
    names = ", ".join(path for group in config.input for path in group.prep3)
    where = inputs or "this folder, nor in one above the results"
    raise InputError(
        f"{results.path}: its inputs ({names}) are not in {where}; name their folder by --inputs"
    )


def job_inputs(results: Results, inputs: str | None = None) -> list[InputFiles]:
    """The files of a job, found as `found_config` does."""
    return find_inputs(found_config(results, inputs)[0])


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


def rerun(
    results: Results, key: RunKey, trusted_engine: str = "", inputs: str | None = None
) -> tuple[Run, Config]:
    """Measure one run of a results file again, from its input and its seed.

    An engine from outside of this package is code that the file names and this process would run;
    that is done only if the caller trusts it by name.  `inputs`: the folder of the inputs, if they
    are not where the job found them.

    Raises InputError if it is not trusted, or the input no longer has the run or cannot be used.
    """
    config = job_config(results)
    if config.engine.name not in {*engines.ENGINES, trusted_engine}:
        raise InputError(
            f"{results.path}: names the engine {config.engine.name!r}, not one of this package; "
            "if you trust that code and its options in /jobs, have it run by --engine "
            f"{config.engine.name}"
        )
    config, _ = found_config(results, inputs)
    for planned in planned_runs(config):
        if planned.key == key:
            engines.require(config.engine.name)
            photometer = Photometer(config.engine.create(), config.policy(), config.seed)
            run = photometer.run(planned.target, planned.key)
            if run.posterior is None:
                raise InputError(f"{key}: no draws: {run.error}")
            return run, config
    raise InputError(f"{key}: the input of {results.path} no longer has this run")
