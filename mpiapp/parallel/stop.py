"""When a job has to end early: its time is over, or it was asked to by a signal.

The time budget is the guard that always works.  Signals are the second: a
handler only notes the signal, and runs only when its process is not inside a
library call.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic is large, and for rank 0 alone
    from ..config import Limits

SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)

# Launcher and scheduler may both deliver one request to the same process.
_SAME_REQUEST_SECONDS = 1.0

# PBS sends KILL 10 s after TERM; USR1 comes long before the end.
_PATIENCE = {signal.SIGTERM: 8.0, signal.SIGINT: 8.0}

# Until a configuration says otherwise.
_RESERVE_SECONDS = 120.0
# Of a short job not all the time must go into the reserve.
_RESERVE_SHARE = 0.2


class Stop:
    """Whether the job has to end, and why.

    Every rank has one, since a signal may reach any of them, and begins nothing new when it
    says so; rank 0 ends the job by its own.

    Attributes
    ----------
    signal : int
        The signal that this process was asked to stop with, 0 if none.
    reason : str
        Empty until the job has to end.
    is_over : bool
        All is done: a signal that still comes is not to make a failure of it.
    """

    def __init__(self):
        self.signal = 0
        self.reason = ""
        self.is_over = False
        self._since = 0.0
        self._budget, self._reserve = "", _RESERVE_SECONDS
        self._stop_at = self._give_up_at = float("inf")

    def limit(self, limits: Limits, end: float | None = None) -> None:
        """End by a budget, or by `end`, the Unix time at which the scheduler ends the job."""
        now = time.monotonic()
        budgets = [(now + limits.job_seconds, "[limits] job_seconds")] if limits.job_seconds else []
        if end is not None:
            budgets.append((now + end - time.time(), "walltime"))
        end, self._budget = min(budgets, default=(float("inf"), ""))
        self._reserve = min(limits.reserve_seconds, _RESERVE_SHARE * (end - now))
        self._stop_at = end - self._reserve
        self._give_up_at = end - self._reserve / 4

    @property
    def seconds_left(self) -> float | None:
        """Until a time limit ends the job; None without one."""
        left = self._stop_at - time.monotonic()
        return left if left < float("inf") else None

    def after(self, seconds: float | None) -> None:
        """Begin nothing new after so many seconds: how a rank learns of rank 0's time limit."""
        if seconds is not None:
            self._budget, self._stop_at = "time of the job", time.monotonic() + seconds

    def poll(self) -> bool:
        """Whether to begin nothing new."""
        if self.signal and not self.reason:
            patience = _PATIENCE.get(self.signal, self._reserve)
            self.ask(f"signal {signal.Signals(self.signal).name}", patience)
        if not self.reason and time.monotonic() >= self._stop_at:
            self.reason = f"the {self._budget} is nearly over"
        return bool(self.reason)

    def heed(self, number: int, reason: str) -> None:
        """Another rank has stopped, by the signal of this number, or 0 for its time."""
        self.signal = self.signal or number
        if not self.poll():
            self.ask(reason, float("inf"))

    def ask(self, reason: str, patience: float = _PATIENCE[signal.SIGTERM]) -> None:
        """End for another reason, and wait so long for parcels that are out."""
        if not self.reason:
            self.reason = reason
            self._give_up_at = min(self._give_up_at, time.monotonic() + patience)

    @property
    def out_of_patience(self) -> bool:
        """Whether to give up waiting for parcels that are out."""
        return bool(self.reason) and time.monotonic() >= self._give_up_at

    def _handle(self, number: int, frame) -> None:
        now = time.monotonic()
        if not self.signal:
            self.signal, self._since = number, now
        elif now - self._since > _SAME_REQUEST_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """The first signal is noted, a second one ends the process at once."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self.is_over else handler)
