"""What each rank is at, readable by rank 0 at any time, and the word to stop.

A window of shared memory (MPI one-sided communication): a worker writes its row
on rank 0 before every run, about a microsecond on one node, and nobody has to
receive it.  So rank 0 knows what a worker does that no longer answers.  A row says how
often it has changed, and rank 0 times the changes by its own clock: clocks of hosts
differ, and jump.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ..catalog.runs import RunKey

_ROW = np.dtype(
    [("turn", "u8"), ("busy", "i8"), ("run_id", "u8"), ("asked", "i8"), ("name", "S128")]
)


class InFlight(NamedTuple):
    """What a rank is at, and for how long; run_id is 0 where it is no run."""

    rank: int
    run_id: int
    name: str
    seconds: float


class Board:
    """The board of one job; every rank makes one, together.

    Parameters
    ----------
    comm : mpi4py communicator, optional
        None in a serial run.
    """

    def __init__(self, comm=None):
        self.rank = comm.rank if comm else 0
        size = comm.size if comm else 1
        self._mine = np.zeros(1, _ROW)
        self._others = range(1, size)
        self._window = None
        self._seen = [(0, time.monotonic())] * size
        if comm is None:
            self._memory = np.zeros(1, _ROW)
            return
        from mpi4py import MPI

        n_rows = size if self.rank == 0 else 1
        self._window = MPI.Win.Allocate(n_rows * _ROW.itemsize, _ROW.itemsize, comm=comm)
        self._memory = np.frombuffer(self._window.tomemory(), _ROW)
        self._memory[:] = 0
        comm.Barrier()
        self._window.Lock_all()

    def begin(self, key: RunKey) -> None:
        """This rank is at a run."""
        self._show(1, key.run_id, 0, str(key))

    def doing(self, what: str) -> None:
        """This rank is at something else than a run, such as reading a file."""
        self._show(1, 0, 0, what)

    def idle(self, asked: int = 0) -> None:
        """This rank is at no run; `asked` is the signal that asked itself to stop, 0 if none."""
        self._show(0, 0, asked, "")

    def _show(self, busy: int, run_id: int, asked: int, name: str) -> None:
        turn = self._mine["turn"][0] + np.uint64(1)
        self._mine[0] = (turn, busy, run_id, asked, name.encode(errors="replace")[:128])
        if self._window is None or self.rank == 0:
            self._memory[0] = self._mine[0]
        else:
            self._put(self._mine, 0, self.rank)

    def _put(self, row: np.ndarray, rank: int, place: int) -> None:
        self._window.Put(row.view(np.uint8), rank, (place, _ROW.itemsize))
        self._window.Flush(rank)

    def stop(self) -> None:
        """Rank 0 asks every worker to send home what it has after the run it is at."""
        word = np.zeros(1, _ROW)
        word["asked"] = 1
        for rank in self._others:
            self._put(word, rank, 0)

    @property
    def stopping(self) -> bool:
        """Whether rank 0 has asked this worker to stop."""
        return bool(self.asked)

    @property
    def asked(self) -> int:
        """On rank 0: the signal that asked a worker to stop, 0 if none."""
        return int(self._memory["asked"].max())

    def in_flight(self) -> list[InFlight]:
        """On rank 0: what every rank is at that is not idle, the oldest first.

        Times are counted from the first call that saw the rank at it.
        """
        now = time.monotonic()
        rows = self._memory.copy()
        found = []
        for rank, row in enumerate(rows):
            turn, since = self._seen[rank]
            if turn != row["turn"]:
                self._seen[rank] = turn, since = int(row["turn"]), now
            if row["busy"]:
                name = row["name"].decode(errors="replace")
                found.append(InFlight(rank, int(row["run_id"]), name, now - since))
        return sorted(found, key=lambda run: -run.seconds)

    def turns(self) -> int:
        """On rank 0: a number that changes whenever any rank goes on."""
        return int(self._memory["turn"].sum())

    def close(self) -> None:
        """Give the window back; every rank together."""
        if self._window is not None:
            self._window.Unlock_all()
            self._memory = np.zeros(1, _ROW)
            self._window.Free()
            self._window = None
