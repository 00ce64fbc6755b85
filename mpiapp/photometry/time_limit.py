"""The time limit of a run."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class RunTimeLimit(BaseException):
    """A run has taken too long; no Exception, so that no ladder takes it for a failed sampling."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise RunTimeLimit in the block once it has taken so long.

    It is raised between two steps of Python, so not inside one call of compiled code.
    Without effect for math.inf, and outside of the main thread.
    """
    if seconds == math.inf or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number, frame):
        raise RunTimeLimit(f"not finished after {seconds:g} s ([limits] run_seconds)")

    before = signal.signal(signal.SIGALRM, expire)
    # Again every few seconds, should a callback of compiled code have swallowed it.
    signal.setitimer(signal.ITIMER_REAL, seconds, 5.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
