"""The board without MPI: what rank 0 reads, and by which clock."""

import time

from mpiapp.catalog.runs import RunKey
from mpiapp.parallel.board import Board

KEY = RunKey("obsid", "S/1/b1", "b", "aper", "flux")


def test_what_a_rank_is_at_is_named_until_it_is_idle():
    board = Board()
    board.doing("reading a file")
    (at,) = board.in_flight()
    assert (at.rank, at.run_id, at.name) == (0, 0, "reading a file")
    board.begin(KEY)
    (at,) = board.in_flight()
    assert (at.run_id, at.name) == (KEY.run_id, str(KEY))
    board.idle()
    assert board.in_flight() == []


def test_every_step_of_a_rank_is_a_turn():
    board = Board()
    turns = [board.turns()]
    for step in (lambda: board.doing("x"), lambda: board.begin(KEY), board.idle):
        step()
        turns.append(board.turns())
    assert len(set(turns)) == 4


def test_a_clock_that_jumps_ages_no_run(monkeypatch):
    board = Board()
    board.begin(KEY)
    board.in_flight()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)
    assert board.in_flight()[0].seconds < 60
