"""Rank 0's eye on parcels: answers are given by hand, the clock is the test's too."""

import time
from concurrent.futures import Future

import pytest

from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.worklist import Target
from mpiapp.config import Limits
from mpiapp.parallel.calls import Answer
from mpiapp.parallel.clock import Clock
from mpiapp.parallel.stop import Stop
from mpiapp.parallel.watch import Watch

TARGET = Target(
    "obsid", "S/1/b1", (), (Matrix("b", "aper", "flux"), Matrix("h", "aper", "flux")), ()
)


class HandExecutor:
    """Keeps the calls; each is answered by hand."""

    def __init__(self):
        self.calls = []

    def submit(self, function):
        self.calls.append(Future())
        return self.calls[-1]


@pytest.fixture
def now(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def watch(workers=2, run_seconds=10, **limits):
    """The watch of a job; a run may take 15 s and a parcel 10 s more."""
    limits = Limits(run_seconds=run_seconds, **limits)
    stop = Stop()
    stop.limit(limits)
    give_up = lambda target, reason, seconds: f"{target.matrices[0].band}: {reason}"  # noqa: E731
    clocks = [Clock(rank).row() for rank in range(workers + 1)]
    return Watch(HandExecutor(), stop, Clock(0), limits, clocks, give_up)


def sent(*parcels):
    """The parcels as under way, each with a worker."""
    futures = {Future(): parcel for parcel in parcels}
    for future in futures:
        future.set_running_or_notify_cancel()
    return futures


def answer(rank, result=None, rest=(), signal=0, reason=""):
    return Answer(rank, Clock(rank).row(), signal, reason, result, rest)


def come_home(future, rank):
    future.set_result(answer(rank))


def late(w, now, under_way, seconds):
    """What is late so many seconds after it was seen to be sent."""
    now[0] += 1
    assert w.late(under_way) == []
    now[0] += seconds
    return w.late(under_way)


def test_a_late_parcel_goes_out_again_run_by_run_and_costs_no_run(now, capsys):
    w = watch()
    under_way = sent(w.to_measure([TARGET, TARGET]))
    assert late(w, now, under_way, 24) == []
    now[0] += 2
    (lost,) = w.late(under_way)
    assert lost.future in under_way and lost.result is None
    parts = list(lost.more)
    assert [p.content[0].matrices for p in parts] == [(m,) for m in TARGET.matrices] * 2
    assert all(p.is_again for p in parts)
    assert "given out again piece by piece: obsid S/1/b1 b aper flux and 3 more" in (
        capsys.readouterr().err
    )
    assert w.is_any_lost and not w.stopping()


def test_a_run_that_is_late_again_gets_its_row(now):
    w = watch()
    part = w.to_measure([TARGET._replace(matrices=TARGET.matrices[1:])], is_again=True)
    (lost,) = late(w, now, sent(part), 26)
    assert (lost.result, lost.more) == ("h: given out twice, and not back in time", [])


def test_a_rank_that_has_answered_since_does_not_have_what_is_late(now, capsys):
    w = watch(workers=3)
    under_way = sent(*(w.to_measure([TARGET]) for _ in range(3)))
    assert w.late(under_way) == []
    now[0] += 1
    frozen, second, third = under_way
    come_home(second, 2)
    come_home(third, 3)
    now[0] += 25
    w.late({frozen: under_way[frozen]})
    assert "rank 1, 26 s" in capsys.readouterr().err


def test_a_rank_that_comes_back_is_watched_again(now):
    w = watch()
    first = sent(w.to_measure([TARGET]))
    late(w, now, first, 26)
    come_home(*first, 1)
    assert not w.is_any_lost
    second = sent(w.to_measure([TARGET]))
    assert len(late(w, now, second, 26)) == 1
    assert w.is_any_lost and not w.stopping()


def test_a_parcel_that_waits_for_a_worker_is_not_late(now):
    w = watch()
    assert late(w, now, {Future(): w.to_measure([TARGET]), **sent(w.to_scan(["f"]))}, 299) == []


def test_a_job_whose_workers_take_nothing_ends(now):
    w = watch()
    late(w, now, {Future(): w.to_measure([TARGET])}, 301)
    assert w.stopping() and w.stop.reason == "no worker takes any work"


def test_what_a_worker_has_not_done_in_its_time_goes_out_once_more(now):
    w = watch()
    result, more = w.received(answer(1, "rows", [TARGET]))
    assert result == "rows"
    assert [p.content for p in more] == [[TARGET]] and not more[0].is_again
    assert not w.stopping()


def test_a_file_that_hangs_two_ranks_ends_the_job(now):
    w = watch(workers=3)
    (lost,) = late(w, now, sent(w.to_scan(["f.fits", "g.fits"])), 301)
    first, _ = lost.more
    assert first.content == ["f.fits"] and not w.stopping()
    late(w, now, sent(first), 301)
    assert w.stopping()
    assert w.stop.reason.startswith("twice not back in time: scanning f.fits, ")


def test_a_job_without_a_worker_ends_and_asks_for_more_ranks(now):
    w = watch(workers=1)
    under_way = sent(w.to_measure([TARGET]))
    late(w, now, under_way, 26)
    assert w.stopping() and w.giving_up({})
    assert w.stop.reason == "no worker answers any more; resume with more ranks"


def test_what_is_under_way_when_the_time_is_over_is_named_and_not_waited_for(now, capsys):
    w = watch(job_seconds=100)
    under_way = sent(w.to_measure([TARGET]))
    assert not w.stopping()
    w.late(under_way)
    now[0] += 81
    assert w.stopping()
    come_home(w.executor.calls[0], 2)  # the roll: rank 2 was idle
    assert not w.giving_up(under_way)
    now[0] += 15
    assert w.giving_up(under_way)
    assert w.is_any_lost
    assert "not waited for: obsid S/1/b1 b aper flux and 1 more, rank 1, 96 s" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("signal", [0, 10])
def test_a_worker_that_has_stopped_stops_the_job(now, signal):
    w = watch()
    w.received(answer(1, signal=signal, reason="the time of the job is nearly over"))
    assert w.stopping()
    assert w.stop.reason == ("signal SIGUSR1" if signal else "the time of the job is nearly over")


def test_the_progress_tells_of_a_long_parcel_while_nothing_comes_home(now, capsys):
    w = watch(run_seconds=1000)
    under_way = sent(w.to_measure([TARGET]))
    with w.progress(100, 0):
        w.late(under_way)
        now[0] += 61
        w.stopping()
        assert "longest out: obsid S/1/b1 b aper flux and 1 more" in capsys.readouterr().err


def test_clocks_that_jump_end_no_job(now, monkeypatch):
    w = watch(job_seconds=100)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert not w.stopping()


def test_the_roll_names_who_does_not_answer(now):
    w = watch(workers=3)
    w._begin_roll()
    for call, rank in zip(w.executor.calls, (3, 1)):
        come_home(call, rank)
    assert w.silent() == [2]


def test_waiting_counts_as_idle(now):
    w = watch()
    now[0] += 50
    assert [round(row["idle"]) for row in w.clocks()] == [0, 50, 50]
