"""The suite itself: one that is stuck ends, and says where."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from conftest import StuckSuite
from jobs import environment

STUCK = """
import subprocess, time
from conftest import StuckSuite

suite = StuckSuite(seconds=0.5)
suite.pytest_runtest_logstart("tests/test_x.py::test_done")
suite.pytest_runtest_logfinish("tests/test_x.py::test_done")
suite.pytest_runtest_logstart("tests/test_x.py::test_hangs")
child = subprocess.Popen(["sleep", "100000"])
print(child.pid, flush=True)
suite.pytest_sessionstart()
time.sleep(100000)
"""


def test_a_stuck_suite_ends_with_what_it_started_and_names_the_tests_that_run():
    done = subprocess.run(
        [sys.executable, "-c", STUCK], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "tests/test_x.py::test_hangs" in done.stderr
    assert "test_done" not in done.stderr
    child = Path(f"/proc/{done.stdout.strip()}")
    while child.exists() and " Z " not in (child / "stat").read_text():
        time.sleep(0.01)  # if it lived on, this test would be the stuck one


def test_a_test_that_sets_the_clock_does_not_end_the_suite(monkeypatch):
    suite = StuckSuite(seconds=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    assert not suite.is_stuck
