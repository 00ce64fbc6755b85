"""The MPI world, or a world of one where there is no MPI.

mpi4py is imported only when a launcher has started the process, so that a
serial run needs no MPI library at all.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager

from .. import scheduler
from ..exit_code import ExitCode
from ..files.schema import ResultsError
from .board import Board
from .clock import Clock
from .progress import say
from .stop import Stop

# Longest sleep between two polls, in s.  Those of rank 0 take time from the workers on its core
# and only delay the next parcel; a worker that polls has nothing else to do, and a large message
# moves on only when its sender polls, while rank 0 spins.
_RANK0_BACKOFF = 5e-3
_WORKER_BACKOFF = 1e-4
_NAP_SECONDS = 0.02
# An abort must not overtake what was said just before, which the launcher has to pass on.
_FORWARD_SECONDS = 0.5


class WorldError(RuntimeError):
    """The launcher and the MPI library do not see each other."""


class Absent(Exception):
    """Not all ranks have come to where the job waits for them, and it has to end."""


class SerialExecutor(Executor):
    """Runs each call at once in this process; the executor of a world of one."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class World:
    """The ranks of this job.

    Attributes
    ----------
    rank, size : int
    node_rank : int
        Rank among the processes of the same host.
    n_workers : int
        Ranks that sample: all but rank 0, or the only one.
    library : str
        Name and version of the MPI library; empty in a serial run.
    stop : Stop
        On rank 0: when it waits for the others no longer, and raises Absent.
    """

    def __init__(self, comm=None):
        self._comm = comm
        self.stop = Stop()
        self.rank = comm.rank if comm else 0
        self.size = comm.size if comm else 1
        self.n_workers = max(1, self.size - 1)
        self._node = None
        self._begun: list = []
        self.library = ""
        if comm:
            from mpi4py import MPI

            self._node = comm.Split_type(MPI.COMM_TYPE_SHARED)
            self.library = " ".join(MPI.Get_library_version().split("\n")[0].rstrip("\0").split())
        self.node_rank = self._node.rank if comm else 0

    def gather(self, value) -> list | None:
        """The values of all ranks on rank 0, None elsewhere."""
        self.meet()
        return self._comm.gather(value) if self._comm else [value]

    def broadcast(self, value):
        """Rank 0's value, on every rank; the others sleep until all are there."""
        if not self._comm:
            return value
        arrived = self._comm.Ibarrier()
        if self.rank:
            _sleep_until(arrived)
        else:
            self._begun.append(arrived)  # it goes on in whatever rank 0 waits for next
        return self._comm.bcast(value)

    def meet(self) -> None:
        """Wait for all ranks."""
        self._wait(self._comm)

    def node_barrier(self) -> None:
        """Wait for the ranks of this host."""
        self._wait(self._node)

    def _wait(self, comm) -> None:
        if comm:
            _sleep_until(comm.Ibarrier(), self._give_up if self.rank == 0 else None)
            while self._begun:
                self._begun.pop().Wait()  # all ranks have been there before

    def _give_up(self) -> None:
        if self.stop.poll() and self.stop.out_of_patience:
            raise Absent

    def node_broadcast(self, value):
        """The value of each host's first rank, on every rank of that host."""
        return self._node.bcast(value) if self._comm else value

    def board(self, clock: Clock) -> Board:
        """A board for this job; every rank calls it."""
        self.meet()
        return Board(self._comm, clock)

    def abort(self, code: int) -> None:
        """End every rank now, with this exit code."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            time.sleep(_FORWARD_SECONDS)
        finally:
            self._comm.Abort(code)

    @contextmanager
    def executor(self) -> Iterator[Executor | None]:
        """An executor over the workers on rank 0; None on the workers, once their work is over."""
        if self.size == 1:
            yield SerialExecutor()
            return
        from mpi4py.futures import MPICommExecutor

        # An option would be that of rank 0 on every rank.
        backoff = _WORKER_BACKOFF if self.rank else _RANK0_BACKOFF
        os.environ.setdefault("MPI4PY_FUTURES_BACKOFF", str(backoff))
        self.meet()
        with MPICommExecutor(self._comm, root=0) as executor:
            yield executor

    @contextmanager
    def guard(self) -> Iterator[None]:
        """End the whole job at once if this rank crashes, with a traceback that names the rank.

        Without it the other ranks would wait for this one for ever, and this one for a
        thread of its own: that of the pool.  A results file that can no longer be written
        takes no traceback.
        """
        if self.size == 1:
            yield
            return
        before, threading.excepthook = threading.excepthook, lambda args: self._crash(*args[:3])
        try:
            yield
        except ResultsError as error:
            try:
                say(f"mpiapp: {error}")
            finally:
                self.abort(ExitCode.USAGE)
        except BaseException:
            self._crash(*sys.exc_info())
        finally:
            threading.excepthook = before

    def _crash(self, *error) -> None:
        try:  # even where there is no memory left for the traceback
            text = "".join(traceback.format_exception(*error))
            prefix = f"rank {self.rank}: "
            sys.stderr.write("".join(prefix + line + "\n" for line in text.splitlines()))
        finally:
            self.abort(ExitCode.CRASH)


def _sleep_until(arrived, meanwhile: Callable[[], None] | None = None) -> None:
    """Wait for a request; MPI itself would spin, which takes the processor from those that work."""
    while not arrived.Test():
        if meanwhile:
            meanwhile()
        time.sleep(_NAP_SECONDS)


def connect() -> World:
    """The world that the launcher made, or a world of one.

    Raises
    ------
    WorldError
        If a launcher started several processes but each sees itself alone: they
        would all do the same work and write the same file.
    """
    if not scheduler.launched():
        return World()
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    expected = scheduler.n_tasks()
    if comm.size == 1 and expected > 1:
        raise WorldError(
            f"the launcher started {expected} processes, but {MPI.get_vendor()[0]} sees "
            "only one; use the mpiexec or `srun --mpi=…` that belongs to this MPI library"
        )
    return World(comm if comm.size > 1 else None)
