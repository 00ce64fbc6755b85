"""Progress of a job on its standard error: the present step, and how far it is.

On a terminal a line or a bar that is never still, in a log file few lines.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import time
from collections.abc import Callable

# A line on a terminal is written anew so often.
_LIVE_SECONDS = 0.5
# Lines of a log come first after so long, then ever later: the log of a long job stays short.
_FIRST_SECONDS, _LAST_SECONDS = 3.0, 300.0
# Rate and time left are told once runs have come home for so long.
_ESTIMATE_SECONDS = 10.0
_CLEAR = "\r\x1b[K"


def say(text: str) -> None:
    """A line on stderr, at once, in the place of a live one."""
    print((_CLEAR if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)


class _Ticking:
    """Calls `tick` from a thread of its own until it is closed; the first time after a while."""

    def __init__(self, tick: Callable[[], None], seconds: float):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(tick, seconds), daemon=True)
        self._thread.start()

    def _run(self, tick: Callable[[], None], seconds: float) -> None:
        while not self._over.wait(seconds):
            tick()

    def close(self) -> None:
        self._over.set()
        self._thread.join()


class During:
    """Names a step for as long as it lasts; use as a context manager.

    On a terminal it stands there with the seconds, and is gone at the end; in a log it is a
    line, if it lasts for long.  The ranks beside rank 0 are `silent`.
    """

    def __init__(self, what: str | Callable[[], str], silent: bool = False):
        self._what = what if callable(what) else lambda: what
        self._silent = silent
        self._ticking: _Ticking | None = None
        self._said = False

    def __enter__(self) -> During:
        self._start = time.monotonic()
        if not self._silent:
            live = sys.stderr.isatty()
            tick = self._live if live else self._log
            self._ticking = _Ticking(tick, _LIVE_SECONDS if live else _FIRST_SECONDS)
        return self

    def __exit__(self, *exc) -> None:
        if self._ticking:
            self._ticking.close()
            if sys.stderr.isatty():
                print(_CLEAR, end="", file=sys.stderr, flush=True)

    def _live(self) -> None:
        text = f"{self._what()} … {time.monotonic() - self._start:.0f} s"
        print(_CLEAR + text, end="", file=sys.stderr, flush=True)

    def _log(self) -> None:
        if not self._said:
            self._said = True
            say(f"{self._what()} …")


class Progress:
    """Counts runs done and failed; use as a context manager.

    `note` tells what else to say, if anything.
    """

    def __init__(self, total: int, done: int = 0, note: Callable[[], str] = str, unit: str = "run"):
        self.note = note
        self._unit = unit
        self.total = total
        self.done = done
        # When the first runs came home: compiling before them is no measure of the others.
        self._first_home: tuple[float, int] | None = None
        self.failed = 0
        self._start = self._last = time.monotonic()
        self._bar = None
        self._ticking: _Ticking | None = None

    def add(self, n_runs: int, n_failed: int) -> None:
        self.done += n_runs
        self.failed += n_failed
        if self._first_home is None:
            self._first_home = time.monotonic(), self.done
        if self._bar is not None:
            self._bar.update(n_runs)
        else:
            self.tick()

    def tick(self) -> None:
        """Say something in a log if it is time to."""
        if self._bar is None:
            told, now = self._last - self._start, time.monotonic()
            if now - self._last >= min(max(told, _FIRST_SECONDS), _LAST_SECONDS):
                self._last = now
                self.log()

    def log(self) -> None:
        say(
            f"{time.strftime('%Y-%m-%dT%H:%M:%S')}  {self.done}/{self.total} {self._unit}s, "
            f"{self.failed} failed{self._estimate()}"
            + (f"; longest out: {note}" if (note := self.note()) else "")
        )

    def _estimate(self) -> str:
        """Rate and time left, once there is something to estimate them from."""
        since, first = self._first_home or (time.monotonic(), self.done)
        elapsed, n_runs = time.monotonic() - since, self.done - first
        if elapsed < _ESTIMATE_SECONDS or not n_runs:
            return ""
        seconds = (self.total - self.done) * elapsed / n_runs
        left = f"{seconds / 3600:.1f} h" if seconds > 7200 else f"{seconds / 60:.1f} min"
        return f", {n_runs / elapsed:.3g} {self._unit}s/s, {left} left"

    def _live(self) -> None:
        failed, note = f"failed={self.failed}", self.note()
        self._bar.set_postfix_str(f"{failed}, at {note}" if note else failed, refresh=False)
        self._bar.refresh()

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            # A tenth of the time in which a rank starts, and none of a batch job has a terminal.
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total,
                initial=self.done,
                unit=self._unit,
                smoothing=0.1,
                dynamic_ncols=True,
                file=sys.stderr,
            )
            self._ticking = _Ticking(self._live, _LIVE_SECONDS)
        return self

    def __exit__(self, *exc) -> None:
        if self._bar is not None:
            self._ticking.close()
            self._live()
            self._bar.close()
        else:
            self.log()


class UnbreakableStream(io.TextIOBase):
    """A stream that goes on when its reader is gone, its disk is full or it was never open."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()
