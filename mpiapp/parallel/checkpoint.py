"""Continuing where another job ended: its configuration, its inputs, and the runs that are left.

The parts are the only state.  A run is done when it stands in /runs; what is
left is the work list minus those (`shares.Done`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..config import Config, decisive
from ..files.parts import list_parts, remove_leftover
from ..files.results import ResultsError, open_results, readable, work_path
from ..files.writer import Writer
from .shares import Shard


def open_work_file(config: Config, final: Path, *, resume: bool, force: bool) -> Writer | None:
    """The parts of a new job, or of an earlier job with the same configuration.

    Returns None if the job that is to be resumed is complete already.

    Raises
    ------
    ResultsError
        If there are results and `resume` is not set, or they were made with another configuration
        (unless `force`) or by another version's schema, or a name is a link to nothing.
    """
    work = work_path(final)
    _check_final(final, resume)
    if not resume and work.is_dir() and list_parts(work):
        raise ResultsError(
            f"{work}: exists already, from a job that did not end; continue it with --resume, "
            "or move it or remove it first"
        )
    earlier = final.with_name(f"{final.name}.part")  # until schema 4
    if resume and earlier.exists() and not final.exists() and not work.is_dir():
        raise ResultsError(
            f"{earlier}: from a job of an earlier version, which this one cannot continue; "
            "continue it with that version, or measure everything anew without --resume"
        )
    if final.exists():
        remove_leftover(final)
        with open_results(final) as results:
            _same_config(config, results.table("jobs"), final, force)
        return None
    writer = Writer(
        work,
        resume=True,
        batch_runs=config.output.batch_runs,
        flush_seconds=config.output.flush_seconds,
    )
    try:
        # A job that had the lock until now may just have completed it.
        _check_final(final, resume=False)
        _same_config(config, writer.table("jobs"), work, force)
    except BaseException:
        writer.give_up()
        raise
    return writer


def next_job(jobs: np.ndarray, shard: Shard | None) -> int:
    """The next number of a job in its file, which no other shard has.

    The first jobs of N shards are 0 to N − 1, so that merging them changes no row.
    """
    first, step = (shard.number - 1, shard.total) if shard else (0, 1)
    n_before = max(jobs["job"].tolist(), default=-1) + 1
    return first + step * max(0, -((first - n_before) // step))


def _check_final(final: Path, resume: bool) -> None:
    if final.exists() and not resume:
        raise ResultsError(f"{final}: exists already; move it or remove it first")
    for path in (final, work_path(final)):
        if path.is_symlink() and not path.exists():
            raise ResultsError(f"{path}: is a link to a file that is not there; remove the link")
    if final.is_dir():
        raise ResultsError(f"{final}: a folder; give the name of a file")


def _same_config(config: Config, jobs: np.ndarray, path: Path, force: bool) -> None:
    for job in jobs:
        if job["config_hash"] != config.hash() and not force:
            with readable(path, "/jobs, column config"):
                old, new = json.loads(job["config"]), config.model_dump(mode="json")
                changed = _differences(decisive(old), decisive(new))
            raise ResultsError(
                f"{path}: job {job['job']} had another configuration ({'; '.join(changed)}); "
                "restore it, or give a new output, or mix both with --force"
            )


def _differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """The settings that differ, as "key: old, now new"."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a!r}, now {b!r}")
    return found


def check_inputs(
    writer: Writer, inputs: Sequence[tuple[str, str]], *, force: bool
) -> list[tuple[str, str]]:
    """The inputs that the file does not know yet, of the (path, digest) that this job has found.

    Raises
    ------
    ResultsError
        If a file has changed, appeared or gone since an earlier job, unless `force`.
    """
    rows = writer.table("inputs")
    known = dict(zip(rows["path"], rows["digest"]))
    new = [(path, digest) for path, digest in inputs if known.get(path) != digest]
    gone = known.keys() - dict(inputs).keys()
    if known and (new or gone) and not force:
        path = new[0][0] if new else min(gone)
        what = "is gone" if not new else "has changed" if path in known else "is new"
        raise ResultsError(
            f"{path}: this input {what} since job {rows['job'].max()} wrote {writer.path} "
            f"({len(new) + len(gone)} such files); restore it, or continue with --force"
        )
    return new
