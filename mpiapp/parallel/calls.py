"""The calls that rank 0 makes of a worker rank, and the answer that comes home."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..catalog.outcome import unplanned
from ..catalog.worklist import Target
from ..files.packed_runs import pack
from ..photometry.photometer import Photometer
from .clock import Clock
from .dispatch import Parcel
from .scanning import scan_file
from .shares import Done
from .stop import Stop


class Answer(NamedTuple):
    """A worker's answer: the result, and the state of the rank.

    `clock` are its columns of /ranks; `signal` and `reason` say why it has stopped, if it has;
    `rest` are the runs of the parcel that it has not done.
    """

    rank: int
    clock: dict
    signal: int
    reason: str
    result: object
    rest: Sequence[Target]


class _Worker(NamedTuple):
    """State of this process for the calls, which bring nothing but their argument."""

    photometer: Photometer
    clock: Clock
    stop: Stop


_worker: _Worker | None = None


def set_worker(photometer: Photometer, clock: Clock, stop: Stop) -> None:
    """Have the calls below measure with this photometer, on this rank's clock."""
    global _worker
    _worker = _Worker(photometer, clock, stop)


def measure_parcel(parcel: Parcel) -> Answer:
    """A Batch of all runs of a few targets."""
    with _worker.clock.busy("measure"):
        batch = _worker.photometer.measure(parcel.content, parcel.seconds)
        _worker.clock.runs += len(batch.runs)
        rest = []
        if len(batch.runs) < sum(len(target.matrices) for target in parcel.content):
            rest = Done(np.sort(batch.runs["run_id"])).remaining(parcel.content)
        # Rank 0 looks at what went wrong.
        batch = pack(batch, loose=unplanned(batch.runs["outcome"]))
    return _answer(batch, rest)


def scan_parcel(parcel: Parcel) -> Answer:
    """The contents of a few prep3 files, a ScannedFile each."""
    with _worker.clock.busy("scan"):
        found = [scan_file(path) for path in parcel.content]
    return _answer(found)


def call_roll() -> Answer:
    """Nothing but that this rank is there."""
    return _answer(None)


def _answer(result: object, rest: Sequence[Target] = ()) -> Answer:
    clock, stop = _worker.clock, _worker.stop
    return Answer(clock.rank, clock.row(), stop.signal, stop.reason, result, rest)
