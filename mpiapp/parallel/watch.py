"""Rank 0's eye on the job: when to stop, which parcels are late, and how far it is.

Rank 0 knows when a worker got a parcel and when it is due.  What is late goes out again, to others,
run by run; a run that is late again gets its row as one that took too long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import AbstractContextManager

from ..catalog.worklist import Target
from ..config import Limits
from ..files.schema import Batch
from .calls import Answer, call_roll
from .clock import Clock
from .dispatch import TICK_SECONDS, Control, Late, Parcel
from .progress import Progress, say
from .shares import PARCEL_SECONDS
from .stop import Stop
from .world import name_ranks

# A worker that is so much longer at a run than the limit, and did not end it by itself, is inside
# one call of compiled code and may never answer.
_OVERDUE_SHARE, _OVERDUE_SECONDS = 1.25, 5.0
# Whatever a healthy rank does with a file, it does not take so long.
_SCAN_SECONDS = 300.0

_LOOK_SECONDS = 0.2

# A parcel that has been out for so long is named in the progress lines.
_LONG_SECONDS = 60.0


class Watch(Control):
    """Controls `stream` over parcels.

    Parameters
    ----------
    give_up : callable
        Given a target, the rows of its runs as those that took too long, for the reason given.
    """

    def __init__(
        self,
        executor: Executor,
        stop: Stop,
        clock: Clock,
        limits: Limits,
        clocks: Sequence[dict],
        give_up: Callable[[Target, str, float], Batch],
    ):
        super().__init__(stop)
        self.executor = executor
        self.clock = clock
        self.give_up = give_up
        limit = limits.run_seconds
        self._budget = min(2 * PARCEL_SECONDS, limit)
        self._overdue = max(_OVERDUE_SHARE * limit, limit + _OVERDUE_SECONDS)
        now = time.monotonic()
        # By rank: when it was heard of last, and its columns of /ranks as they were then.
        self._heard = {row["rank"]: (now, row) for row in clocks if row["rank"] or len(clocks) == 1}
        self._active = now
        self._since: dict[Future, float] = {}
        self._out: Mapping[Future, Parcel] = {}
        self._late: list[Future] = []
        self._progress: Progress | None = None
        self._looked = 0.0
        self._is_told = False
        self._roll: list[Future] = []

    @property
    def n_workers(self) -> int:
        return len(self._heard)

    def to_measure(self, targets: Sequence[Target], is_again: bool = False) -> Parcel:
        return Parcel(targets, self._budget, self._budget + self._overdue, is_again)

    def to_scan(self, paths: Sequence[str], is_again: bool = False) -> Parcel:
        seconds = max(self._overdue, _SCAN_SECONDS)
        return Parcel(paths, seconds, seconds, is_again)

    def progress(self, total: int, done: int) -> Progress:
        """The progress of the job, told from now on that time goes by."""
        self._progress = Progress(total, done, note=self._oldest)
        return self._progress

    def idle(self) -> AbstractContextManager:
        return self.clock.busy("idle")

    def stopping(self) -> bool:
        if self.stop.poll():
            if not self._is_told:
                say(f"mpiapp: stopping: {self.stop.reason}")
                self._is_told = True
                self._begin_roll()  # which tells idle ranks from lost ones
            return True
        if self._progress is not None:
            self._progress.tick()
        return False

    def received(self, answer: Answer) -> tuple[object, list[Parcel]]:
        if answer.reason:
            self.stop.heed(answer.signal, answer.reason)
        self._hear(answer)
        return answer.result, [self.to_measure(answer.rest)] if answer.rest else []

    def giving_up(self, under_way: Mapping[Future, Parcel]) -> bool:
        if not self.stop.out_of_patience:
            return False
        for future, parcel in under_way.items():
            if not future.done():
                say(f"mpiapp: not waited for: {self._whereabouts(future, parcel)}")
                self._late.append(future)
        return True

    def late(self, under_way: Mapping[Future, Parcel]) -> list[Late]:
        """The parcels that are due; their parts go out again, or are given up."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return []
        self._looked, self._out = now, under_way
        sent = [future for future in under_way if future.running()]
        for future in sent:
            if future not in self._since:
                self._since[future] = now
                future.add_done_callback(self._came_home)
        self._since = {future: self._since[future] for future in [*sent, *self._missing]}
        found = [
            self._lose(future, under_way[future])
            for future in sent
            if now - self._since[future] > under_way[future].due_seconds
        ]
        if sent:
            self._active = now
        elif now - self._active > max(self._overdue, _SCAN_SECONDS):
            self.stop.ask("no worker takes any work", 0.0)
        if len(self._missing) >= self.n_workers:
            self.stop.ask("no worker answers any more; resume with more ranks", 0.0)
        return found

    def clocks(self) -> list[dict]:
        """The columns of every rank in /ranks, without the job."""
        now = time.monotonic()
        rows = {0: self.clock.row()}
        for rank, (heard, row) in self._heard.items():
            if rank:
                rows[rank] = row | {"idle": row["idle"] + now - heard}
        return [rows[rank] for rank in sorted(rows)]

    @property
    def is_any_lost(self) -> bool:
        """Whether a rank has not come back, which would keep the pool from closing."""
        return bool(self._missing)

    def call_roll(self) -> None:
        """Wait until every worker has answered."""
        self._begin_roll()
        while pending := [call for call in self._roll if not call.done()]:
            wait(pending, timeout=TICK_SECONDS)  # a signal is noted between two waits

    def silent(self) -> list[int]:
        """The workers that have not answered the roll."""
        here = {call.result().rank for call in self._roll if call.done()}
        return [rank for rank in self._heard if rank not in here]

    def _begin_roll(self) -> None:
        """As many calls as workers: the pool gives each to the one that has been free longest."""
        if not self._roll and 0 not in self._heard:
            self._roll = [self.executor.submit(call_roll) for _ in range(self.n_workers)]
            for call in self._roll:
                call.add_done_callback(self._came_home)

    @property
    def _missing(self) -> list[Future]:
        """Parcels that are not waited for any more and whose worker has not come back."""
        return [future for future in self._late if not future.done()]

    def _hear(self, answer: Answer) -> None:
        self._heard[answer.rank] = time.monotonic(), answer.clock

    def _came_home(self, future: Future) -> None:
        """Called by the thread of the pool, at once."""
        if not future.cancelled() and not future.exception():
            self._hear(future.result())

    def _lose(self, future: Future, parcel: Parcel) -> Late:
        self._late.append(future)
        where = self._whereabouts(future, parcel)
        if not parcel.is_again:
            say(f"mpiapp: late, and given out again piece by piece: {where}")
            return Late(future, None, self._parts(parcel))
        (content,) = parcel.content
        if not isinstance(content, Target):
            self.stop.ask(f"twice not back in time: {where}")
            return Late(future, None, [parcel])
        say(f"mpiapp: late again, recorded as failed: {where}")
        seconds = time.monotonic() - self._since[future]
        return Late(
            future, self.give_up(content, "given out twice, and not back in time", seconds), []
        )

    def _parts(self, parcel: Parcel) -> Iterator[Parcel]:
        """A parcel for every run, or every file."""
        for content in parcel.content:
            if not isinstance(content, Target):
                yield self.to_scan([content], is_again=True)
                continue
            for matrix in content.matrices:
                yield self.to_measure([content._replace(matrices=(matrix,))], is_again=True)

    def _whereabouts(self, future: Future, parcel: Parcel) -> str:
        """Contents of a parcel, who may have it, and for how long."""
        if future not in self._since:
            return f"{_content(parcel)}, which no worker has begun"
        since = self._since[future]
        # A worker does one thing after the other: one that was heard of since has another.
        ranks = [rank for rank, (heard, _) in self._heard.items() if heard <= since]
        who = "one of " * (len(ranks) != 1) + name_ranks(ranks)
        return f"{_content(parcel)}, {who}, {time.monotonic() - since:.0f} s"

    def _oldest(self) -> str:
        """The parcel that has been out longest, if it has been for long."""
        out = [future for future in self._since if future in self._out and not future.done()]
        oldest = min(out, key=self._since.get, default=None)
        if oldest is None or time.monotonic() - self._since[oldest] < _LONG_SECONDS:
            return ""
        return self._whereabouts(oldest, self._out[oldest])


def _content(parcel: Parcel) -> str:
    first, n = parcel.content[0], len(parcel.content)
    if isinstance(first, Target):
        name, n = str(first.run_keys()[0]), sum(len(t.matrices) for t in parcel.content)
    else:
        name = f"scanning {first}"
    return name + (f" and {n - 1} more" if n > 1 else "")
