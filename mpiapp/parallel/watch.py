"""Rank 0's eye on the job: when to stop, and which rank no longer answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from ..catalog.worklist import Target
from ..config import Limits
from .board import Board
from .checkpoint import Done
from .dispatch import Lost
from .interrupt import Interrupt, StopFlag
from .progress import Progress
from .worker import Worker

# A rank that is so much longer at a run than the limit, and did not end it by
# itself, is inside one call of compiled code and will not answer any more.
_OVERDUE_SHARE, _OVERDUE_SECONDS = 1.25, 5.0

# A run in flight for so long is named in the progress lines.
_LONG_SECONDS = 10.0


class Watch:
    """Controls `stream`.

    Attributes
    ----------
    stuck : dict
        Run ids of the ranks that do not answer any more, by rank; 0 where it is no run.
    given_up : bool
        Whether there is work under way that nobody waits for any more: its ranks would
        keep the pool from closing.
    progress : Progress, optional
        Told now and then that time goes by.
    """

    def __init__(
        self,
        worker: Worker,
        board: Board,
        flag: StopFlag,
        interrupt: Interrupt,
        limits: Limits,
        n_workers: int,
    ):
        self.worker = worker
        self.board = board
        self.flag = flag
        self.interrupt = interrupt
        self.n_workers = n_workers
        limit = limits.run_seconds
        self.overdue = max(_OVERDUE_SHARE * limit, limit + _OVERDUE_SECONDS)
        self.stuck: dict[int, int] = {}
        self.given_up = False
        self._told = False
        self._turns, self._moved = 0, time.monotonic()
        self.progress: Progress | None = None

    def idle(self) -> AbstractContextManager:
        return self.worker.busy("idle")

    def stopping(self) -> bool:
        if self.interrupt.poll(self.flag.signal or self.board.asked):
            if not self._told:
                _say(f"stopping: {self.interrupt.reason}")
                self.board.stop()
                self._told = True
            return True
        if self.progress is not None:
            self.progress.tick()
        return False

    def giving_up(self) -> bool:
        if len(self.stuck) < self.n_workers and not self.interrupt.out_of_patience:
            return False
        self.given_up = True
        for run in self.board.in_flight():
            if run.rank in self.stuck:
                continue
            self.stuck[run.rank] = run.run_id
            _say(f"not waited for: {run.name}, rank {run.rank}, {run.seconds:.0f} s")
        return True

    def lost(self, payloads: Iterable[Sequence[Target]]) -> list[Lost]:
        """The runs of ranks that no longer answer; the rest of their parcels go elsewhere."""
        found = []
        for run in self.board.in_flight():
            if run.rank in self.stuck or run.rank == 0 or run.seconds < self.overdue:
                continue
            self.stuck[run.rank] = run.run_id
            if not run.run_id:
                where = f"rank {run.rank} has been {run.name} for {run.seconds:.0f} s"
                self.interrupt.ask(f"{where} and does not answer")
                continue
            one = Done(np.array([run.run_id], np.uint64))
            for payload in payloads:
                rest = one.remaining(payload)
                if _n_runs(rest) < _n_runs(payload):
                    batch = self.worker.give_up(payload, run)
                    found.append(Lost(payload, batch, rest))
                    _say(
                        f"rank {run.rank} has been at {run.name} for {run.seconds:.0f} s and does "
                        "not answer: recorded as failed"
                    )
        if len(self.stuck) == self.n_workers:
            self.interrupt.ask("no worker answers any more")
        self._look_for_silence(found)
        return found

    def _look_for_silence(self, found: Sequence[Lost]) -> None:
        """Work is under way: end the job if no rank has gone on for too long, whatever it is at."""
        now, turns = time.monotonic(), self.board.turns()
        if turns != self._turns or found:
            self._turns, self._moved = turns, now
        elif now - self._moved > 2.0 * self.overdue:
            self.interrupt.ask(f"no rank has answered for {now - self._moved:.0f} s")

    def oldest(self) -> str:
        """The run that has been in flight longest, if it has been for long."""
        runs = [run for run in self.board.in_flight() if run.rank not in self.stuck]
        if not runs or runs[0].seconds < _LONG_SECONDS:
            return ""
        return f"{runs[0].name}, rank {runs[0].rank}, {runs[0].seconds:.0f} s"


def _n_runs(targets: Sequence[Target]) -> int:
    return sum(len(target.matrices) for target in targets)


def _say(text: str) -> None:
    print(f"mpiapp: {text}", file=sys.stderr, flush=True)
