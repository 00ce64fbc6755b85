"""What a job says while it runs: a line now and then in a log, by a clock that the test turns."""

from __future__ import annotations

import io
import sys
import threading
import time

import pytest

from mpiapp.parallel import progress as told
from mpiapp.parallel.progress import During, Progress, say


@pytest.fixture
def now(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def test_rate_and_time_left_count_from_the_first_runs_that_came_home(now, capsys):
    with Progress(total=1000, done=300) as progress:
        now[0] += 500.0  # compiling
        progress.add(100, 1)
        assert "400/1000 runs, 1 failed\n" in capsys.readouterr().err
        now[0] += 40.0
        progress.add(200, 1)
        assert capsys.readouterr().err == ""  # not every batch is worth a line
        progress.log()
        # 200 runs in 40 s leave 400 of them
        assert "600/1000 runs, 2 failed, 5 runs/s, 1.3 min left\n" in capsys.readouterr().err
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
    assert line.endswith("0/10 runs, 0 failed; longest out: a slow run, 31 s\n")
    progress.tick()
    assert capsys.readouterr().err == ""


def test_the_log_of_a_day_is_a_few_hundred_lines_and_the_first_come_soon(now, capsys):
    progress, seconds = Progress(10**6), []
    for second in range(1, 86_400 + 1):
        now[0] += 1.0
        progress.add(10, 0)
        if capsys.readouterr().err:
            seconds.append(second)
    # the time since the start doubles from line to line until lines are 300 s apart
    assert seconds[:8] == [3, 6, 12, 24, 48, 96, 192, 384]
    assert len(seconds) == 8 + (86_400 - 384) // 300


def test_a_long_job_is_told_in_hours(now, capsys):
    progress = Progress(36_011)
    progress.add(1, 0)
    now[0] += 10.0
    progress.add(10, 0)
    progress.log()
    assert "10.0 h left" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A terminal that tells when it has been written to `n` times."""

    def __init__(self, n):
        super().__init__()
        self.left, self.enough = n, threading.Event()

    def isatty(self):
        return True

    def write(self, text):
        self.left -= 1
        if self.left <= 0:
            self.enough.set()
        return super().write(text)


def use_terminal(monkeypatch):
    """Called by the test itself: pytest puts its own stderr in place before each."""
    monkeypatch.setattr(told, "_LIVE_SECONDS", 0.001)
    terminal = Terminal(40)
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_on_a_terminal_what_lasts_is_said_again_and_again_and_then_gone(monkeypatch):
    terminal = use_terminal(monkeypatch)
    with During("compiling"):
        assert terminal.enough.wait(20)
    said = terminal.getvalue()
    assert said.count("compiling … 0 s") > 10 and "\n" not in said
    assert said.endswith("\r\x1b[K")


def test_on_a_terminal_the_bar_moves_while_a_run_is_stuck_and_names_it(monkeypatch):
    terminal = use_terminal(monkeypatch)
    with Progress(10, 2, note=lambda: "a slow run, 31 s"):
        assert terminal.enough.wait(20)
        say("mpiapp: a line")
    said = terminal.getvalue()
    assert said.count("2/10") > 10
    assert "failed=0, at a slow run, 31 s" in said
    assert "\r\x1b[Kmpiapp: a line\n" in said  # in the place of the bar, not behind it


def test_in_a_log_what_lasts_is_said_once_and_what_does_not_never(monkeypatch, capsys):
    with During("quick"):
        pass
    monkeypatch.setattr(told, "_FIRST_SECONDS", 0.001)
    log = Terminal(1)
    log.isatty = lambda: False
    monkeypatch.setattr(sys, "stderr", log)
    with During("reading"):
        assert log.enough.wait(20)
        time.sleep(0.02)
    with During("another rank's", silent=True):
        time.sleep(0.02)
    assert log.getvalue() == "reading …\n"
    assert capsys.readouterr().err == ""
