"""The lines before a job measures: program and ranks, inputs and runs, runs that are done twice."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..catalog.scan import ObsidScan
from ..catalog.worklist import Selection
from ..config import Config


def banner(config: Config, path: str | Path, final: Path, size: int) -> str:
    """Program, engine and ranks; configuration, inputs and output."""
    processes = f"{size} ranks, {size - 1} of them workers" if size > 1 else "one process, no MPI"
    inputs = "; ".join(
        ", ".join(group.prep3) + (f" with {group.mst3}" if group.mst3 else "")
        for group in config.input
    )
    return (
        f"mpiapp {__version__}: engine {config.engine.name}, {processes}, "
        f"Python {platform.python_version()}\n{path}: {inputs} -> {final}"
    )


def work(n_files: int, runs: Counter[str], n_done: int) -> str:
    """The work list: files, and runs by level; `n_done` of an earlier job."""
    levels = ", ".join(f"{level} {n}" for level, n in runs.items())
    done = f"; {n_done} done already" if n_done else ""
    return f"{n_files} prep3 files, {sum(runs.values())} runs: {levels}{done}"


def hints(scans: Sequence[ObsidScan], selection: Selection, engine: str) -> list[str]:
    """Hints on runs of one input that repeat others.

    A stack of one obsid is that obsid; and an engine with noise measures quantities of the same
    counts one by one, so that they differ by the noise.
    """
    found = []
    stacks = defaultdict(list)
    for scan in scans:
        stacks[scan.stack].append(scan)
    alone = [obsids[0] for obsids in stacks.values() if len(obsids) == 1]
    if alone and {"obsid", "stack"} <= set(selection.levels):
        n = sum(len(selection.of([b])) for scan in alone for b in scan.bundles.values())
        found.append(
            f"{n} runs are done twice: {len(alone)} of {len(stacks)} stacks have one obsid, which "
            'levels obsid and stack both measure; levels = ["obsid"] of their [[input]] does it '
            "once"
        )
    matrices = selection.of(b for scan in scans for b in scan.bundles.values())
    same = Counter((m.band, m.aperture) for m in matrices)
    if engine != "exact" and same and max(same.values()) > 1:
        quantities = ", ".join(dict.fromkeys(m.quantity for m in matrices))
        found.append(
            f"{quantities} are of the same counts and engine {engine} samples each by itself, so "
            "that they differ by its noise; engine exact measures what is proportional once"
        )
    return found
