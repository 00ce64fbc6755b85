"""When a job has to end early: its time is over, or it was asked to by a signal.

The time budget is the guard that always works.  Signals are the second: a
handler only sets a flag, and runs only when its process is not inside a
library call.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..config import Limits

SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)

# Launcher and scheduler may both deliver one request to the same process.
_SAME_REQUEST_SECONDS = 1.0

# PBS sends KILL 10 s after TERM; USR1 comes long before the end.
_PATIENCE = {signal.SIGTERM: 8.0, signal.SIGINT: 8.0}

# Of a short job not all the time must go into the reserve.
_RESERVE_SHARE = 0.2


class Interrupt:
    """Tells whether the job has to end, and why.

    Parameters
    ----------
    limits : Limits
    end : float, optional
        Unix time at which the scheduler ends the job.

    Attributes
    ----------
    reason : str
        Empty until the job has to end.
    """

    def __init__(self, limits: Limits, end: float | None = None):
        now = time.monotonic()
        budgets = [(now + limits.job_seconds, "[limits] job_seconds")] if limits.job_seconds else []
        if end is not None:
            budgets.append((now + end - time.time(), "walltime"))
        self._end, self._budget = min(budgets, default=(float("inf"), ""))
        self._reserve = min(limits.reserve_seconds, _RESERVE_SHARE * (self._end - now))
        self._stop_at = self._end - self._reserve
        self._give_up_at = self._end - self._reserve / 4
        self.reason = ""

    def poll(self, number: int) -> bool:
        """Whether to dispatch nothing new; `number`: the signal that a rank has got, or 0."""
        if number:
            patience = _PATIENCE.get(number, self._reserve)
            self.ask(f"signal {signal.Signals(number).name}", patience)
        if not self.reason and time.monotonic() >= self._stop_at:
            self.reason = f"the {self._budget} is nearly over"
        return bool(self.reason)

    def ask(self, reason: str, patience: float = _PATIENCE[signal.SIGTERM]) -> None:
        """End for another reason, and wait so long for the runs in flight."""
        if not self.reason:
            self.reason = reason
            self._give_up_at = min(self._give_up_at, time.monotonic() + patience)

    @property
    def out_of_patience(self) -> bool:
        """Whether to wait no longer for the runs that are in flight."""
        return bool(self.reason) and time.monotonic() >= self._give_up_at


class StopFlag:
    """The signal that this process was asked to stop with, 0 if none."""

    def __init__(self):
        self.signal = 0
        self._since = 0.0

    def _handle(self, number: int, frame) -> None:
        now = time.monotonic()
        if not self.signal:
            self.signal, self._since = number, now
        elif now - self._since > _SAME_REQUEST_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    @contextmanager
    def listening(self) -> Iterator[StopFlag]:
        """The first signal sets the flag, a second one ends the process at once."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class RunTimeLimit(BaseException):
    """A run has taken too long; no Exception, so that no ladder takes it for a failed sampling."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise RunTimeLimit in the block once it has taken so long.

    It is raised between two steps of Python, so not inside one call of compiled code.
    """
    if threading.current_thread() is not threading.main_thread():
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


def scheduled_end(environ: Mapping[str, str] = os.environ) -> float | None:
    """Unix time at which SLURM or PBS ends this job; None where neither says."""
    if environ.get("SLURM_JOB_END_TIME", "").isdigit():
        return float(environ["SLURM_JOB_END_TIME"])
    if environ.get("PBS_JOBID"):
        return _pbs_end(environ)
    return None


def _pbs_end(environ: Mapping[str, str]) -> float | None:
    """PBS sets no variable for it (Torque does, for the length): ask qstat."""
    text = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        text = subprocess.run(
            ["qstat", "-f", environ["PBS_JOBID"]], capture_output=True, text=True, timeout=20
        ).stdout
    start = time.time()
    if found := re.search(r"^\s*stime = (.+)$", text, re.MULTILINE):
        with contextlib.suppress(ValueError):
            start = time.mktime(time.strptime(found[1].strip(), "%a %b %d %H:%M:%S %Y"))
    if found := re.search(r"^\s*Resource_List\.walltime = (\d+):(\d+):(\d+)", text, re.MULTILINE):
        hours, minutes, seconds = map(int, found.groups())
        return start + 3600 * hours + 60 * minutes + seconds
    if environ.get("PBS_WALLTIME", "").isdigit():
        return start + float(environ["PBS_WALLTIME"])
    return None
