"""What happened in a job: counts, failures, and the runs to look at, from one pass over a file.

Every table is read a chunk at a time and only counts are kept, so that memory
does not grow with the number of runs.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import numpy as np

from ..catalog.outcome import Flag
from ..files.results import Results
from .groups import groups

WORST = 5
# Edges of the histogram of seconds per run; its quantiles are good to half a bin, 1 %.
SECONDS = np.geomspace(1e-6, 1e6, 1201)
# The columns that are counted: to read no others takes a third of the time off.
_OF_RUNS = ("level", "band", "outcome", "flags", "seconds", "attempts")
_OF_PHOTOMETRY = ("n_draws", "rhat", "noise")


class Alike(NamedTuple):
    """Failures whose type and message differ in numbers only: how many, and the first of them."""

    n: int
    where: str
    type: str
    message: str
    traceback: str


class Summary(NamedTuple):
    """Counts of a job, and the rows to look at.

    runs : runs by (level, band, outcome's code), the worst outcome of the run's rows
    flags : runs by flag
    n_retried : runs that were sampled more than once
    failures : the most frequent first
    seconds : (1200,) runs by time, in bins of SECONDS; total_seconds is their sum
    slowest : rows of /runs, the slowest first
    worst : rows of /photometry, those with the largest r-hat first, or if the
        engine has no draws those with the largest noise
    """

    n_runs: int
    n_rows: int
    runs: Counter[tuple[str, str, int]]
    flags: Counter[Flag]
    n_retried: int
    failures: list[Alike]
    seconds: np.ndarray
    total_seconds: float
    slowest: np.ndarray
    worst: np.ndarray
    jobs: np.ndarray
    ranks: np.ndarray

    def seconds_quantile(self, q: float) -> float:
        """The time below which a fraction q of the runs stayed, in s; NaN without runs."""
        if not self.n_runs:
            return np.nan
        below = np.cumsum(self.seconds)
        i = int(np.searchsorted(below, q * below[-1]))
        return float(np.sqrt(SECONDS[i] * SECONDS[i + 1]))


def summarize(results: Results) -> Summary:
    """Read a whole results file, finished or not."""
    runs: Counter = Counter()
    flags: Counter = Counter()
    seconds, total, retried = np.zeros(len(SECONDS) - 1, int), 0.0, 0
    slowest = _Largest()
    for chunk in results.chunks("runs", columns=_OF_RUNS):
        for key, mine in groups(chunk, ("level", "band", "outcome")):
            runs[key] += int(mine.sum())
        for flag in Flag:
            flags[flag] += int(np.count_nonzero(chunk["flags"] & int(flag)))
        spent = np.nan_to_num(chunk["seconds"].astype(float))
        inside = np.clip(spent, *SECONDS[[0, -1]])
        seconds += np.histogram(np.log(inside), len(seconds), np.log(SECONDS[[0, -1]]))[0]
        total += float(spent.sum())
        retried += int(np.count_nonzero(chunk["attempts"] > 1))
        slowest.add(chunk["seconds"])
    unconverged, uncertain = _Largest(), _Largest()
    for chunk in results.chunks("photometry", columns=_OF_PHOTOMETRY):
        unconverged.add(np.where(chunk["n_draws"] > 0, chunk["rhat"], np.nan))
        uncertain.add(chunk["noise"])
    worst = unconverged if len(unconverged.places) else uncertain
    return Summary(
        len(results),
        results.n_rows("photometry"),
        runs,
        +flags,
        retried,
        alike(results),
        seconds,
        total,
        results.at("runs", slowest.places),
        results.at("photometry", worst.places),
        results.table("jobs"),
        results.table("ranks"),
    )


class _Largest:
    """The places of the WORST largest finite values of a column that comes in chunks."""

    def __init__(self):
        self._seen = 0
        self._values, self.places = np.zeros(0), np.zeros(0, int)

    def add(self, values: np.ndarray) -> None:
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > WORST:
            rows = rows[np.argpartition(values[rows], -WORST)[-WORST:]]
        both = np.concatenate([self._values, values[rows]])
        order = np.argsort(-both, kind="stable")[:WORST]
        self._values = both[order]
        self.places = np.concatenate([self.places, rows + self._seen])[order]
        self._seen += len(values)


_NUMBER = re.compile(r"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?")


def alike(results: Results) -> list[Alike]:
    """All failures, those whose type and message differ in numbers only as one."""
    groups: dict[tuple[str, str], Alike] = {}
    for chunk in results.chunks("failures", 10_000):
        for row in chunk[["where", "type", "message", "traceback"]].tolist():
            key = (row[1], _NUMBER.sub("…", row[2]))
            group = groups.get(key)
            groups[key] = group._replace(n=group.n + 1) if group else Alike(1, *row)
    return sorted(groups.values(), key=lambda group: -group.n)
