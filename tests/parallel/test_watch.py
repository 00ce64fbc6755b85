"""Rank 0's eye on ranks that do not answer: states put on the board by hand, the clock too."""

import time

import numpy as np
import pytest

from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.worklist import Target
from mpiapp.config import Limits
from mpiapp.parallel.board import InFlight
from mpiapp.parallel.interrupt import Interrupt, StopFlag
from mpiapp.parallel.watch import Watch

TARGET = Target(
    "obsid", "S/1/b1", (), (Matrix("b", "aper", "flux"), Matrix("h", "aper", "flux")), ()
)
RUN = TARGET.run_keys()[0].run_id


class HandBoard:
    """A board whose state the test sets."""

    asked = 0

    def __init__(self):
        self.states, self.turn, self.stopped = [], 0, False

    def in_flight(self):
        return self.states

    def turns(self):
        return self.turn

    def stop(self):
        self.stopped = True


class NoWorker:
    def give_up(self, payload, run):
        return f"row of {run.run_id}"


@pytest.fixture
def now(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def watch(now, workers=2, **limits):
    limits = Limits(run_seconds=10, **limits)
    interrupt = Interrupt(limits)
    return Watch(NoWorker(), HandBoard(), StopFlag(), interrupt, limits, workers)


def test_a_run_that_takes_too_long_is_lost_and_the_rest_of_its_parcel_is_sent_again(now):
    w = watch(now)
    w.board.states = [InFlight(1, RUN, "a run", 30.0)]
    (lost,) = w.lost([[TARGET]])
    assert lost.result == f"row of {RUN}"
    assert [len(t.matrices) for t in lost.rest] == [1]
    assert not w.stopping()


def test_a_rank_that_does_not_come_back_from_reading_ends_the_job_and_is_named(now):
    w = watch(now)
    w.board.states = [InFlight(1, 0, "reading obsid S/1/b1", 30.0)]
    assert w.lost([[TARGET]]) == []
    assert w.stopping()
    assert "rank 1 has been reading obsid S/1/b1 for 30 s" in w.interrupt.reason
    assert not w.giving_up()
    now[0] += 9
    assert w.giving_up()
    assert w.given_up


def test_silence_of_every_rank_ends_the_job_even_where_none_is_at_a_run(now):
    """Frozen while it sends: the board says that it is idle."""
    w = watch(now)
    w.board.turn = 5
    w.lost([[TARGET]])
    now[0] += 29
    w.lost([[TARGET]])
    assert not w.stopping()
    w.board.turn = 6
    w.lost([[TARGET]])
    now[0] += 31
    w.lost([[TARGET]])
    assert w.stopping()
    assert "no rank has answered for 31 s" in w.interrupt.reason


def test_what_is_under_way_when_the_time_is_over_is_not_waited_for(now):
    w = watch(now, job_seconds=100)
    assert not w.stopping()
    now[0] += 99.5
    assert w.stopping()
    assert w.board.stopped
    assert w.giving_up()
    assert w.given_up  # though no rank is at a run: the pool would not close


def test_the_progress_is_told_that_time_goes_by(now):
    w, ticks = watch(now), []
    w.progress = type("Progress", (), {"tick": lambda self: ticks.append(1)})()
    w.stopping()
    assert ticks == [1]


def test_clocks_that_jump_end_no_job(now, monkeypatch):
    w = watch(now, job_seconds=100)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert not w.stopping()
    assert np.isfinite(w.interrupt._stop_at)
