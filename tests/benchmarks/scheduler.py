"""A simulation of the scheduler: a job on many ranks, from the costs of its parts.

It follows `mpiapp.parallel`: the scan of the files, the plan, the parcels that `parcels` makes (by
the cost model, heaviest first), a window of two a worker, and rank 0 that does one thing after
the other.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from mpiapp.config import Config
from mpiapp.files.schema import CHUNK_ROWS
from mpiapp.parallel.planning import Plan, make_plan
from mpiapp.parallel.shares import parcels
from mpiapp.report.cost_model import CostModel

BACKOFF = 5e-3  # rank 0's longest sleep between two polls
WINDOW = 2  # parcels under way, a worker
SCAN_FILES = 8


class Costs(NamedTuple):
    """Seconds on this machine; all but the first five and the last are rank 0's."""

    startup: float  # of a job, until its ranks are ready
    scan: float  # of a file, on a worker
    read: float  # of a file, on a worker
    parcel: float  # what a parcel takes beside its runs, on a worker
    pack: float  # the rows of a run into a message, on a worker
    scanned: float  # to take in the scan of a file
    plan: float  # of a run
    make: float  # the payload of a target
    message: float  # to send a payload or to receive a result
    byte: float  # to receive
    unpack: float  # the rows of a run
    unpack_loose: float  # that is in no block
    row: float  # the rows of a run to the file
    row_loose: float
    flush: float  # processor time of a flush
    sync: float  # the disk's time of a flush, in which messages go on
    future: float  # each time that rank 0 looks, of a parcel under way
    publish: float  # of a run
    merge: float  # of a run
    run_bytes: float  # of the rows of a run in a message

    def result(self, runs: int) -> float:
        """To receive the result of a parcel."""
        return (
            self.message
            + self.run_bytes * self.byte * runs
            + self._rows(runs, self.unpack, self.unpack_loose)
        )

    def written(self, runs: int) -> float:
        """To bring the rows of a parcel to the file."""
        return self._rows(runs, self.row, self.row_loose)

    def _rows(self, runs: int, each: float, each_loose: float) -> float:
        loose = runs % CHUNK_ROWS
        return each * (runs - loose) + each_loose * loose


class Sent(NamedTuple):
    """A parcel as the simulation sees it."""

    seconds: float
    runs: int
    targets: int
    files: frozenset
    columns: frozenset


class Passed(NamedTuple):
    """What a pass of `dispatch.stream` took: until all was home, rank 0's share, the workers'."""

    seconds: float
    rank0: float
    workers: float


def stream(
    sent: Iterable[Sent], n_workers: int, c: Costs, flush_runs: float, compiling: float = 0.0
) -> Passed:
    """A pass of `dispatch.stream` over the parcels.

    Rank 0 has two threads and one processor: messages go first, then what the main thread has
    before it: rows of results that have come, a payload for each of them, and a look
    at all futures.  A result that finds rank 0 asleep waits for half its longest sleep.
    """
    waiting = iter(sent)
    homing: list[tuple[float, int, Sent]] = []
    idle, made = deque(range(n_workers)), deque()
    done: deque[Sent] = deque()
    to_write: deque[Sent] = deque()
    to_make = under_way = pending = 0
    to_make = WINDOW * n_workers
    has = [frozenset()] * n_workers
    compiled: list[set] = [set() for _ in range(n_workers)]
    now = main_free = rank0 = worked = 0.0
    while True:
        t0 = now
        if homing and homing[0][0] <= now:
            _, worker, parcel = heapq.heappop(homing)
            now += c.result(parcel.runs)
            idle.append(worker)
            done.append(parcel)
        elif made and idle:
            worker, parcel = idle.popleft(), made.popleft()
            now += c.message
            seconds = (
                c.parcel
                + parcel.seconds
                + c.pack * parcel.runs
                + c.read * len(parcel.files - has[worker])
            )
            has[worker] = parcel.files
            new = parcel.columns - compiled[worker] if compiling else ()
            compiled[worker].update(new)
            seconds += compiling * len(new)
            worked += seconds
            heapq.heappush(homing, (now + seconds, worker, parcel))
        elif main_free <= now and to_write:
            parcel = to_write.popleft()
            pending += parcel.runs
            now += c.written(parcel.runs)
            under_way -= 1
            if pending >= flush_runs or not (under_way or to_make):
                now += c.flush
                pending, main_free = 0, now + c.sync
        elif main_free <= now and to_make:
            to_make -= 1
            parcel = next(waiting, None)
            if parcel is None:
                to_make = 0
            else:
                now += c.make * parcel.targets
                made.append(parcel)
                under_way += 1
        elif main_free <= now and done:
            now += c.future * under_way
            to_write, done = done, deque()
            to_make = len(to_write)
        else:
            events = [homing[0][0]] if homing else []
            if to_write or to_make or done:
                events.append(main_free)
            if not events:
                return Passed(max(now, main_free), rank0, worked)
            slept = min(events) - now
            now = min(events) + (0.5 * BACKOFF if slept > BACKOFF else 0.0)
            continue
        rank0 += now - t0


