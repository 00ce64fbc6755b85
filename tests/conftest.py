"""What holds for all tests: who runs which, and the end of a suite that is stuck."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from time import monotonic  # not of the module, whose clock tests set

import pytest
from jobs import HANGING, share


def pytest_collection_modifyitems(items):
    """Under mpiexec each rank runs its share of the tests."""
    rank, size = share()
    items[:] = items[rank::size]


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # the process that hears of all tests
        capture = config.pluginmanager.get_plugin("capturemanager")
        config.pluginmanager.register(StuckSuite(HANGING + 300, capture))


class StuckSuite:
    """Ends the suite, and says which tests were running, once none has ended for so many seconds.

    No test has a limit of its own: a slow machine, or one that others use too, costs time and
    nothing else.  Where a test stands, pytest's `faulthandler_timeout` has printed by then.
    """

    def __init__(self, seconds: float, capture=None):
        self._seconds = seconds
        self._capture = capture
        self._running: dict[str, None] = {}
        self._last_end = monotonic()
        self._is_over = threading.Event()

    def pytest_sessionstart(self):
        threading.Thread(target=self._watch, daemon=True).start()

    def pytest_sessionfinish(self):
        self._is_over.set()

    def pytest_runtest_logstart(self, nodeid):
        self._running[nodeid] = None

    def pytest_runtest_logfinish(self, nodeid):
        self._running.pop(nodeid, None)
        self._last_end = monotonic()

    @property
    def is_stuck(self) -> bool:
        return monotonic() - self._last_end > self._seconds

    def _watch(self):
        while not self._is_over.wait(min(5.0, self._seconds)):
            if self.is_stuck:
                tests = "\n  ".join(list(self._running) or ["none: tests were being collected"])
                message = f"No test has ended for {self._seconds:.0f} s.  Running:\n  {tests}\n"
                if self._capture:
                    self._capture.suspend_global_capture()
                os.write(sys.__stderr__.fileno(), message.encode())
                for pid in descendants(os.getpid()):
                    os.kill(pid, signal.SIGKILL)
                os._exit(pytest.ExitCode.INTERRUPTED)


def descendants(pid: int) -> list[int]:
    """The processes that this one and its children have started, by Linux's /proc."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found += [child, *descendants(child)]
    return found
