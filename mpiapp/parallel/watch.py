"""Rank 0's eye on the job: when to stop, which rank no longer answers, and how far it is."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager

import numpy as np

from ..config import Limits
from ..files.schema import Batch
from .board import STOP, At, Board
from .checkpoint import Done
from .clock import Clock
from .dispatch import Lost, Parcel
from .progress import Progress, say
from .stop import Stop

# A rank that is so much longer at a run than the limit, and did not end it by
# itself, is inside one call of compiled code and will not answer any more.
_OVERDUE_SHARE, _OVERDUE_SECONDS = 1.25, 5.0

# Whatever else a rank does, it does not take so long.
_SILENT_SECONDS = 300.0

_LOOK_SECONDS = 0.2

# A run in flight for so long is named in the progress lines.
_LONG_SECONDS = 10.0


class Watch:
    """Controls `stream` over parcels.

    Parameters
    ----------
    give_up : callable
        Given a parcel's targets and where its rank is, the row of the run it is at.

    Attributes
    ----------
    stuck : set of int
        The ranks that do not answer any more, or are not waited for: they would keep
        the pool from closing.
    """

    def __init__(
        self,
        board: Board,
        stop: Stop,
        clock: Clock,
        limits: Limits,
        n_workers: int,
        give_up: Callable[[Sequence, At], Batch],
    ):
        self.board = board
        self.stop = stop
        self.clock = clock
        self.n_workers = n_workers
        self.give_up = give_up
        limit = limits.run_seconds
        self.overdue = max(_OVERDUE_SHARE * limit, limit + _OVERDUE_SECONDS)
        self.stuck: set[int] = set()
        self._numbers = itertools.count(1)
        self._sent: dict[int, float] = {}
        self._hung: set[str] = set()
        self._progress: Progress | None = None
        self._looked = 0.0
        self._told = False

    def parcel(self, content: Sequence) -> Parcel:
        """Content with a number of its own, by which its worker is known."""
        return Parcel(next(self._numbers), content)

    def progress(self, total: int, done: int) -> Progress:
        """The progress of the job, told from now on that time goes by."""
        self._progress = Progress(total, done, note=self.oldest)
        return self._progress

    def idle(self) -> AbstractContextManager:
        return self.clock.busy("idle")

    def stopping(self) -> bool:
        if self.stop.poll(self.board.asked):
            if not self._told:
                say(f"mpiapp: stopping: {self.stop.reason}")
                self.board.tell(STOP)
                self._told = True
            return True
        if self._progress is not None:
            self._progress.tick()
        return False

    def giving_up(self, under_way: Mapping[Future, Parcel]) -> bool:
        if len(self.stuck) < self.n_workers and not self.stop.out_of_patience:
            return False
        for _, at in self._holders(under_way):
            self.stuck.add(at.rank)
            say(f"mpiapp: not waited for: {at}")
        return True

    def lost(self, under_way: Mapping[Future, Parcel]) -> list[Lost]:
        """The parcels of ranks that no longer answer; what is left of them goes elsewhere."""
        found, now = [], time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return found
        self._looked = now
        for parcel, at in self._holders(under_way):
            limit = self.overdue if at.run_id else max(self.overdue, _SILENT_SECONDS)
            if at.seconds > limit and at.rank not in self.stuck:
                self.stuck.add(at.rank)
                found.append(self._lose(parcel, at))
        if len(self.stuck) == self.n_workers:
            self.stop.ask("no worker answers any more")
        return found

    def _holders(self, under_way: Mapping[Future, Parcel]) -> list[tuple[Parcel, At]]:
        """The parcels that have been sent, and the ranks that have them.

        One that nobody has begun is with the rank that has had nothing for longest.
        """
        now = time.monotonic()
        numbers = {parcel.number for parcel in under_way.values()}
        sent = [parcel for future, parcel in under_way.items() if future.running()]
        self._sent = {parcel.number: self._sent.get(parcel.number, now) for parcel in sent}
        at_work, free = {}, []
        for at in self.board.workers():
            if at.parcel in numbers:
                at_work[at.parcel] = at
            elif at.rank not in self.stuck:
                free.append(at)
        found = []
        for parcel in sent:
            if parcel.number in at_work:
                found.append((parcel, at_work[parcel.number]))
            elif free:
                at = free.pop(0)
                seconds = min(at.seconds, now - self._sent[parcel.number])
                found.append((parcel, at._replace(state="waiting for work", seconds=seconds)))
        return found

    def _lose(self, parcel: Parcel, at: At) -> Lost:
        if at.run_id:
            say(f"mpiapp: {at}, does not answer: recorded as failed")
            rest = Done(np.array([at.run_id], np.uint64)).remaining(parcel.content)
            return Lost(parcel, self.give_up(parcel.content, at), rest and self.parcel(rest))
        say(f"mpiapp: {at}, does not answer: its work goes to another rank")
        if at.name in self._hung:
            self.stop.ask(f"two ranks do not come back: {at}")
        elif at.name:
            self._hung.add(at.name)
        return Lost(parcel, None, self.parcel(parcel.content))

    def oldest(self) -> str:
        """What has been under way longest, if it has been for long."""
        for at in self.board.workers():
            if at.name and at.rank not in self.stuck and at.seconds > _LONG_SECONDS:
                return str(at)
        return ""