class Work(NamedTuple):
    """A survey, its scanned files, and what runs of an engine take.

    model : of the runs without reading and compiling
    spread : standard deviation of a run's time over what the model says
    compiling : seconds that an engine compiles for problems of a new number of columns
    planned : what `mpiapp plan --timings` says of it
    """

    config: Config
    files: list
    scanned: dict
    typical: float
    model: CostModel
    spread: float = 0.0
    compiling: float = 0.0
    planned: float = 0.0

    def times(self, factor: float) -> Work:
        """The same with all times of runs multiplied."""
        model = self.model._replace(base=factor * self.model.base, slope=factor * self.model.slope)
        return self._replace(
            model=model, compiling=factor * self.compiling, planned=factor * self.planned
        )

    def plan(self, n_workers: float) -> Plan:
        """The plan of a survey, in units as for so many workers."""
        found = self.scanned
        return make_plan(
            self.config, self.files, lambda paths: [found[p] for p in paths], n_workers,
            self.typical,
        )  # fmt: skip

    def sent(self, n_workers: int, copies: int, shards: int = 1) -> Iterator[Sent]:
        """The parcels of one of the shards of so many copies of the survey."""
        # A job of more runs has larger units, as with fewer workers.
        plan = self.plan(n_workers / copies)
        rng = np.random.default_rng(1)
        known = {}
        for unit in plan.units:
            targets = unit.targets()
            seconds = 0.0
            for t in targets:
                runs = len(t.matrices)
                scatter = 1.0 + self.spread * rng.standard_normal() / np.sqrt(max(runs, 1))
                one = self.model.seconds(t.n_sources, len(t.parts))
                seconds += runs * one * max(scatter, 0.1)
            known[unit.level, unit.group, unit.first] = (
                seconds,
                len(targets),
                {part.files for t in targets for part in t.parts},
                {t.n_sources + len(t.parts) for t in targets},
            )
        units = [
            unit._replace(stack=f"{unit.stack} {k}")
            for k in range(-(-copies // shards))
            for unit in plan.units
        ]
        for parcel in parcels(units, n_workers, plan.parcel_cost):
            about = [known[u.level, u.group, u.first] for u in parcel]
            yield Sent(
                sum(a[0] for a in about),
                sum(u.n_runs for u in parcel),
                sum(a[1] for a in about),
                frozenset((u.stack, path) for u, a in zip(parcel, about) for path in a[2]),
                frozenset().union(*(a[3] for a in about)),
            )


class Predicted(NamedTuple):
    """Seconds of a job, and of that what its parts took."""

    total: float
    before: float
    measure: Passed
    merging: float
    work: float


def predict(work: Work, c: Costs, ranks: int, copies: int, shards: int = 1) -> Predicted:
    """A job of so many ranks, or shards that share them and are merged; start-up included."""
    n_workers = ranks // shards - 1
    n_files = copies * len(work.scanned)
    n_runs = copies * work.plan(1).n_runs
    chunks = -(-n_files // SCAN_FILES)
    chunk = Sent(SCAN_FILES * c.scan, 0, 0, frozenset(), frozenset())
    receiving = c._replace(message=c.message + SCAN_FILES * c.scanned / 2.0, parcel=0.0)
    scan = stream([chunk] * chunks, n_workers, receiving, np.inf)
    before = c.startup + scan.seconds + c.plan * n_runs
    flush = work.config.output.batch_runs
    sent = work.sent(n_workers, copies, shards)
    measure = stream(sent, n_workers, c, flush, work.compiling)
    merging = c.merge * n_runs if shards > 1 else 0.0
    total = before + measure.seconds + c.publish * n_runs / shards + merging
    plan = work.plan(1)
    pure = copies * sum(work.model.total(unit.targets()) for unit in plan.units)
    return Predicted(total, before, measure, merging, pure)
