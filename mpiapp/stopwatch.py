"""How long each phase takes: the one stopwatch of engines, the ladder and ranks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the wall time of the block, in seconds, to a phase, however the block ends."""
    start = time.perf_counter()
    try:
        yield
    finally:
        spent = time.perf_counter() - start
        seconds[phase] = seconds.get(phase, 0.0) + spent
