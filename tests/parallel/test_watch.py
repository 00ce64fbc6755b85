"""Rank 0's eye on ranks that do not answer: states put on the board by hand, the clock too."""

import time
from concurrent.futures import Future

import pytest

from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.worklist import Target
from mpiapp.config import Limits
from mpiapp.parallel.board import STOP, At
from mpiapp.parallel.clock import Clock
from mpiapp.parallel.stop import Stop
from mpiapp.parallel.watch import Watch

TARGET = Target(
    "obsid", "S/1/b1", (), (Matrix("b", "aper", "flux"), Matrix("h", "aper", "flux")), ()
)
RUN = TARGET.run_keys()[0].run_id


class HandBoard:
    """A board whose state the test sets."""

    asked = 0

    def __init__(self):
        self.states, self.told = [], []

    def workers(self):
        return sorted(self.states, key=lambda at: -at.seconds)

    def tell(self, word):
        self.told.append(word)


@pytest.fixture
def now(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def watch(workers=2, **limits):
    limits = Limits(run_seconds=10, **limits)
    stop = Stop()
    stop.limit(limits)
    give_up = lambda targets, at: f"row of {at.run_id}, rank {at.rank}"  # noqa: E731
    return Watch(HandBoard(), stop, Clock(), limits, workers, give_up)


def sent(*parcels):
    """The parcels as under way, each with a worker."""
    futures = {Future(): parcel for parcel in parcels}
    for future in futures:
        future.set_running_or_notify_cancel()
    return futures


def test_a_run_that_takes_too_long_is_lost_and_the_rest_of_its_parcel_is_sent_again(now):
    w = watch()
    parcel = w.parcel([TARGET])
    w.board.states = [At(1, "measuring", "a run", parcel.number, RUN, 30.0), At(2, "ready")]
    (lost,) = w.lost(sent(parcel))
    assert (lost.payload, lost.result) == (parcel, f"row of {RUN}, rank 1")
    assert [len(t.matrices) for t in lost.rest.content] == [1]
    assert lost.rest.number != parcel.number
    assert w.stuck == {1}
    assert not w.stopping()


@pytest.mark.parametrize("state", ["scanning", "reading", "sending"])
def test_a_rank_that_freezes_beside_a_run_costs_no_run(now, state):
    w = watch()
    parcel = w.parcel([TARGET])
    name = "" if state == "sending" else "x"
    w.board.states = [At(1, state, name, parcel.number, 0, 299.0), At(2, "ready")]
    assert w.lost(sent(parcel)) == []
    now[0] += 2
    w.board.states[0] = w.board.states[0]._replace(seconds=301.0)
    (lost,) = w.lost(sent(parcel))
    assert (lost.result, lost.rest.content) == (None, [TARGET])
    assert not w.stopping()


def test_work_that_no_rank_begins_is_with_the_one_that_has_been_idle_longest(now):
    """Frozen while it waits for work: the board does not tell it from a healthy one."""
    w = watch()
    parcel, other = w.parcel([TARGET]), w.parcel([])
    w.board.states = [At(1, "sending", "", 99, 0, 1e4), At(2, "reading", "x", other.number, 0, 1.0)]
    assert w.lost(sent(parcel, other)) == []  # it was sent just now
    now[0] += 299
    assert w.lost(sent(parcel, other)) == []
    now[0] += 2
    (lost,) = w.lost(sent(parcel, other))
    assert lost.payload is parcel
    assert w.stuck == {1}


def test_work_that_waits_for_a_worker_blames_nobody(now):
    w = watch()
    w.board.states = [At(1, "sending", "", 99, 0, 1e4), At(2, "sending", "", 98, 0, 1e4)]
    for _ in range(2):
        assert w.lost({Future(): w.parcel([TARGET])}) == []
        now[0] += 1e4
    assert not w.stuck


def test_what_hangs_two_ranks_ends_the_job(now):
    w = watch(workers=3)
    for rank in (1, 2):
        parcel = w.parcel(["f.fits"])
        w.board.states = [At(rank, "scanning", "f.fits", parcel.number, 0, 400.0)]
        assert not w.stopping()
        w.lost(sent(parcel))
        now[0] += 1
    assert w.stopping()
    assert w.stop.reason == "two ranks do not come back: scanning f.fits, rank 2, 400 s"


def test_a_job_without_a_worker_ends(now):
    w = watch(workers=1)
    parcel = w.parcel([TARGET])
    w.board.states = [At(1, "measuring", "a run", parcel.number, RUN, 30.0)]
    w.lost(sent(parcel))
    assert w.stopping()
    assert w.giving_up({})
    assert w.stop.reason == "no worker answers any more"


def test_what_is_under_way_when_the_time_is_over_is_named_and_not_waited_for(now, capsys):
    w = watch(job_seconds=100)
    parcel, other = w.parcel([TARGET]), w.parcel([TARGET])
    w.board.states = [At(2, "sending", "", 99, 0, 50.0), At(1, "reading", "x", parcel.number)]
    assert not w.stopping()
    now[0] += 81
    assert w.stopping()
    assert w.board.told == [STOP]
    assert not w.giving_up(sent(parcel, other))
    now[0] += 15
    assert w.giving_up(sent(parcel, other))
    assert w.stuck == {1, 2}
    said = capsys.readouterr().err
    assert "not waited for: reading x, rank 1" in said
    assert "not waited for: waiting for work, rank 2" in said


def test_a_signal_that_a_worker_got_stops_the_job(now):
    w = watch()
    w.board.asked = 10
    assert w.stopping()
    assert w.stop.reason == "signal SIGUSR1"


def test_the_progress_tells_of_a_long_run_while_nothing_comes_home(now, capsys):
    w = watch()
    with w.progress(100, 0):
        w.board.states = [At(1, "measuring", "a run", 1, RUN, 60.0)]
        w.stopping()
        assert capsys.readouterr().err == ""
        now[0] += 31
        w.stopping()
        assert "oldest run in flight: a run, rank 1, 60 s" in capsys.readouterr().err


def test_clocks_that_jump_end_no_job(now, monkeypatch):
    w = watch(job_seconds=100)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert not w.stopping()
