"""What each rank is at, readable by rank 0 at any time, and rank 0's word to the others.

A window of shared memory (MPI one-sided communication): a worker writes its row
on rank 0 before every step, about a microsecond on one node, and nobody has to
receive it.  So rank 0 knows what a worker does that no longer answers.  A row says
how often it has changed, and rank 0 times the changes by its own clock: clocks of
hosts differ, and jump.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ..files.schema import RANKS, dtype
from .clock import Clock

_CLOCK = dtype(RANKS[1:])
_ROW = np.dtype(
    [
        ("turn", "u8"),
        ("asked", "i8"),
        ("parcel", "i8"),
        ("run_id", "u8"),
        ("state", "S9"),
        ("name", "S128"),
        ("clock", _CLOCK),
    ]
)

# Rank 0's words to a worker.
STOP, LEAVE = 1, 2


class At(NamedTuple):
    """What a rank is at, and for how long.

    `state` is "starting", "compiling", "ready", "scanning", "reading", "measuring",
    "sending" (from then on, without work) or "leaving", `name` what it scans, reads or
    measures, `parcel` the number of the parcel that it had last, `run_id` is 0 where it
    is at no run.
    """

    rank: int
    state: str
    name: str = ""
    parcel: int = 0
    run_id: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        what = self.name if self.state == "measuring" else f"{self.state} {self.name}".strip()
        return f"{what}, rank {self.rank}, {self.seconds:.0f} s"


class Board:
    """The board of one job; every rank makes one, together.

    Parameters
    ----------
    comm : mpi4py communicator, optional
        None in a serial run.
    clock : Clock, optional
        This rank's.

    Attributes
    ----------
    parcel : int
        The number of the parcel that this rank has.
    """

    def __init__(self, comm=None, clock: Clock | None = None):
        self.rank = comm.rank if comm else 0
        self.clock = clock or Clock(self.rank)
        self.parcel = 0
        size = comm.size if comm else 1
        self._mine = np.zeros(1, _ROW)
        self._others = range(1, size)
        self._window = None
        self._seen = [(0, time.monotonic())] * size
        if comm is None:
            self._memory = np.zeros(1, _ROW)
        else:
            from mpi4py import MPI

            n_rows = size if self.rank == 0 else 1
            self._window = MPI.Win.Allocate(n_rows * _ROW.itemsize, _ROW.itemsize, comm=comm)
            self._memory = np.frombuffer(self._window.tomemory(), _ROW)
            self._memory[:] = np.zeros(1, _ROW)
            self._memory["state"] = b"starting"
            comm.Barrier()
            self._window.Lock_all()

    def at(self, state: str, name: str = "", run_id: int = 0, asked: int = 0) -> None:
        """This rank is at this; `asked`: the signal that asked it to stop, if any."""
        row, mine = self._mine, self._mine[0]
        mine["turn"] += np.uint64(1)
        mine["asked"], mine["parcel"], mine["run_id"] = asked, self.parcel, run_id
        mine["state"], mine["name"] = state.encode(), name.encode(errors="replace")[:128]
        if not name:  # between two pieces of work
            clock = self.clock.row()
            mine["clock"] = tuple([clock[column] for column in _CLOCK.names])
        if self._window is None or self.rank == 0:
            self._memory[0] = mine
        else:
            self._put(row, 0, self.rank)

    def _put(self, row: np.ndarray, rank: int, place: int) -> None:
        self._window.Put(row.view(np.uint8), rank, (place, _ROW.itemsize))
        self._window.Flush(rank)

    def tell(self, word: int) -> None:
        """Rank 0 tells every worker to STOP after the run it is at, or to LEAVE."""
        row = np.zeros(1, _ROW)
        row["asked"] = word
        for rank in self._others:
            self._put(row, rank, 0)

    @property
    def word(self) -> int:
        """What rank 0 has told this worker, 0 if nothing."""
        return int(self._memory["asked"][0]) if self.rank else 0

    @property
    def asked(self) -> int:
        """On rank 0: the signal that asked a worker to stop, 0 if none."""
        return int(self._memory["asked"].max())

    def workers(self) -> list[At]:
        """On rank 0: what every worker is at, the longest first.

        Times are counted from the first call that saw the rank at it.
        """
        now = time.monotonic()
        found = []
        for rank, row in enumerate(self._memory.copy()):
            if self._seen[rank][0] != row["turn"]:
                self._seen[rank] = (int(row["turn"]), now)
            state, name = row["state"].decode(), row["name"].decode(errors="replace")
            seconds = now - self._seen[rank][1]
            found.append(At(rank, state, name, int(row["parcel"]), int(row["run_id"]), seconds))
        return sorted(found[1:] or found, key=lambda at: -at.seconds)

    def clocks(self) -> list[dict]:
        """On rank 0: the columns of every rank in /ranks, without the job."""
        waited = {at.rank: at.seconds for at in self.workers() if not at.name}
        rows = [dict(zip(_CLOCK.names, row.item())) for row in self._memory["clock"]]
        for rank, row in enumerate(rows):
            row["idle"] += waited.get(rank, 0.0)
        return [self.clock.row(), *rows[1:]]

    def close(self) -> None:
        """Give the window back; every rank together."""
        if self._window is not None:
            self._window.Unlock_all()
            self._memory = np.zeros(1, _ROW)
            self._window.Free()
            self._window = None
