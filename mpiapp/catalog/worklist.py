"""The work list: which targets there are, what they cost, and the units they are cut into.

Rank 0 keeps the scans of the files and a few numbers per unit; the targets of a
unit are made again, from the scans, when the unit is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

from .assemble import merge_labels
from .fault import Fault, InputError
from .masters import Associations
from .quantities import APERTURES, LEVELS, QUANTITIES, Matrix
from .runs import RunKey
from .scan import BundleScan, Files, FileScan, ObsidScan, contradictions, obsid_scans


class Part(NamedTuple):
    """One contributing obsid of a target: a bundle, and the prep3 files that hold it."""

    files: Files
    bundle: str


class Target(NamedTuple):
    """One bundle or master source, with all its runs.

    Attributes
    ----------
    parts : tuple of Part
        Empty for a block whose obsids see nothing of the master source's bundles.
    matrices : tuple of Matrix
        One run each.
    reported : tuple of str
        The source columns that are results: all of a bundle's components, but
        only the master source itself at master level.
    labels : dict (stack, component) -> column label, or None
        At master level, where a column is a master source.
    fault : str
        Why the target cannot be measured; empty if it can.
    """

    level: str
    name: str
    parts: tuple[Part, ...]
    matrices: tuple[Matrix, ...]
    reported: tuple[str, ...]
    labels: dict[tuple[str, str], str] | None = None
    is_best_block: bool = False
    fault: str = ""

    @property
    def n_sources(self) -> int:
        """Source columns of its problems, neighbours too."""
        return len(set(self.labels.values())) if self.labels else len(self.reported)

    def run_keys(self) -> list[RunKey]:
        """The keys of its runs."""
        return [RunKey(self.level, self.name, *matrix) for matrix in self.matrices]


@dataclass(frozen=True)
class Selection:
    """Levels, bands (all, if none is named), apertures and quantities that are wanted."""

    levels: tuple[str, ...] = LEVELS
    bands: tuple[str, ...] = ()
    apertures: tuple[str, ...] = APERTURES
    quantities: tuple[str, ...] = tuple(QUANTITIES)

    def of(self, bundles: Iterable[BundleScan]) -> tuple[Matrix, ...]:
        """The wanted matrices that any of the bundles has, in a fixed order."""
        # Most bundles share one set, whose hash is known.
        found = {bundle.matrices for bundle in bundles}
        return _selected(self, found.pop() if len(found) == 1 else frozenset().union(*found))


@lru_cache(maxsize=1024)
def _selected(selection: Selection, found: frozenset[Matrix]) -> tuple[Matrix, ...]:
    s = selection
    wanted = product(s.bands or {m.band for m in found}, s.apertures, s.quantities)
    return tuple(sorted(found.intersection(Matrix(*names) for names in wanted)))


class Unit(NamedTuple):
    """Targets `first` to `stop` of one group of a work list; units of one stack share their files.

    The group is the number of an obsid at level obsid; otherwise that of a stack,
    at level master of the first of the master sources' stacks.
    """

    worklist: WorkList
    stack: str
    level: str
    group: int
    first: int
    stop: int
    n_runs: int
    cost: float

    def targets(self) -> list[Target]:
        """Its targets, made anew from the scans."""
        return self.worklist.targets(self)


def run_cost(n_sources: int, n_obsids: int) -> float:
    """Cost of one run relative to one source in one obsid; it only orders and sizes the units."""
    return (6.0 + n_sources + n_obsids) / 8.0


class WorkList:
    """All targets of one set of inputs, cut into units of about equal cost.

    Parameters
    ----------
    scans : sequence of FileScan
        The readable prep3 files.
    selection : Selection
    associations : Associations, optional
        Which components make which master source; without it no master level.
    unit_cost : float
        Targets of one file, stack or group of masters go together until their
        cost reaches this.  A target is never split, so its files are read once.
    hdu_cost : float
        Cost of reading an HDU; the first unit of a group bears that of its files.
    unreadable : mapping of (stack, obsid, bundle) -> str
        Bundles of obsids that cannot be read, and why; all bundles where that is empty.
        Targets of their stacks that may lack them are faulty: as results of fewer
        obsids they would look complete.

    Attributes
    ----------
    units : list of Unit, by level and group
    faults : list of Fault
        What is not used of second files of one obsid; what a master source
        names that no file has; best blocks that cannot be told.  Runs that need
        what is absent are faulty besides; the others are measured.
    """

    def __init__(
        self,
        scans: Sequence[FileScan],
        selection: Selection,
        associations: Associations | None = None,
        unit_cost: float = 20.0,
        hdu_cost: float = 0.0,
        unreadable: Mapping[tuple[str, str, str], str] = MappingProxyType({}),
    ):
        self.selection = selection
        self._hdu_cost = hdu_cost
        self._unreadable: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for (stack, obsid, bundle), message in unreadable.items():
            self._unreadable[stack].append((obsid, bundle, message))
        self._last: tuple[str, int, list[Target]] = ("", -1, [])
        self.associations = associations
        self.scans, self.faults = obsid_scans(scans)
        self._disputed = {(f.stack, f.bundle): f.message for f in contradictions(self.scans)}
        self._stacks: dict[str, list[ObsidScan]] = defaultdict(list)
        for scan in self.scans:
            self._stacks[scan.stack].append(scan)
        self._stack_names = list(self._stacks)
        self._exposures = {(scan.stack, scan.obsid): scan.exposure for scan in self.scans}
        self._bundle_of: dict[tuple[str, str], str] = {}
        self._masters: dict[str, list[str]] = defaultdict(list)
        self._best_block: dict[str, int | None] = {}
        self._absent: dict[str, dict[tuple[str, int], str]] = {}  # only of masters that lack obsids
        if associations is not None and "master" in selection.levels:
            self._register_masters()
        self.units = [u for level in selection.levels for u in self._units(level, unit_cost)]

    def _register_masters(self) -> None:
        """The master sources of each stack, their best blocks, and what is doubtful about them."""
        self._bundle_of = {
            (scan.stack, component): bundle
            for scan in self.scans
            for bundle, content in scan.bundles.items()
            for component in content.components
        }
        for master in self.associations.masters():
            stacks = [
                stack
                for stack, component, match_type in self.associations.components_of(master)
                if match_type == "u" and (stack, component) in self._bundle_of
            ]
            if stacks:
                self._masters[min(stacks)].append(master)
            doubts = self._absent_components(master)
            if absent := self._absent_obsids(master):
                self._absent[master] = absent
                doubts += [said for (kind, _), said in absent.items() if kind == "block"]
            try:
                self._best_block[master] = self.associations.best_block(master, self._exposures)
            except InputError as error:
                doubts.append(str(error))
            self.faults += [Fault(message, master=master) for message in doubts]

    def _absent_components(self, master: str, match_types: str = "ua") -> list[str]:
        return [
            f"{master}: component {component} of stack {stack} is in no prep3 file of this job; "
            "correct the mst3 file or add the stack's prep3 files"
            for stack, component, match_type in self.associations.components_of(master)
            if match_type in match_types and (stack, component) not in self._bundle_of
        ]

    def _blocks_of(self, master: str) -> dict[tuple[str, int], list[tuple[str, str]]]:
        """The obsids of each Bayesian Block, by flux ("block", n) and by time ("time", n)."""
        by_flux, by_time = (
            self.associations.blocks_of(master),
            self.associations.time_blocks_of(master),
        )
        return {
            (kind, number): obsids
            for kind, blocks in (("block", by_flux), ("time", by_time))
            for number, obsids in blocks.items()
        }

    def _absent_obsids(self, master: str) -> dict[tuple[str, int], str]:
        """For each block with obsids of which there is no file, what is wrong."""
        absent = {
            block: [pair for pair in obsids if pair not in self._exposures]
            for block, obsids in self._blocks_of(master).items()
        }
        return {
            block: f"{master}, {block[0]} {block[1]}: no prep3 file of this job is of "
            + ", ".join(f"obsid {obsid}, stack {stack}" for stack, obsid in pairs)
            + "; correct the mst3 file or add the prep3 file"
            for block, pairs in absent.items()
            if pairs
        }

    def targets(self, unit: Unit) -> list[Target]:
        """The targets of one unit."""
        # One unit after another is of the same group.
        if self._last[:2] != (unit.level, unit.group):
            self._last = unit.level, unit.group, list(self._targets(unit.level, unit.group))
        return self._last[2][unit.first : unit.stop]

    def _units(self, level: str, unit_cost: float) -> Iterator[Unit]:
        names = [s.stack for s in self.scans] if level == "obsid" else self._stack_names
        for group, stack in enumerate(names):
            first, stop, runs, cost = 0, 0, 0, self._reading_cost(level, group)
            for target in self._targets(level, group):
                stop += 1
                runs += len(target.matrices)
                cost += len(target.matrices) * run_cost(len(target.reported), len(target.parts))
                if runs and cost >= unit_cost:
                    yield Unit(self, stack, level, group, first, stop, runs, cost)
                    first, runs, cost = stop, 0, 0.0
            if runs:
                yield Unit(self, stack, level, group, first, stop, runs, cost)

    def _reading_cost(self, level: str, group: int) -> float:
        if level == "obsid":
            scans = [self.scans[group]]
        else:
            scans = self._stacks[self._stack_names[group]]
        return self._hdu_cost * sum(scan.n_hdus for scan in scans)

    def _targets(self, level: str, group: int) -> Iterator[Target]:
        if level == "obsid":
            return self._obsid_targets(self.scans[group])
        stack = self._stack_names[group]
        if level == "stack":
            return self._stack_targets(stack)
        masters = self._masters.get(stack, ())
        return (target for master in masters for target in self._master_targets(master))

    def _obsid_targets(self, scan: ObsidScan) -> Iterator[Target]:
        for bundle, content in scan.bundles.items():
            yield Target(
                "obsid",
                f"{scan.stack}/{scan.obsid}/{bundle}",
                (Part(scan.files_of(bundle), bundle),),
                self.selection.of([content]),
                content.components,
            )

    def _stack_targets(self, stack: str) -> Iterator[Target]:
        scans = self._stacks[stack]
        for bundle in dict.fromkeys(b for scan in scans for b in scan.bundles):
            seen = [scan for scan in scans if bundle in scan.bundles]
            components = merge_labels([scan.bundles[bundle].components for scan in seen])
            faults = [self._disputed.get((stack, bundle), ""), *self._unread(stack, bundle)]
            yield Target(
                "stack",
                f"{stack}/{bundle}",
                tuple(Part(scan.files_of(bundle), bundle) for scan in seen),
                self.selection.of(scan.bundles[bundle] for scan in seen),
                tuple(components),
                fault="; ".join(filter(None, faults)),
            )

    def _unread(self, stack: str, bundle: str) -> list[str]:
        """Why obsids may be missing in a bundle of a stack: they cannot be read."""
        if stack not in self._unreadable:
            return []
        held = {s.obsid: s.bundles[bundle] for s in self._stacks[stack] if bundle in s.bundles}
        whole = self.selection.of(held.values())
        return [
            f"obsid {obsid} of stack {stack} may be missing: {message}"
            for obsid, lost, message in self._unreadable[stack]
            if lost in ("", bundle)
            and (obsid not in held or self.selection.of([held[obsid]]) != whole)
        ]

    def _master_targets(self, master: str) -> Iterator[Target]:
        """The average over every obsid, then each Bayesian Block (section 2.2.3)."""
        bundles: dict[str, str] = {}
        faults = self._absent_components(master, "u")
        for stack, component, match_type in self.associations.components_of(master):
            bundle = self._bundle_of.get((stack, component))
            if match_type != "u" or bundle is None:
                continue
            bundles[stack] = bundle
            if (stack, bundle) in self._disputed:
                faults.append(self._disputed[stack, bundle])
        seen = [
            (scan, bundle)
            for stack, bundle in bundles.items()
            for scan in self._stacks[stack]
            if bundle in scan.bundles
        ]
        labels = {
            (scan.stack, c): self.associations.label(scan.stack, c)
            for scan, bundle in seen
            for c in scan.bundles[bundle].components
        }
        best = self._best_block.get(master)
        absent = self._absent.get(master, {})
        unread = [m for stack, bundle in bundles.items() for m in self._unread(stack, bundle)]
        wanted = [(f"{master}/avg", seen, False, faults + unread)]
        for block, obsids in self._blocks_of(master).items():
            kind, number = block
            inside = [(s, b) for s, b in seen if (s.stack, s.obsid) in obsids]
            reasons = faults + [absent[block]] if block in absent else faults
            is_best = kind == "block" and number == best
            wanted.append((f"{master}/{kind}{number}", inside, is_best, reasons))
        for name, parts, is_best, reasons in wanted:
            if seen:
                yield Target(
                    "master",
                    name,
                    tuple(Part(scan.files_of(bundle), bundle) for scan, bundle in parts),
                    self.selection.of(scan.bundles[bundle] for scan, bundle in parts or seen),
                    (master,),
                    labels,
                    is_best,
                    "; ".join(reasons),
                )
