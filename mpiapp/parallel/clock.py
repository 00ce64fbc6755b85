"""Where a rank's time goes."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from .. import provenance
from ..stopwatch import timed


class Clock:
    """The stopwatch of one rank; `runs` counts the runs that it has done."""

    def __init__(self, rank: int = 0):
        self.rank = rank
        self.host = provenance.host().encode("ascii", "replace")[:32]
        self.runs = 0
        self._seconds = dict.fromkeys(("scan", "measure", "write", "idle"), 0.0)
        self.ready()

    def ready(self) -> None:
        """Starting up is over."""
        self._startup = provenance.process_seconds()
        self._since = time.perf_counter()

    def busy(self, what: str) -> AbstractContextManager[None]:
        """Count the time of the block as spent on "scan", "measure", "write" or "idle"."""
        return timed(self._seconds, what)

    def row(self) -> dict:
        """The columns of this rank in /ranks, without the job.

        Uncounted time is dispatch on rank 0 of several, and idle on a worker.
        """
        spent = dict(self._seconds)
        left = max(0.0, time.perf_counter() - self._since - sum(spent.values()))
        spent["dispatch"] = left if spent["idle"] else 0.0
        spent["idle"] += left - spent["dispatch"]
        row = {"rank": self.rank, "host": self.host, "runs": self.runs, "startup": self._startup}
        return row | spent | {"rss": provenance.peak_memory()}
