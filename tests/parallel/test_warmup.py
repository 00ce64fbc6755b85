"""Compiling once a host: who compiles, and what the others do meanwhile and afterwards."""

from __future__ import annotations

import os

import pytest

from mpiapp.parallel import warmup
from mpiapp.parallel.world import World


class Engine:
    """Compiles a file into its rank's directory."""

    name = "mine:Engine"

    def __init__(self, compiles_per_rank, log, directory):
        self.compiles_per_rank, self.log, self.directory = compiles_per_rank, log, directory

    def warm(self):
        self.log.append("warm")
        if self.compiles_per_rank:
            (self.directory / "compiled").write_text("code")


class Host(World):
    """One rank of a host of several, the first of which compiles into `first`."""

    def __init__(self, rank, first, log):
        super().__init__()
        self.rank, self.node = rank, [0, 1]
        self.first, self.log = first, log

    def gather(self, value):
        return [value]

    def broadcast(self, value):
        return value

    def node_broadcast(self, value):
        self.log.append("node")
        return self.first


@pytest.fixture
def log(monkeypatch):
    """What happens in order."""
    events = []
    for name in ("THEANO_FLAGS", "PYTENSOR_FLAGS"):
        monkeypatch.setenv(name, "")
    return events


@pytest.fixture
def directories(tmp_path, monkeypatch):
    """The compile directories of two ranks."""
    for rank in range(2):
        (tmp_path / f"rank{rank}").mkdir()
    monkeypatch.setattr(warmup, "claim", lambda rank, scratch: tmp_path / f"rank{rank}")
    return tmp_path / "rank0", tmp_path / "rank1"


def test_the_others_wait_and_take_what_the_first_has_compiled(log, directories):
    first, second = directories
    warmup.warm_up(Engine(True, log, first), Host(0, first, log), None)
    assert os.listdir(second) == []
    log.clear()
    warmup.warm_up(Engine(True, log, second), Host(1, first, log), None)
    assert log == ["node"]
    assert (second / "compiled").read_text() == "code"


def test_a_rank_without_a_directory_is_named_and_nothing_is_compiled(log, monkeypatch):
    def claim(rank, scratch):
        raise PermissionError("/scratch belongs to someone else")

    monkeypatch.setattr(warmup, "claim", claim)
    with pytest.raises(warmup.Unprepared, match=r"^rank 0 on .*: /scratch belongs to someone else"):
        warmup.warm_up(Engine(True, log, None), Host(0, None, log), None)
    assert log == []


def test_an_engine_that_compiles_nothing_needs_no_directory(log, monkeypatch):
    def claim(*args):
        raise AssertionError("claimed")

    monkeypatch.setattr(warmup, "claim", claim)
    warmup.warm_up(Engine(False, log, None), Host(1, None, log), None)
    assert log == ["node"]
