"""How units of work are shared out: among the parts of a job, and in parcels to its workers."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalog.worklist import Target, Unit

# A parcel takes at most this long, so that little is lost with a rank, and at most this share of
# one worker's remaining time, so that all end together.  A unit takes at most this share of the
# whole job, so that no parcel has to shrink below it.
PARCEL_SECONDS = 30.0
_PARCEL_SHARE = 0.125
UNIT_SHARE = 0.01
MAX_SHARDS = 100_000


class Shard(NamedTuple):
    """Part `number` (from 1) of `total` parts of a job."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "3/10"; ValueError if it is no such thing."""
        number, _, total = text.partition("/")
        shard = cls(int(number), int(total))
        if not 1 <= shard.number <= shard.total <= MAX_SHARDS:
            raise ValueError(text)
        return shard

    def path(self, results: Path) -> Path:
        """The results file of this shard, beside that of the whole job."""
        return results.with_name(f"{results.stem}.shard{self.number}of{self.total}{results.suffix}")

    def of(self, units: Sequence[Unit]) -> list[Unit]:
        """The units of this part.

        What shares its files stays together; the parts have about equal cost and
        do not depend on the number of ranks.
        """
        cost: Counter[tuple[int, str, int]] = Counter()
        for unit in units:
            cost[_files(unit)] += round(unit.cost * 1000)
        loads = [(0, part) for part in range(self.total)]
        mine = set()
        for key, more in cost.most_common():
            load, part = heapq.heappop(loads)
            heapq.heappush(loads, (load + more, part))
            if part == self.number - 1:
                mine.add(key)
        return [unit for unit in units if _files(unit) in mine]

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def _files(unit: Unit) -> tuple[int, str, int]:
    """Equal for units that need the same files."""
    return id(unit.worklist), unit.level, unit.group


class Done:
    """The runs that need not be done again.

    Parameters
    ----------
    run_ids : (n,) array
        Sorted run ids, 8 bytes each.
    """

    def __init__(self, run_ids: np.ndarray):
        self._ids = run_ids

    def remaining(self, targets: Sequence[Target]) -> list[Target]:
        """The targets with the matrices whose runs are not done; complete targets are dropped."""
        if not len(self._ids):
            return list(targets)
        left = []
        for target in targets:
            ids = np.array([key.run_id for key in target.run_keys()], np.uint64)
            at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
            open_ = self._ids[at] != ids
            if open_.any():
                matrices = tuple(m for m, wanted in zip(target.matrices, open_) if wanted)
                left.append(target._replace(matrices=matrices))
        return left


def parcels(
    units: Sequence[Unit], n_workers: float, parcel_cost: float = float("inf")
) -> Iterator[list[Unit]]:
    """Parcels for the workers: units that share their files, or whole stacks.

    For infinitely many workers every unit is sent by itself.

    Stacks with much work come first, and parcels shrink with what is left
    (guided self-scheduling, Polychronopoulos & Kuck 1987): the worker that has
    read a file measures most of what needs it, and all workers end together.
    No parcel of several units costs more than `parcel_cost`.
    """
    stacks: dict[tuple[int, str], list[Unit]] = defaultdict(list)
    for unit in units:
        stacks[id(unit.worklist), unit.stack].append(unit)
    cost = {key: sum(unit.cost for unit in stack) for key, stack in stacks.items()}
    total = left = sum(cost.values())
    parcel, size = [], 0.0
    for key in sorted(stacks, key=lambda key: -cost[key]):
        wanted = cost[key]  # a stack that fits into no parcel with others begins one
        for unit in stacks[key]:
            share = max(_PARCEL_SHARE * left, UNIT_SHARE * total) / n_workers
            if parcel and size + wanted > min(parcel_cost, share):
                yield parcel
                parcel, size = [], 0.0
            parcel.append(unit)
            size += unit.cost
            left -= unit.cost
            wanted = unit.cost
    if parcel:
        yield parcel
