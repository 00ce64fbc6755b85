"""`mpiapp merge`: the results of shards become one file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .joining import Joined, other_tables
from .parts import list_parts, remove_leftover
from .results import ResultsError, open_results, readable, work_path
from .retry import Retry
from .schema import OPTIONAL, Batch
from .writer import Writer


class Merged(NamedTuple):
    """The outcome of a merge.

    Attributes
    ----------
    path : Path
        The merged file; with gaps its folder of parts, for a job to resume.
    gaps : list of str
        What is missing, a line each.
    outcomes : (n_runs,) array
        Outcome codes of all runs.
    already : bool
        Whether the file was there, with all runs of the shards.
    """

    path: Path
    n_runs: int
    gaps: list[str]
    outcomes: np.ndarray
    already: bool = False


class _Source(NamedTuple):
    """One file of a merge; `ids` and `outcomes` are of its runs."""

    path: Path
    ids: np.ndarray
    outcomes: np.ndarray
    jobs: np.ndarray
    inputs: np.ndarray

    @classmethod
    def of(cls, path: Path) -> _Source:
        """Read it from a file or a folder of parts."""
        ids, outcomes = [np.empty(0, "u8")], [np.empty(0, "i2")]
        with open_results(path) as results:
            for runs in results.chunks("runs", columns=("run_id", "outcome")):
                ids.append(runs["run_id"].copy())
                outcomes.append(runs["outcome"].copy())
            tables = results.table("jobs"), results.table("inputs")
        return cls(path, np.concatenate(ids), np.concatenate(outcomes), *tables)


def merge(
    out: str | Path, shards: Sequence[str | Path], *, force: bool = False, retry: bool = False
) -> Merged:
    """Join the results of all shards, finished or not, into `out`.

    Nothing is done if `out` has all their runs already, as after an earlier merge.
    With gaps the result is left in the folder of parts of `out`, which `mpiapp run
    --resume` completes, or a later merge replaces.  With `retry` what failed is left out, and so
    is a gap.

    Raises
    ------
    ResultsError
        If `out` exists without them, or a job has gone on with its parts; if a run is in two
        files; or if the files have different configurations or saw different inputs, unless
        `force`.
    """
    out = Path(out)
    work = work_path(out)
    paths = sorted({Path(path) for path in shards})
    for path in (out, *paths):
        if path.is_file():
            remove_leftover(path)
    sources = [_Source.of(path) for path in paths if path.suffix != ".parts" or path.exists()]
    if out.exists() and not retry and (done := _merged_already(out, sources)):
        return done
    if os.path.lexists(out):
        raise ResultsError(f"{out}: exists already; move it or remove it first")
    _check_parts(work, sources)
    _check_keys(sources)
    if not force:
        _check_origin(sources)
    again = Retry([source.path for source in sources]) if retry else None
    gaps = _gaps(sources) + (again.gaps if again else [])
    writer = Writer(work, resume=True, again="merge again")
    try:
        with writer.joining() as joined:
            _join(joined, sources, again)
        path = writer.replace_parts() if gaps else writer.name(out)
    except BaseException:
        writer.give_up()
        raise
    if again:
        with open_results(path) as results:
            outcomes = results.column("runs", "outcome")
    else:
        outcomes = np.concatenate([source.outcomes for source in sources])
    return Merged(path, len(outcomes), gaps, outcomes)


def _merged_already(out: Path, sources: Sequence[_Source]) -> Merged | None:
    there = _Source.of(out)
    if all(np.isin(source.ids, there.ids).all() for source in sources):
        return Merged(out, len(there.ids), [], there.outcomes, already=True)
    return None


def _check_parts(work: Path, sources: Sequence[_Source]) -> None:
    """A merge replaces parts that a merge has left, but none of a job that went on with them."""
    if not work.is_dir() or not list_parts(work):
        return
    jobs = {_origin(job) for source in sources for job in source.jobs}
    if any(source.path == work for source in sources):
        raise ResultsError(f"{work}: is of the output itself; give another output")
    with open_results(work) as results:
        if any(_origin(job) not in jobs for job in results.table("jobs")):
            raise ResultsError(
                f"{work}: exists already, with a job that none of these files has; continue it "
                "with --resume, or move it or remove it first"
            )


def _origin(job: np.void) -> tuple:
    """The identity of a job."""
    return tuple(job[name] for name in ("started", "command", "ranks", "config_hash"))


def _check_keys(sources: Sequence[_Source]) -> None:
    ids = np.concatenate([source.ids for source in sources])
    origin = np.repeat(np.arange(len(sources), dtype="i4"), [len(s.ids) for s in sources])
    order = np.argsort(ids, kind="stable")
    ids, origin = ids[order], origin[order]
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if len(twice):
        i = twice[0]
        raise ResultsError(
            f"{len(twice)} runs are in two files, the first with run_id {ids[i]} in "
            f"{sources[origin[i]].path} and {sources[origin[i + 1]].path}; leave one of them out"
        )


def _check_origin(sources: Sequence[_Source]) -> None:
    """All from one configuration and the same inputs."""
    first: tuple[Path, str] | None = None
    digests: dict[str, tuple[Path, str]] = {}
    for path, _, _, jobs, inputs in sources:
        for job in jobs:
            first = first or (path, job["config_hash"])
            if job["config_hash"] != first[1]:
                raise ResultsError(
                    f"{path}: another configuration than that of {first[0]}; leave it out, or "
                    "merge with --force"
                )
        for row in inputs:
            other, digest = digests.setdefault(row["path"], (path, row["digest"]))
            if digest != row["digest"]:
                raise ResultsError(
                    f"{path}: {row['path']} was another file than in {other}; leave it out, or "
                    "merge with --force"
                )


def _gaps(sources: Sequence[_Source]) -> list[str]:
    gaps, parts = [], {}
    for source in sources:
        path, n_runs = source.path, len(source.ids)
        if not len(source.jobs):
            gaps.append(f"{path}: no job has got as far as its work list")
            continue
        with readable(path, "/jobs"):
            planned = _planned(source.jobs)
            for number, total in (map(int, shard.split("/")) for shard in planned if shard):
                parts.setdefault(total, set()).add(number)
        if n_runs < sum(planned.values()):
            gaps.append(f"{path}: {n_runs} of {sum(planned.values())} runs")
    for total, numbers in parts.items():
        missing = sorted(set(range(1, total + 1)) - numbers)
        gaps += [f"shard {number}/{total} is missing" for number in missing]
    return gaps


def _planned(jobs: np.ndarray) -> dict[str, int]:
    """Runs of every part that a file has; of a merged file these are several, until it is resumed.

    The part "" is the whole work list.
    """
    last = jobs[-1]
    rows = jobs if last["shard"] else [last]
    return {row["shard"]: int(row["planned"]) for row in rows}


def _join(joined: Joined, sources: Sequence[_Source], again: Retry | None) -> None:
    numbers = _job_numbers(sources)
    left_out: dict[Path, set[int]] = {}
    names: dict[str, None] = {}
    for source, new in zip(sources, numbers):

        def changed(batch: Batch, new=new, path=source.path) -> Batch:
            batch = again.kept(batch) if again else batch
            batch.runs["job"] = _renumbered(batch.runs["job"], new, path)
            return batch

        is_same = not again and all(old == number for old, number in new.items())
        with open_results(source.path) as results:
            joined.add_runs(results, None if is_same else changed)
            left_out[source.path] = again.ids(results) if again else set()
            names |= dict.fromkeys(other_tables(results))

    def chunks(name: str) -> Iterator[np.ndarray]:
        known: set[tuple] = set()
        for source, new in zip(sources, numbers):
            with open_results(source.path) as results:
                whole = [results.table("jobs")] if name == "jobs" else results.chunks(name)
                for rows in whole:
                    if "job" in rows.dtype.names:
                        rows["job"] = _renumbered(rows["job"], new, source.path)
                    yield rows[_is_new(rows, name, known, left_out[source.path], again)]

    for name in names:
        joined.add_table(name, lambda name=name: chunks(name))


def _is_new(
    rows: np.ndarray, name: str, known: set[tuple], left_out: set[int], again: Retry | None
) -> np.ndarray:
    """(n,) which rows are kept: inputs and bad inputs once, and none of runs that are left out."""
    if name in OPTIONAL:
        return ~np.isin(rows["run_id"], np.array([*left_out], "u8"))
    keep = np.ones(len(rows), bool)
    for i, row in enumerate(rows):
        if name == "inputs":
            if again:
                row["digest"] = again.digests.get(row["path"], row["digest"])
            key = row["path"], row["digest"]
        elif name == "failures" and not row["run_id"]:
            key = row["where"], row["message"]
        else:
            keep[i] = name in ("jobs", "ranks") or row["run_id"] not in left_out
            continue
        keep[i] = key not in known and (name == "inputs" or 0 not in left_out)
        known.add(key)
    return keep


def _job_numbers(sources: Sequence[_Source]) -> list[dict[int, int]]:
    """The number of each source's jobs in the merged file: their own, unless two have the same."""
    numbers = [source.jobs["job"].tolist() for source in sources]
    every = [number for own in numbers for number in own]
    if len(set(every)) == len(every):
        return [{number: number for number in own} for own in numbers]
    start = np.cumsum([0, *map(len, numbers)]).tolist()
    return [{n: first + i for i, n in enumerate(own)} for first, own in zip(start, numbers)]


def _renumbered(jobs: np.ndarray, new: dict[int, int], path: Path) -> np.ndarray:
    out = jobs.copy()
    for number in np.unique(jobs).tolist():
        if number not in new:
            raise ResultsError(f"{path}: rows of job {number}, which /jobs lacks; restore the file")
        out[jobs == number] = new[number]
    return out
