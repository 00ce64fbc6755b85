"""What a job says while it runs: a line now and then in a log, by a clock that the test turns."""

from __future__ import annotations

import time

import pytest

from mpiapp.parallel.progress import Progress


@pytest.fixture
def now(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def test_rate_and_time_left_count_only_this_job(now, capsys):
    with Progress(total=1000, done=400) as progress:
        now[0] += 20.0
        progress.add(99, 1)
        assert capsys.readouterr().err == ""  # not every batch is worth a line
        now[0] += 20.0
        progress.add(101, 1)
        line = capsys.readouterr().err
        # 200 runs in 40 s leave 400 of them
        assert "600/1000 runs, 2 failed, 5 runs/s, 1.3 min left\n" in line
        now[0] += 60.0
        progress.add(400, 0)
    assert "1000/1000 runs, 2 failed, 6 runs/s, 0.0 min left\n" in capsys.readouterr().err


def test_a_line_comes_when_it_is_time_though_nothing_comes_home(now, capsys):
    progress = Progress(10, note=lambda: "a slow run, 31 s")
    progress.tick()
    assert capsys.readouterr().err == ""
    now[0] += 31.0
    progress.tick()
    line = capsys.readouterr().err
    assert line.endswith(
        "0/10 runs, 0 failed, 0 runs/s, time left unknown; oldest run in flight: a slow run, 31 s\n"
    )
    progress.tick()
    assert capsys.readouterr().err == ""


def test_a_long_job_is_told_in_hours(now, capsys):
    progress = Progress(36_001)
    now[0] += 1.0
    progress.add(1, 0)
    progress.log()
    assert "10.0 h left" in capsys.readouterr().err
