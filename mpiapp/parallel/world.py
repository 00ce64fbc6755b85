"""The MPI world, or a world of one where there is no MPI.

mpi4py is imported only when a launcher has started the process, so that a
serial run needs no MPI library at all.  What ranks tell each other before the pool of
mpi4py.futures begins and after it has ended goes by plain messages, for which both sides look
now and then: no rank waits inside MPI for one that is frozen.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager

from .. import scheduler
from ..exit_code import ExitCode
from ..files.schema import ResultsError
from .progress import say
from .stop import Stop

# Longest sleep between two polls of the pool, in s.  Rank 0 polls rarely so as not to steal a core
# from a worker; workers poll often because a large message advances only when its sender polls.
_RANK0_BACKOFF = 5e-3
_WORKER_BACKOFF = 1e-4
_NAP_SECONDS = 0.02
# An abort must not overtake the last lines, which the launcher has yet to pass on.
_FORWARD_SECONDS = 0.5
# How long the ranks may take to end once all is on disk; at least, where there is no time left.
_LEAVE_SECONDS, _LAST_SECONDS, _FINALIZE_SECONDS = 30.0, 1.0, 60


class WorldError(RuntimeError):
    """The launcher and the MPI library do not see each other."""


class Absent(Exception):
    """Ranks have not answered, and the job has to end; `ranks` are their numbers."""

    def __init__(self, ranks: Sequence[int]):
        super().__init__(name_ranks(ranks))
        self.ranks = ranks


def name_ranks(ranks: Sequence[int]) -> str:
    """Their numbers, or how many they are."""
    if not 0 < len(ranks) <= 8:
        return f"{len(ranks) or 'some'} ranks"
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


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
    node : list of int
        The ranks of this host, from `settle` on; the first compiles for all.
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
        self.node = [self.rank]
        self.library = ""
        self._is_ending = False
        self._awaited: list[int] = []  # by `gather`
        self._turn = 0  # messages of one turn have one tag
        self._sent: list = []  # a message has to be kept until it has arrived
        if comm:
            from mpi4py import MPI

            self.library = " ".join(MPI.Get_library_version().split("\n")[0].rstrip("\0").split())

    def gather(self, value) -> list | None:
        """The values of all ranks on rank 0, None elsewhere.

        Raises Absent on rank 0 if the job has to end before all have come.
        """
        self._turn += 1
        if self.rank:
            self._send(value, [0])
            return None
        values = {0: value}
        while missing := [rank for rank in range(self.size) if rank not in values]:
            self._awaited = missing
            for rank in missing:
                if self._comm.iprobe(rank, self._turn):
                    values[rank] = self._comm.recv(source=rank, tag=self._turn)
            if not self._is_ending and self.stop.poll() and self.stop.out_of_patience:
                raise Absent([rank for rank in missing if rank not in values])
            time.sleep(_NAP_SECONDS * (len(values) < self.size))
        return [values[rank] for rank in range(self.size)]

    def broadcast(self, value):
        """Rank 0's value, on every rank."""
        return self._pass_on(value, range(self.size))

    def meet(self) -> None:
        """Wait for all ranks."""
        self.gather(None)
        self.broadcast(None)

    def settle(self, hosts: Sequence[str] | None) -> None:
        """Learn who is on this host, from the hosts of all ranks, which rank 0 has gathered."""
        hosts = self.broadcast(hosts)
        self.node = [rank for rank, host in enumerate(hosts) if host == hosts[self.rank]]

    def node_broadcast(self, value):
        """The value of each host's first rank, on every rank of that host."""
        return self._pass_on(value, self.node)

    def _pass_on(self, value, ranks: Sequence[int]):
        """The value of the first of some ranks, on all of them."""
        self._turn += 1
        first, *others = ranks
        if self.rank == first:
            self._send(value, others)
            return value
        while not self._comm.iprobe(first, self._turn):
            time.sleep(_NAP_SECONDS)
        return self._comm.recv(source=first, tag=self._turn)

    def _send(self, value, ranks: Sequence[int]) -> None:
        """Send without waiting; a later poll of this rank moves the rest."""
        self._sent = [request for request in self._sent if not request.Test()]
        self._sent += [self._comm.isend(value, rank, self._turn) for rank in ranks]

    def abort(self, code: int) -> None:
        """End every rank now, with this exit code."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            time.sleep(_FORWARD_SECONDS)
        finally:
            self._comm.Abort(code)  # which may return before the launcher has acted
            time.sleep(_FORWARD_SECONDS)
            os._exit(code)

    @contextmanager
    def executor(self) -> Iterator[Executor | None]:
        """An executor over the workers on rank 0; None on the workers, once their work is over."""
        if self.size == 1:
            yield SerialExecutor()
            return
        from mpi4py.futures import MPICommExecutor

        # Set here: as an option of the pool, every rank would get rank 0's value.
        backoff = _WORKER_BACKOFF if self.rank else _RANK0_BACKOFF
        os.environ.setdefault("MPI4PY_FUTURES_BACKOFF", str(backoff))
        self.meet()
        with MPICommExecutor(self._comm, root=0) as executor:
            yield executor

    def end(self, code: int, silent: Callable[[], list[int]] = list) -> None:
        """All is on disk: rank 0 waits no longer than half a minute for the others to part.

        The pool's end and MPI's wait for every rank, also for one that has frozen.  `silent` tells
        which ranks have not answered the pool.
        """
        self._is_ending = True
        begun = time.monotonic()

        def watch() -> None:
            while (waited := time.monotonic() - begun) < _LEAVE_SECONDS:
                if self.stop.is_over:
                    return
                if waited > _LAST_SECONDS and self.stop.poll() and self.stop.out_of_patience:
                    break
                time.sleep(_NAP_SECONDS)
            ranks = name_ranks(silent() or self._awaited)
            say(f"mpiapp: not waited for, all results being on disk: {ranks}")
            self.abort(code)

        if self.size > 1 and self.rank == 0:
            threading.Thread(target=watch, daemon=True).start()

    def part(self) -> None:
        """Hear of all ranks a last time, before Python and MPI end.

        Both must take their ordinary course on every rank: MPICH tells its launcher only as the
        process exits that it ends well, and the launcher kills the other ranks and forgets their
        exit codes if a rank does not get there.
        """
        if self._comm is None:
            return
        self.gather(None)
        self.stop.is_over = True
        while self._sent:
            self._sent.pop().Wait()
        if self.rank == 0:
            # No thread runs any more by then; should a rank freeze there, the system ends this one.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_FINALIZE_SECONDS)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """End the whole job at once if this rank crashes, with a traceback that names the rank.

        Without it the other ranks would wait for this one for ever, and this one for the thread of
        its pool.  A results file that can no longer be written takes no traceback.
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
