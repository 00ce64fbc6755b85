"""`mpiapp show`: what happened in a job, on one screen; what failed, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
from astropy.table import Table

from ..catalog.outcome import outcome_text
from ..catalog.quantities import LEVELS, in_order
from ..files.results import Results, readable
from .summary import Summary, alike, summarize
from .text import duration, lay_out, number, printable, text

_JOBS = 4
_GROUPS = 5
_MESSAGE = 100


def job_table(results: Results) -> str:
    """Runs by level, band and outcome, flags, failures, and the runs to look at."""
    done = summarize(results)
    runs, slowest = runs_table(done.runs), slowest_table(done)
    parts = [head(results, done), _text(runs), flags(done), failures(done)]
    parts += [f"{times(done)}\n{_text(slowest)}" if done.n_runs else "", _text(worst_table(done))]
    return printable("\n\n".join(part for part in parts if part))


def _text(table: Table) -> str:
    return lay_out(table) if len(table) else ""


def head(results: Results, done: Summary) -> str:
    """The size of the file, and a line for each of its last jobs."""
    lines = [f"{results.path}: {done.n_runs} runs, {done.n_rows} rows of photometry"]
    if len(done.jobs) > _JOBS:
        lines.append(f"{len(done.jobs) - _JOBS} earlier jobs")
    with readable(results.path, "/jobs, columns config and ranks"):
        for job in done.jobs[-_JOBS:]:
            ranks, config = json.loads(job["ranks"]), json.loads(job["config"])
            hosts = sorted({str(rank["host"]) for rank in ranks})
            where = hosts[0] if len(hosts) == 1 else f"{len(hosts)} hosts"
            words = [f"job {job['job']}: {job['exit_reason'] or 'running or killed'}"]
            if job["wall_seconds"] > 0:
                words.append(f"took {duration(job['wall_seconds'])} from {job['started']}")
            else:
                words.append(f"since {job['started']}")
            words.append(f"{len(ranks)} rank{'s' * (len(ranks) != 1)} on {where}")
            words.append(f"engine {config['engine']['name']}")
            words.append(f"{job['planned']} runs planned")
            words += [f"shard {job['shard']}"] if job["shard"] else []
            lines.append(", ".join(words))
    return "\n".join(lines)


def runs_table(runs: Counter[tuple[str, str, int]]) -> Table:
    """Runs: a row per level and outcome, a column per band."""
    bands = in_order({band for _, band, _ in runs})
    rows = []
    for level in levels_of(runs):
        for outcome in sorted({o for of, _, o in runs if of == level}):
            n = [runs[level, band, outcome] for band in bands]
            rows.append((level, outcome_text(outcome), *n, sum(n)))
    return Table(rows=rows or None, names=("level", "outcome", *bands, "runs"))


def levels_of(runs: Iterable[tuple[str, str, int]]) -> list[str]:
    """The levels of runs in the order of the catalog, others after these."""
    found = {level for level, _, _ in runs}
    return sorted(found, key=[*LEVELS, *sorted(found)].index)


def flags(done: Summary) -> str:
    """The flags of runs, and how many were sampled more than once; empty if none."""
    lines = []
    if done.flags:
        found = (f"{flag.text} {n}" for flag, n in done.flags.most_common())
        lines.append(f"flags of runs: {', '.join(found)}")
    if done.n_retried:
        lines.append(f"sampled more than once: {done.n_retried} runs (/attempts says why)")
    return "\n".join(lines)


def failures(done: Summary) -> str:
    """The most frequent failures."""
    if not done.failures:
        return "nothing failed"
    lines = [f"{sum(group.n for group in done.failures)} failures (--failures shows all of them)"]
    for group in done.failures[:_GROUPS]:
        said = " ".join(f"{group.type}: {group.message}".split())
        said = said if len(said) <= _MESSAGE else said[: _MESSAGE - 1] + "…"
        lines.append(f"  {group.n} x {said} (first: {group.where})")
    if len(done.failures) > _GROUPS:
        lines.append(f"  and {len(done.failures) - _GROUPS} more messages")
    return "\n".join(lines)


def _key(row: np.void) -> str:
    names = ("level", "target", "band", "aperture", "quantity")
    return " ".join(text(row[name]) for name in names)


def times(done: Summary) -> str:
    """How long runs took."""
    median, most = (duration(done.seconds_quantile(q)) for q in (0.5, 0.99))
    total = duration(done.total_seconds)
    return f"time per run: median {median}, 99 % below {most}, all together {total}"


def slowest_table(done: Summary) -> Table:
    """The slowest runs."""
    rows = [
        (duration(float(r["seconds"])), _key(r), r["n_sources"], r["n_obsids"], r["attempts"],
         r["rank"], text(r["host"]))
        for r in done.slowest
    ]  # fmt: skip
    names = ("took", "slowest runs", "sources", "obsids", "attempts", "rank", "host")
    return Table(rows=rows or None, names=names)


def worst_table(done: Summary) -> Table:
    """The rows that converged least."""
    rows = [
        (number(float(r["rhat"])) if r["n_draws"] > 0 else "", f"{r['noise']:.3f}", _key(r),
         text(r["component"]), outcome_text(r["outcome"]))
        for r in done.worst
    ]  # fmt: skip
    names = ("rhat", "noise", "least converged", "component", "outcome")
    return Table(rows=rows or None, names=names)


def failures_table(results: Results) -> str:
    """All failures with a traceback; failures whose messages differ in numbers only appear once."""
    groups = alike(results)
    if not groups:
        return f"{results.path}: nothing failed"
    lines = []
    for group in groups:
        others = f" (and {group.n - 1} more like it)" if group.n > 1 else ""
        lines.append(f"{group.where}: {group.type}: {group.message}{others}")
        lines += ["    " + line for line in group.traceback.splitlines()]
    return printable("\n".join(lines))
