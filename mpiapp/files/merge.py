"""`mpiapp merge`: the results of shards become one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .results import Results, ResultsError, open_results, readable, work_path
from .retry import Retry
from .schema import Batch
from .writer import Writer, discard

_CHUNK_RUNS = 50_000


@dataclass(frozen=True)
class Merged:
    """What became of a merge.

    Attributes
    ----------
    path : Path
        The merged file: a work file to be resumed if there are gaps.
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


def merge(
    out: str | Path, shards: Sequence[str | Path], *, force: bool = False, retry: bool = False
) -> Merged:
    """Copy the rows of all shards into `out`, jobs and rows renumbered.

    Nothing is done if `out` has all their runs already, as after an earlier merge.
    With gaps the result is left as the work file of `out`, which `mpiapp run
    --resume` completes.  With `retry` what failed is left out, and so is a gap.

    Raises
    ------
    ResultsError
        If `out` exists without them; if a run is in two files; or if the files have different
        configurations or saw different inputs, unless `force`.
    """
    out = Path(out)
    work = work_path(out)
    paths = sorted({Path(path) for path in shards})
    if out.exists() and not retry and (done := _merged_already(out, paths)):
        return done
    for path in (out, work):
        if path.exists():
            raise ResultsError(f"{path}: exists already; move it or remove it first")
    _check_keys(paths)
    if not force:
        _check_origin(paths)
    again = Retry(paths) if retry else None
    gaps = _gaps(paths) + (again.gaps if again else [])
    # Merged under a third name, so that a merge that is killed is not taken for a job.
    merging = work.with_name(out.name + ".merging")
    discard(merging)
    writer = Writer(merging, batch_runs=_CHUNK_RUNS, again="merge again")
    final = work if gaps else out
    inputs: set[tuple[str, str]] = set()
    try:
        for path in paths:
            with open_results(path) as results:
                _copy(results, writer, inputs, again)
        writer.flush()
        outcomes = writer.column("outcome")
        writer.publish(final)
    except BaseException:
        writer.discard()
        raise
    return Merged(final, len(outcomes), gaps, outcomes)


def _column(path: Path, name: str) -> np.ndarray:
    """One column of /runs."""
    with open_results(path) as results:
        return results.column("runs", name)


def _merged_already(out: Path, paths: Sequence[Path]) -> Merged | None:
    ids = _column(out, "run_id")
    if all(np.isin(_column(path, "run_id"), ids).all() for path in paths):
        return Merged(out, len(ids), [], _column(out, "outcome"), already=True)
    return None


def _check_keys(paths: Sequence[Path]) -> None:
    ids, origin = [], []
    for i, path in enumerate(paths):
        with open_results(path) as results:
            found = results.column("runs", "run_id")
        ids.append(found)
        origin.append(np.full(len(found), i, "i4"))
    ids, origin = np.concatenate(ids), np.concatenate(origin)
    order = np.argsort(ids, kind="stable")
    ids, origin = ids[order], origin[order]
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if len(twice):
        i = twice[0]
        raise ResultsError(
            f"{len(twice)} runs are in two files, the first with run_id {ids[i]} in "
            f"{paths[origin[i]]} and {paths[origin[i + 1]]}; leave one of them out"
        )


def _check_origin(paths: Sequence[Path]) -> None:
    """All from one configuration and the same inputs."""
    first: tuple[Path, str] | None = None
    digests: dict[str, tuple[Path, str]] = {}
    for path in paths:
        with open_results(path) as results:
            jobs, inputs = results.table("jobs"), results.table("inputs")
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


def _gaps(paths: Sequence[Path]) -> list[str]:
    gaps, parts = [], {}
    for path in paths:
        with open_results(path) as results:
            jobs, n_runs = results.table("jobs"), len(results)
        if not len(jobs):
            gaps.append(f"{path}: no job has got as far as its work list")
            continue
        with readable(path, "/jobs"):
            planned = _planned(jobs)
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


def _copy(
    results: Results, writer: Writer, inputs: set[tuple[str, str]], again: Retry | None
) -> None:
    offset = len(writer.table("jobs"))
    for name in ("jobs", "ranks"):
        rows = results.table(name)
        rows["job"] += offset
        writer.add(name, [tuple(row) for row in rows])
    rows = results.table("inputs")
    for row in rows if again else ():
        row["digest"] = again.digests.get(row["path"], row["digest"])
    new = [row for row in rows if (row["path"], row["digest"]) not in inputs]
    inputs.update((row["path"], row["digest"]) for row in new)
    writer.add("inputs", [(row["job"] + offset, row["path"], row["digest"]) for row in new])
    known = {(row["run_id"], row["where"], row["message"]) for row in writer.table("failures")}
    left_out = again.ids(results) if again else ()
    for name in ("attempts", "failures"):
        rows = [tuple(row) for row in results.table(name) if row["run_id"] not in left_out]
        if name == "failures":
            rows = [row for row in rows if row[0] or (row[0], row[1], row[3]) not in known]
        writer.add(name, rows)
    start = n_mpdf = 0
    mpdf_rows = results.mpdf_rows()
    for runs in results.chunks("runs", _CHUNK_RUNS):
        stop = start + int(runs["n_rows"].sum())
        runs["job"] += offset
        upto = int(np.searchsorted(mpdf_rows, stop))
        mpdf = results.rows("mpdf", n_mpdf, upto)
        batch = Batch(results.rows("photometry", start, stop), runs, [], [], mpdf)
        writer.append(again.kept(batch) if again else batch)
        start, n_mpdf = stop, upto
