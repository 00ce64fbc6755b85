"""Live progress of a job: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tqdm import tqdm


def say(text: str) -> None:
    """A line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Counts runs done and failed; use as a context manager.

    `note` tells what else to say in a line, if anything.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        every_seconds: float = 30.0,
        note: Callable[[], str] = str,
    ):
        self.note = note
        self.total = total
        self.done = self.first = done
        self.failed = 0
        self.every_seconds = every_seconds
        self._start = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="run", smoothing=0.1)

    def add(self, n_runs: int, n_failed: int) -> None:
        self.done += n_runs
        self.failed += n_failed
        if self._bar is not None:
            self._bar.update(n_runs)
            self._bar.set_postfix(failed=self.failed)
        else:
            self.tick()

    def tick(self) -> None:
        """Say something if it is time to."""
        if self._bar is None and time.monotonic() - self._last > self.every_seconds:
            self._last = time.monotonic()
            self.log()

    def log(self) -> None:
        elapsed = time.monotonic() - self._start
        rate = (self.done - self.first) / elapsed if elapsed else 0.0
        left = "time left unknown"
        if rate:
            seconds = (self.total - self.done) / rate
            left = f"{seconds / 3600:.1f} h" if seconds > 7200 else f"{seconds / 60:.1f} min"
            left += " left"
        say(
            f"{time.strftime('%Y-%m-%dT%H:%M:%S')}  {self.done}/{self.total} runs, "
            f"{self.failed} failed, {rate:.3g} runs/s, {left}"
            + (f"; oldest run in flight: {note}" if (note := self.note()) else "")
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self.log()
