"""A job that extracts the observations of a field on all ranks, and goes on where it was.

A rank takes an observation, or some of its bundles if there would else be too few for all ranks.

`extract.jsonl` in the folder of the files has a line for every observation that is done: what it
was made from, what was wrong, what was noticed.  An observation whose line and files are still as
they were is not extracted again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..catalog.fault import InputError
from ..exit_code import ExitCode
from ..extract.bundle_files import OpenObservation, open_observation
from ..extract.field import Field, ObservationFiles, Settings
from ..extract.observation import Extracted, Piece, measure_piece, write_pieces
from ..extract.overlaps import StackSources, find_bundles
from .dispatch import Control, stream
from .progress import Progress, say
from .world import World

RECORD = "extract.jsonl"
# Work for each worker beside that at which it is.
_AHEAD = 2
# An observation with more than this part of a worker's share of all sources is cut, but pieces have
# so many sources that what all of them read once more does not count.
_SHARE, _WORTHWHILE = 0.25, 20


class Unit(NamedTuple):
    """An observation to extract, or some bundles of it.

    bundles : components by name
    digest : of all that decides the observation's prep3 file
    """

    files: ObservationFiles
    bundles: dict[str, tuple[str, ...]]
    settings: Settings
    folder: str
    digest: str
    is_whole: bool = True

    @property
    def n_sources(self) -> int:
        return sum(map(len, self.bundles.values()))


@dataclass
class Extraction:
    """Summary of a job; `stacks` have the bundles and positions of all sources."""

    done: list[Extracted] = field(default_factory=list)
    kept: int = 0
    stacks: list[StackSources] = field(default_factory=list)
    stopped: str = ""


def run(
    find: Callable[[], Field],
    folder: str | os.PathLike,
    world: World,
    finish: Callable[[Extraction, Field], int] = lambda extraction, field: ExitCode.OK,
) -> int:
    """Extract a field; called on every rank, whose exit code it returns.

    find, finish : called on rank 0, before and after; an InputError is told and ends the job
    """
    with world.stop.listening():
        found, code = None, ExitCode.OK
        if world.rank == 0:
            try:
                found = find()
                Path(folder).mkdir(parents=True, exist_ok=True)
            except InputError as error:
                code = _told(error)
        code = world.broadcast(code)
        if code == ExitCode.OK:
            with world.executor() as executor:
                if executor is not None:
                    extraction = _lead(found, str(folder), world, executor)
                    try:
                        code = finish(extraction, found)
                    except InputError as error:
                        code = _told(error)
                    world.end(code)
        world.part()
        return code


def _told(error: InputError) -> int:
    say(f"mpiapp: {error}")
    return ExitCode.USAGE


def _lead(found: Field, folder: str, world: World, executor) -> Extraction:
    window = world.n_workers * _AHEAD
    send = partial(stream, executor, window=window, control=Control(world.stop))
    stacks = found.stacks()
    extraction = Extraction()
    with Progress(len(stacks), unit="stack") as progress:
        for stack in send(find_bundles, iter(stacks.values())):
            extraction.stacks.append(stack)
            progress.add(1, 0)
    order = list(stacks)
    extraction.stacks.sort(key=lambda stack: order.index(stack.stack))
    record = Record(Path(folder) / RECORD)
    units: dict[str, Unit] = {}
    for stack in extraction.stacks:
        for files in stacks[stack.stack]:
            unit = _unit(files, stack, found.settings, folder)
            if (earlier := record.still_good(unit)) is not None:
                extraction.done.append(earlier)
                extraction.kept += 1
            else:
                units[unit.digest] = unit
    cut = _cut(units.values(), world.n_workers)
    pieces: dict[str, list[Piece]] = {}
    awaited = Counter(piece.digest for piece in cut)
    with Progress(sum(piece.n_sources for piece in cut), unit="source") as progress:
        for digest, n_sources, done in send(_extract, iter(cut)):
            if isinstance(done, Piece):
                pieces.setdefault(digest, []).append(done)
                if len(pieces[digest]) < awaited[digest]:
                    progress.add(n_sources, 0)
                    continue
                done = write_pieces(units[digest].files, pieces.pop(digest), folder)
            record.add(digest, done)
            extraction.done.append(done)
            progress.add(n_sources, len(done.faults))
    extraction.stopped = world.stop.reason
    return extraction


def _unit(files: ObservationFiles, stack: StackSources, settings: Settings, folder: str) -> Unit:
    """The observation with its bundles, and a digest of all that decides its prep3 file."""
    names = {source.name for source in files.sources}
    bundles = {b: kept for b, c in stack.bundles.items() if (kept := _among(c, names))}
    states = [(path, *_state(path)) for path in files.files()]
    text = repr((files, bundles, settings, states))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Unit(files, bundles, settings, folder, digest)


def _among(components: Iterable[str], names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in components if name in names)


def _state(path: str) -> tuple[int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _cut(units: Collection[Unit], n_workers: int) -> list[Unit]:
    """The units with large ones in pieces, the largest first: no rank is left with one alone."""
    total = sum(unit.n_sources for unit in units)
    at_once = max(_WORTHWHILE, int(_SHARE * total / n_workers)) if n_workers > 1 else total
    cut = []
    for unit in sorted(units, key=lambda unit: -unit.n_sources):
        names = list(unit.bundles)
        n = min(len(names), -(-unit.n_sources // at_once))
        for k in range(n):
            bundles = {name: unit.bundles[name] for name in names[k::n]}
            cut.append(unit._replace(bundles=bundles, is_whole=n == 1))
    return cut


def _extract(unit: Unit) -> tuple[str, int, Extracted | Piece]:
    """Digest and number of sources of a unit, and what has become of it."""
    piece = measure_piece(unit.files, unit.bundles, unit.settings, partial(_opened, unit.digest))
    done = write_pieces(unit.files, [piece], unit.folder) if unit.is_whole else piece
    return unit.digest, unit.n_sources, done


# The observation of which this process has had the last piece.
_open: dict[str, OpenObservation] = {}


def _opened(digest: str, files: ObservationFiles, settings: Settings) -> OpenObservation:
    """The observation, read once for all its pieces."""
    if digest not in _open:
        _open.clear()
        _open[digest] = open_observation(files, settings)
    return _open[digest]


class Record:
    """The finished observations, a JSON object a line; one that cannot be read is done again."""

    def __init__(self, path: Path):
        self._path = path
        self._known = dict(self._lines())

    def _lines(self) -> Iterator[tuple[str, Extracted]]:
        try:
            text = self._path.read_text("utf-8", "replace")
        except OSError:
            return
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                yield entry.pop("digest"), Extracted(**entry)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # cut off when the job was killed

    def still_good(self, unit: Unit) -> Extracted | None:
        """The earlier result of the unit, if its files and settings have not changed since."""
        known = self._known.get(unit.digest)
        if known is None or (known.path and not os.path.exists(known.path)):
            return None
        return known

    def add(self, digest: str, done: Extracted) -> None:
        """One more observation."""
        line = json.dumps({"digest": digest, **asdict(done)})
        with self._path.open("a", encoding="utf-8") as file:
            if file.tell() and not self._ends_whole():
                file.write("\n")
            file.write(line + "\n")

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def summary(extraction: Extraction, folder: str | os.PathLike) -> str:
    """A few lines about a finished job."""
    done = extraction.done
    lines = [
        f"{folder}: {sum(1 for one in done if one.path)} observations, "
        f"{sum(one.sources for one in done)} sources in {sum(one.source_bands for one in done)} "
        "bands all together"
    ]
    if extraction.kept:
        lines[0] += f", {extraction.kept} observations of them as they were"
    missing = sum(len(one.missing) for one in done)
    if missing:
        lines.append(
            f"  {missing} sources lie off the field of an observation, and are missing there"
        )
    flags = Counter(flag for one in done for text in one.flags.values() for flag in text.split())
    if flags:
        counted = ", ".join(f"{name} {n}" for name, n in flags.most_common())
        lines.append(f"  flagged sources: {counted}")
    return "\n".join(lines)
