"""Which run each rank is at, readable by rank 0 at any time, and the word to stop.

A window of shared memory (MPI one-sided communication): a worker writes its row
on rank 0 before every run, about a microsecond on one node, and nobody has to
receive it.  So rank 0 knows what a worker does that no longer answers.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ..catalog.runs import RunKey

_ROW = np.dtype([("started", "f8"), ("run_id", "u8"), ("asked", "i8"), ("name", "S128")])


class InFlight(NamedTuple):
    """A run that a rank is at, and for how long."""

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
        self._mine[0] = (time.time(), key.run_id, 0, str(key).encode())
        self._publish()

    def idle(self, asked: int = 0) -> None:
        """This rank is at no run; `asked` is the signal that asked itself to stop, 0 if none."""
        self._mine["started"] = 0.0
        self._mine["asked"] = asked
        self._publish()

    def _publish(self) -> None:
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
        """On rank 0: every run that a rank is at, the oldest first."""
        now = time.time()
        rows = self._memory.copy()
        found = [
            InFlight(rank, int(row["run_id"]), row["name"].decode(), now - float(row["started"]))
            for rank, row in enumerate(rows)
            if row["started"]
        ]
        return sorted(found, key=lambda run: -run.seconds)

    def close(self) -> None:
        """Give the window back; every rank together."""
        if self._window is not None:
            self._window.Unlock_all()
            self._memory = np.zeros(1, _ROW)
            self._window.Free()
            self._window = None
