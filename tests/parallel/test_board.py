"""The board without MPI: what rank 0 reads, and by which clock."""

import time

from mpiapp.catalog.runs import RunKey
from mpiapp.parallel.board import Board

KEY = RunKey("obsid", "S/1/b1", "b", "aper", "flux")


def test_what_a_rank_is_at_is_named(monkeypatch):
    board = Board()
    board.parcel = 7
    board.at("reading", "obsid S/1/b1")
    (at,) = board.workers()
    assert (at.rank, at.state, at.name, at.parcel, at.run_id) == (
        0, "reading", "obsid S/1/b1", 7, 0,
    )  # fmt: skip
    board.at("measuring", str(KEY), KEY.run_id)
    (at,) = board.workers()
    assert at.run_id == KEY.run_id
    assert str(at).startswith(f"{KEY}, rank 0, ")
    board.at("sending")
    assert str(board.workers()[0]).startswith("sending, rank 0, ")


def test_rank_0_times_what_does_not_change_by_its_own_clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    board = Board()
    board.at("measuring", "a", 1)
    board.workers()
    now[0] += 5.0
    assert board.workers()[0].seconds == 5.0
    board.at("measuring", "a", 1)  # once more the same
    now[0] += 5.0
    assert board.workers()[0].seconds == 0.0


def test_a_clock_that_jumps_ages_no_run(monkeypatch):
    board = Board()
    board.at("measuring", "a", 1)
    board.workers()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)
    assert board.workers()[0].seconds < 60


def test_a_name_of_any_length_and_letters_is_written():
    board = Board()
    board.at("reading", "ä\udcff" + 200 * "x")
    assert board.workers()[0].name.startswith("ä?xxx")


def test_the_signal_that_a_rank_got_is_seen_until_its_next_step():
    board = Board()
    board.at("sending", asked=10)
    assert board.asked == 10
    board.at("reading", "x")
    assert board.asked == 0


def test_clocks_are_rows_of_ranks(monkeypatch):
    board = Board()
    board.clock.runs = 3
    (row,) = board.clocks()
    assert row["runs"] == 3
    assert row["startup"] > 0
