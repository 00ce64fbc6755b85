"""From the configured inputs to work lists: find the files, scan them, cut units."""

from __future__ import annotations

import glob
import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from .. import provenance
from ..catalog.bundle import InputError
from ..catalog.worklist import BundleScan, FileScan, Selection, Unit, WorkList
from ..config import Config, ConfigError, Input
from ..files.mst3 import Mst3File, read_mst3
from ..files.prep3 import Prep3Scan, contradictions, scan_prep3
from ..files.schema import COMPONENT_BYTES, NAME_BYTES

# A parcel is at most this long, so that little is lost with a rank, and at most this share of
# what is left for one worker, so that all end together; a unit at most that share of all of it,
# below which no parcel has to shrink.
_PARCEL_SECONDS = 30.0
_PARCEL_SHARE = 0.125
_UNIT_SHARE = 0.01


class Fault(NamedTuple):
    """An input that cannot be used: the file or master source, and what is wrong."""

    where: str
    message: str


class ScannedFile(NamedTuple):
    """What a worker found in one prep3 file; `scan` is None if it cannot be used at all."""

    path: str
    digest: str
    scan: Prep3Scan | None
    faults: list[Fault]


Piece = tuple[WorkList, Unit]


class Shard(NamedTuple):
    """Part `number` (from 1) of `total` parts of a job."""

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "3/10"; ValueError if it is no such thing."""
        number, _, total = text.partition("/")
        shard = cls(int(number), int(total))
        if not 1 <= shard.number <= shard.total:
            raise ValueError(text)
        return shard

    def path(self, results: Path) -> Path:
        """The results file of this shard, beside that of the whole job."""
        return results.with_name(f"{results.stem}.shard{self.number}of{self.total}{results.suffix}")

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


@dataclass(frozen=True)
class Plan:
    """Everything that is to be done, and what cannot be.

    `parcel_cost` is the most that is sent to a worker at once, `groups` are the
    (work list, level, group) of a shard; None for everything.
    """

    worklists: list[WorkList]
    inputs: list[tuple[str, str]]
    faults: list[Fault]
    parcel_cost: float = float("inf")
    groups: frozenset[tuple[int, str, int]] | None = None

    @property
    def n_runs(self) -> int:
        return sum(unit.n_runs for _, unit in self.units())

    def shard(self, shard: Shard | None) -> Plan:
        """One part of the work, None for all of it.

        What shares its files stays together; the parts have about equal cost and
        do not depend on the number of ranks.
        """
        if shard is None:
            return self
        cost: Counter[tuple[int, str, int]] = Counter()
        for i, worklist in enumerate(self.worklists):
            for unit in worklist.units:
                cost[i, unit.level, unit.group] += round(unit.cost * 1000)
        loads = [(0, part) for part in range(shard.total)]
        mine = set()
        for key in sorted(cost, key=lambda key: (-cost[key], key)):
            load, part = heapq.heappop(loads)
            heapq.heappush(loads, (load + cost[key], part))
            if part == shard.number - 1:
                mine.add(key)
        return replace(self, groups=frozenset(mine))

    def units(self) -> list[Piece]:
        """Every unit with its work list."""
        return [
            (worklist, unit)
            for i, worklist in enumerate(self.worklists)
            for unit in worklist.units
            if self.groups is None or (i, unit.level, unit.group) in self.groups
        ]

    def parcels(self, n_workers: float) -> Iterator[list[Piece]]:
        """What is sent to a worker at once: units that share their files, or whole stacks.

        For infinitely many workers every unit is sent by itself.

        Stacks with much work come first, and parcels shrink with what is left
        (guided self-scheduling, Polychronopoulos & Kuck 1987): the worker that has
        read a file measures most of what needs it, and all workers end together.
        """
        stacks: dict[tuple[int, str], list[Piece]] = defaultdict(list)
        for worklist, unit in self.units():
            stacks[id(worklist), unit.stack].append((worklist, unit))
        cost = {key: sum(unit.cost for _, unit in pieces) for key, pieces in stacks.items()}
        total = left = sum(cost.values())
        parcel, size = [], 0.0
        for key in sorted(stacks, key=lambda key: -cost[key]):
            wanted = cost[key]  # a stack that fits into no parcel with others begins one
            for worklist, unit in stacks[key]:
                share = max(_PARCEL_SHARE * left, _UNIT_SHARE * total) / n_workers
                limit = min(self.parcel_cost, share)
                if parcel and size + wanted > limit:
                    yield parcel
                    parcel, size = [], 0.0
                parcel.append((worklist, unit))
                size += unit.cost
                left -= unit.cost
                wanted = unit.cost
        if parcel:
            yield parcel


class InputFiles(NamedTuple):
    """The files of one [[input]], before its prep3 files have been opened."""

    prep3: list[str]
    mst3: Mst3File | None


def find_inputs(config: Config) -> list[InputFiles]:
    """The files of every [[input]].

    Raises
    ------
    ConfigError
        If a path names nothing, a prep3 file belongs to two inputs, or an mst3
        file cannot be read.
    """
    found = [InputFiles(prep3_paths(group.prep3), _mst3(group)) for group in config.input]
    twice = [p for p, n in Counter(p for files in found for p in files.prep3).items() if n > 1]
    if twice:
        raise ConfigError(f"input.prep3: {twice[0]} is in more than one [[input]]; keep one")
    return found


def prep3_paths(patterns: Sequence[str]) -> list[str]:
    """The prep3 files that files, folders (their *prep3.fits) and globs name, sorted."""
    found: set[str] = set()
    for pattern in patterns:
        if os.path.isdir(pattern):
            paths = glob.glob(os.path.join(glob.escape(pattern), "*prep3.fits"))
        else:
            paths = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
        if not paths:
            raise ConfigError(f"input.prep3 = {pattern!r}: there is no such file")
        found.update(paths)
    return sorted(found)


def _mst3(group: Input) -> Mst3File | None:
    if group.mst3 is None:
        return None
    try:
        return read_mst3(group.mst3)
    except InputError as error:
        raise ConfigError(f"input.mst3: {error}") from error


def scan_here(paths: Sequence[str]) -> list[ScannedFile]:
    """Scan prep3 files in this process."""
    return [scan_file(path) for path in paths]


def scan_file(path: str) -> ScannedFile:
    """Scan one prep3 file; runs on any rank, never raises for bad input."""
    try:
        scan = scan_prep3(path)
        too_long = _too_long(scan)
        digest = provenance.digest(path)
    except (InputError, OSError) as error:
        return ScannedFile(path, "", None, [Fault(path, str(error))])
    if too_long:
        return ScannedFile(path, digest, None, [Fault(path, too_long)])
    return ScannedFile(path, digest, scan, [Fault(path, r.message) for r in scan.rejected])


def _too_long(scan: Prep3Scan) -> str:
    """Names have fixed widths in the results; cutting them would confuse sources."""
    head = scan.header
    for bundle, components in scan.components.items():
        target = f"{head.stack}/{head.obsid}/{bundle}"
        if len(target.encode()) > NAME_BYTES:
            return f"{head.path}: the name {target} is longer than {NAME_BYTES} bytes; shorten it"
        for c in components:
            if len(f"{head.stack}/{c}".encode()) > NAME_BYTES or len(c.encode()) > COMPONENT_BYTES:
                return f"{head.path}: component {c} is longer than {COMPONENT_BYTES} bytes"
    return ""


def make_plan(
    config: Config,
    files: Sequence[InputFiles],
    scan: Callable[[Sequence[str]], list[ScannedFile]],
    n_workers: int = 1,
    seconds_per_run: float = 1.0,
) -> Plan:
    """Have all prep3 files scanned by `scan`, and cut the work into units."""
    inputs, faults, groups = [], [], []
    for group, found in zip(config.input, files):
        scanned = scan(found.prep3)
        inputs += [(s.path, s.digest) for s in scanned]
        faults += [fault for s in scanned for fault in s.faults]
        scans = [s.scan for s in scanned if s.scan is not None]
        conflicts = contradictions(scans)
        doubles = {c.message.partition(":")[0] for c in conflicts if c.component is None}
        faults += [Fault(c.stack, c.message) for c in conflicts if c.component is None]
        bad_bundles = {
            (c.stack, bundle): c.message for c in conflicts if c.component for bundle in c.bundles
        }
        if found.mst3 is not None:
            faults += [Fault(r.master or found.mst3.path, r.message) for r in found.mst3.rejected]
        usable = [_file_scan(scan) for scan in scans if scan.header.path not in doubles]
        groups.append((group, found.mst3, usable, bad_bundles))
    cost = sum(
        len(bundle.matrices) * len(group.levels)
        for group, _, scans, _ in groups
        for scan in scans
        for bundle in scan.bundles.values()
    )
    parcel_cost = _PARCEL_SECONDS / seconds_per_run
    unit_cost = min(_UNIT_SHARE * cost / n_workers, parcel_cost)
    select = config.select
    worklists = [
        WorkList(
            scans,
            Selection(
                tuple(group.levels),
                tuple(select.bands),
                tuple(select.apertures),
                tuple(select.quantities),
            ),
            mst3.associations if mst3 else None,
            bad_bundles,
            unit_cost,
        )
        for group, mst3, scans, bad_bundles in groups
    ]
    faults += [Fault(*item) for w in worklists for item in w.doubts]
    return Plan(worklists, inputs, faults, parcel_cost)


def _file_scan(scan: Prep3Scan) -> FileScan:
    head = scan.header
    sets: dict[frozenset, frozenset] = {}
    bundles = {}
    for name, components in scan.components.items():
        matrices = frozenset(tuple(m) for m, names in scan.matrices.items() if name in names)
        bundles[name] = BundleScan(components, sets.setdefault(matrices, matrices))
    return FileScan(head.path, head.stack, head.obsid, head.exposure_s, bundles)
