"""`mpiapp timing`: the memo's Table 4, where the ranks' time went, and scaling."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..files.results import open_results, readable
from ..files.schema import PHASES
from .scaling import SPENT, no_scaling, scaling_of, scaling_table
from .text import lay_out, number, text


def timing_tables(paths: Sequence[str | Path]) -> str:
    """Table 4 of all the files together, its phases, the jobs, their ranks, and how they scale."""
    groups: dict[tuple[str, str, str], list[np.ndarray]] = defaultdict(list)
    jobs, ranks = [], []
    for path in paths:
        with open_results(path) as results:
            runs, own_ranks = results.table("runs"), results.table("ranks")
            own_jobs = results.table("jobs")
        name = Path(path).name
        jobs += [(name, job, own_ranks[own_ranks["job"] == job["job"]]) for job in own_jobs]
        ranks += _ranks_rows(name, runs, own_ranks)
        kind = np.where(runs["n_obsids"] > 1, "multi-obsid", "single-obsid")
        for key in sorted(set(zip(runs["host"].tolist(), runs["engine"].tolist(), kind.tolist()))):
            host, engine, k = key
            chosen = (runs["host"] == host) & (runs["engine"] == engine) & (kind == k)
            groups[text(host), text(engine), k].append(runs[chosen])
    parts = [_table_4(groups), "Mean seconds per run in each phase", _phases(groups)]
    parts += ["Jobs", _jobs_table(jobs)]
    if ranks:
        parts += [
            "Where the ranks' time went, in % of it",
            lay_out(Table(rows=ranks, names=_RANKS)),
        ]
    if not no_scaling(scaling := scaling_of(paths)):
        parts += ["Scaling", scaling_table(scaling)]
    return "\n\n".join(parts)


def _table_4(groups: dict[tuple, list[np.ndarray]]) -> str:
    rows = []
    for key, parts in sorted(groups.items()):
        seconds = np.concatenate([runs["seconds"] for runs in parts]).astype(float)
        quartiles = np.percentile(seconds, [25, 50, 75])
        rows.append((*key, len(seconds), *(number(v, 3) for v in (seconds.mean(), *quartiles))))
    names = ("Machine", "Engine", "Type of Stack", "Number of Runs", "Time per Run (s)")
    return lay_out(Table(rows=rows or None, names=(*names, "25 %", "median", "75 %")))


def _phases(groups: dict[tuple, list[np.ndarray]]) -> str:
    rows = []
    for key, parts in sorted(groups.items()):
        runs = np.concatenate(parts)
        rows.append((*key, *(number(float(runs[phase].mean()), 3) for phase in PHASES)))
    return lay_out(Table(rows=rows or None, names=("Machine", "Engine", "Type of Stack", *PHASES)))


def _jobs_table(jobs: list[tuple[str, np.void, np.ndarray]]) -> str:
    rows = []
    for name, job, ranks in jobs:
        with readable(Path(name), "/jobs, column ranks"):
            found = json.loads(job["ranks"])
            hosts = ", ".join(sorted({rank["host"] for rank in found}))
            cpu = found[0]["cpu"] if found else ""
        startup = number(float(ranks["startup"].max()), 3) if len(ranks) else ""
        rows.append(
            (name, int(job["job"]), len(found), hosts, cpu, number(job["wall_seconds"], 3), startup,
             job["exit_reason"] or "killed")
        )  # fmt: skip
    names = ("File", "Job", "Ranks", "Hosts", "CPU", "Wall time (s)", "Start-up (s)", "Ended")
    return lay_out(Table(rows=rows or None, names=names))


_RANKS = (
    "File", "Job", "Role", "Ranks", "Total (s)", "idle", "dispatch", "scan", "read", "sample",
    "rest of runs", "write", "Slowest/mean", "Peak (MB)",
)  # fmt: skip


def _ranks_rows(name: str, runs: np.ndarray, ranks: np.ndarray) -> list[tuple]:
    """A row for rank 0 and one for all workers together, for each job that ended in order.

    "Slowest/mean" is the load imbalance: the longest time that a worker was busy over the mean.
    """
    rows = []
    for job in np.unique(ranks["job"]):
        own = ranks[ranks["job"] == job]
        serial = len(own) == 1
        for role, chosen in (("rank 0", own["rank"] == 0), ("workers", own["rank"] > 0)):
            members = own[chosen]
            if not len(members):
                continue
            spent = {what: float(members[what].sum()) for what in SPENT}
            total = sum(spent.values()) or 1.0
            theirs = runs[(runs["job"] == job) & np.isin(runs["rank"], members["rank"])]
            read = float(theirs["read"].sum(dtype=float))
            sample = float(theirs["sample"].sum(dtype=float))
            rest = max(0.0, spent["measure"] - read - sample)
            busy = members["measure"]
            shares = (
                spent["idle"], spent["dispatch"], spent["scan"], read, sample, rest, spent["write"],
            )  # fmt: skip
            rows.append(
                (name, int(job), "serial" if serial else role, len(members),
                 number(total / len(members), 3), *(f"{100 * s / total:.1f}" for s in shares),
                 f"{busy.max() / busy.mean():.2f}" if busy.mean() > 0 else "",
                 f"{members['rss'].max():.0f}")
            )  # fmt: skip
    return rows
