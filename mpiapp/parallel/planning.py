"""From the configured inputs to work lists: find the files, scan them, cut units."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..catalog.fault import ConfigError, Fault, InputError
from ..catalog.scan import FileScan
from ..catalog.worklist import Selection, Unit, WorkList
from ..config import Config, Input
from ..files.mst3 import Mst3File, read_mst3
from .banner import hints
from .scanning import ScannedFile
from .shares import PARCEL_SECONDS, UNIT_SHARE

# Measured with files of 80 bundles and six HDUs (bench_prep3).
HDU_SECONDS = 0.001


class Plan(NamedTuple):
    """The whole work list, and the faults of the inputs.

    `inputs` are the (path, digest) of the prep3 files, `parcel_cost` the most
    that is sent to a worker at once, `hints` what would be measured twice.
    """

    units: list[Unit]
    inputs: list[tuple[str, str]]
    faults: list[Fault]
    parcel_cost: float = float("inf")
    hints: Sequence[str] = ()

    @property
    def n_runs(self) -> int:
        return sum(unit.n_runs for unit in self.units)

    def runs_by_level(self) -> Counter[str]:
        runs: Counter[str] = Counter()
        for unit in self.units:
            runs[unit.level] += unit.n_runs
        return runs


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
    for path in found:
        if path.encode("utf-8", "replace").decode() != path:
            raise ConfigError(f"input.prep3: {path!r}: this name is not UTF-8; rename the file")
    return sorted(found)


def _mst3(group: Input) -> Mst3File | None:
    if group.mst3 is None:
        return None
    try:
        return read_mst3(group.mst3)
    except InputError as error:
        raise ConfigError(f"input.mst3: {error}") from error


def make_plan(
    config: Config,
    files: Sequence[InputFiles],
    scan: Callable[[Sequence[str]], list[ScannedFile]],
    n_workers: int = 1,
    seconds_per_run: float = 1.0,
) -> Plan:
    """Have all prep3 files scanned by `scan`, and cut the work into units.

    Raises ConfigError if the selection leaves no run.
    """
    scanned = [scan(found.prep3) for found in files]
    n_runs = sum(
        len(bundle.matrices) * len(group.levels)
        for group, found in zip(config.input, scanned)
        for file in found
        if file.scan is not None
        for bundle in file.scan.bundles.values()
    )
    parcel_cost = PARCEL_SECONDS / seconds_per_run
    unit_cost = min(UNIT_SHARE * n_runs / n_workers, parcel_cost)
    select = config.select
    plan = Plan([], [], [], parcel_cost, [])
    for group, (_, mst3), found in zip(config.input, files, scanned):
        wanted = (group.levels, select.bands, select.apertures, select.quantities)
        selection = Selection(*map(tuple, wanted))
        scans = [file.scan for file in found if file.scan is not None]
        worklist = WorkList(
            scans,
            selection,
            mst3 and mst3.associations,
            unit_cost,
            HDU_SECONDS / seconds_per_run,
            {lost: message for file in found for lost, message in file.unreadable()},
        )
        plan.units.extend(worklist.units)
        plan.hints.extend(hints(worklist.scans, selection, config.engine.name))
        plan.inputs.extend((file.path, file.digest) for file in found)
        plan.faults.extend(fault for file in found for fault in file.faults)
        plan.faults.extend([*(mst3.faults if mst3 else ()), *worklist.faults])
    if not plan.units and not plan.faults:
        raise ConfigError(_nothing_selected(config, [f.scan for found in scanned for f in found]))
    return plan


def _nothing_selected(config: Config, scans: Sequence[FileScan]) -> str:
    held = frozenset().union(*(b.matrices for scan in scans for b in scan.bundles.values()))
    lines = ["nothing to measure: the prep3 files hold nothing of what is selected"]
    for i, name in enumerate(("bands", "apertures", "quantities")):
        wanted, there = getattr(config.select, name), sorted({matrix[i] for matrix in held})
        lines.append(f"  {name}: selected {', '.join(wanted)}; there are {', '.join(there)}")
    if all(group.mst3 is None for group in config.input):
        lines.append("  level master: needs an mst3 file")
    return "\n".join(lines)
