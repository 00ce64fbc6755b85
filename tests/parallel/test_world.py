"""The ranks of a job: what a launcher started, and all ended when one of them crashes."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from types import ModuleType, SimpleNamespace

import pytest

from mpiapp.exit_code import ExitCode
from mpiapp.files.results import ResultsError
from mpiapp.parallel import world as world_module
from mpiapp.parallel.world import Absent, World, WorldError, connect
from mpiapp.scheduler import _LAUNCHED, _TASKS


@pytest.fixture
def rank2(monkeypatch):
    """Rank 2 of 3 of no real job; `aborted` holds the codes with which it ended all ranks."""
    monkeypatch.setattr(world_module, "_FORWARD_SECONDS", 0.0)
    monkeypatch.setattr(world_module.os, "_exit", lambda code: None)
    world = World()
    world.rank, world.size, world.aborted = 2, 3, []
    world._comm = SimpleNamespace(Abort=world.aborted.append)
    return world


@pytest.mark.parametrize("error", [ValueError("what"), MemoryError(), SystemExit("why")])
def test_a_rank_that_crashes_ends_all_and_is_named(rank2, error, capsys):
    with rank2.guard():
        raise error
    assert rank2.aborted == [ExitCode.CRASH]
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("rank 2: ") for line in lines)
    assert lines[-1].startswith(f"rank 2: {type(error).__name__}")


def test_a_rank_without_memory_for_its_traceback_ends_all(rank2, monkeypatch):
    def full(*args):
        raise MemoryError

    monkeypatch.setattr(traceback, "format_exception", full)
    with pytest.raises(MemoryError), rank2.guard():
        raise MemoryError
    assert rank2.aborted == [ExitCode.CRASH]


def test_a_crash_of_the_thread_that_hands_out_work_ends_all(rank2, capsys):
    """Nobody would answer any more, and rank 0 wait for ever."""
    with rank2.guard():
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join(10)
    assert rank2.aborted == [ExitCode.CRASH]
    assert "rank 2: ZeroDivisionError" in capsys.readouterr().err


def test_results_that_cannot_be_written_end_all_in_one_line(rank2, capsys):
    with rank2.guard():
        raise ResultsError("results.h5: no space left")
    assert rank2.aborted == [ExitCode.USAGE]
    assert capsys.readouterr().err == "mpiapp: results.h5: no space left\n"


class HandComm:
    """What rank 0 of 4 finds in its mailbox: the answers that the test has put there."""

    rank, size = 0, 4

    def __init__(self):
        self.answers, self.sent = {}, []

    def iprobe(self, rank, tag):
        return (rank, tag) in self.answers

    def recv(self, source, tag):
        return self.answers.pop((source, tag))

    def isend(self, value, rank, tag):
        self.sent.append((value, rank))
        return SimpleNamespace(Test=lambda: False, Wait=lambda: None)


@pytest.fixture
def rank0():
    world = World()
    world._comm, world.size = HandComm(), HandComm.size
    return world


def test_rank_0_gathers_in_the_order_of_ranks_and_passes_on_without_waiting(rank0):
    rank0._comm.answers = {(3, 1): "c", (1, 1): "a", (2, 1): "b", (1, 2): "for later"}
    assert rank0.gather("zero") == ["zero", "a", "b", "c"]
    assert rank0.broadcast("go") == "go"
    assert rank0._comm.sent == [("go", 1), ("go", 2), ("go", 3)]
    rank0.settle(["x", "y", "x", "y"])
    assert rank0.node == [0, 2]


def test_ranks_that_do_not_come_are_named_when_the_job_has_to_end(rank0):
    rank0._comm.answers = {(2, 1): "b"}
    rank0.stop.ask("the test", 0.05)
    with pytest.raises(Absent, match=r"^ranks 1, 3$"):
        rank0.gather("zero")


def test_ranks_that_have_parted_are_waited_for_without_end(rank0, monkeypatch, capsys):
    """What rank 0 does then, such as an export, may take its time."""
    monkeypatch.setattr(world_module, "_LEAVE_SECONDS", 0.5)
    monkeypatch.setattr(world_module.signal, "alarm", lambda seconds: None)
    monkeypatch.setattr(rank0, "abort", rank0._comm.sent.append)
    before = threading.active_count()
    rank0.end(4)
    rank0._comm.answers = {(rank, 1): None for rank in (1, 2, 3)}
    rank0.part()
    while threading.active_count() > before:
        time.sleep(0.01)
    assert rank0._comm.sent == [] and capsys.readouterr().err == ""


def test_a_rank_that_does_not_part_ends_all_with_the_code_of_the_job(rank0, monkeypatch, capsys):
    monkeypatch.setattr(world_module, "_LEAVE_SECONDS", 0.1)
    ended = threading.Event()
    monkeypatch.setattr(rank0, "abort", lambda code: (rank0._comm.sent.append(code), ended.set()))
    rank0._comm.answers = {(rank, 1): None for rank in (1, 3)}
    rank0.end(4)
    threading.Thread(target=rank0.gather, args=(None,), daemon=True).start()
    ended.wait()
    rank0._comm.answers[2, 1] = None  # lets the thread end
    assert rank0._comm.sent == [4]
    assert "not waited for, all results being on disk: rank 2\n" in capsys.readouterr().err


@pytest.fixture
def one_process(monkeypatch):
    """An environment without a launcher, and an MPI library that sees one process."""
    for name in (*_LAUNCHED, *_TASKS):
        monkeypatch.delenv(name, raising=False)
    library = ModuleType("mpi4py")
    library.MPI = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(size=1, rank=0), get_vendor=lambda: ("Some MPI", (1, 0))
    )
    monkeypatch.setitem(sys.modules, "mpi4py", library)


def test_without_a_launcher_there_is_no_mpi(one_process, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)  # an import would fail
    world = connect()
    assert (world.size, world.rank, world.n_workers, world.library) == (1, 0, 1, "")


@pytest.mark.parametrize("size", ["1", "", "many"])
def test_a_launcher_of_one_process_makes_a_serial_job(one_process, monkeypatch, size):
    monkeypatch.setenv("PMI_SIZE", size)
    assert connect().size == 1


@pytest.mark.parametrize(
    "launcher", [("PMI_RANK", "PMI_SIZE"), ("PMIX_RANK", "SLURM_STEP_NUM_TASKS")]
)
def test_a_launcher_of_another_mpi_is_refused(one_process, monkeypatch, launcher):
    """Each process would do all of the work, and write the same file."""
    monkeypatch.setenv(launcher[0], "0")
    monkeypatch.setenv(launcher[1], "4")
    with pytest.raises(WorldError, match="started 4 processes, but Some MPI sees only one"):
        connect()
