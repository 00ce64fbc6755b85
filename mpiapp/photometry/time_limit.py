"""The time limit of a run."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A callback of compiled code may have swallowed the first.
_AGAIN_SECONDS = 5.0


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
        if _is_loading(frame):
            signal.setitimer(signal.ITIMER_REAL, 0.1, _AGAIN_SECONDS)
            return
        raise RunTimeLimit(f"not finished after {seconds:g} s ([limits] run_seconds)")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _is_loading(frame: FrameType | None) -> bool:
    """Whether numba is making a function ready, which a run that is broken off leaves unusable."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in ("numba", "llvmlite"):
            return True
        frame = frame.f_back
    return False
