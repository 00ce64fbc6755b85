"""Bundles of a stack: sources whose apertures overlap in any of its observations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..catalog.fault import InputError
from .events import read_frame
from .field import ObservationFiles, SourceFiles
from .region import Region
from .region_files import read_region
from .sky import Frame, read_image


@dataclass
class StackSources:
    """What the observations of a stack have in common.

    bundles : components of each bundle, by its name
    positions : right ascension and declination in degrees, by component
    """

    stack: str
    bundles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    positions: dict[str, tuple[float, float]] = field(default_factory=dict)


def find_bundles(observations: Sequence[ObservationFiles]) -> StackSources:
    """The bundles of a stack, the same for all its observations.

    A bundle that is given by name is taken as it is; sources without one are bundled with all
    whose apertures overlap theirs, holes neglected.  What cannot be read overlaps with nothing;
    the extraction will name it.
    """
    stack = StackSources(observations[0].stack)
    group: dict[str, str] = {}

    def leader(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    given: dict[str, str] = {}
    seen: set[tuple] = set()
    for observation in observations:
        for source in observation.sources:
            group.setdefault(source.name, source.name)
            if source.bundle:
                given[source.name] = source.bundle
        apertures = {(source.name, source.aper) for source in observation.sources}
        if apertures <= seen:
            continue
        seen |= apertures
        for name, other in _touching(observation, stack):
            if given.get(name) == given.get(other):
                group[leader(other)] = leader(name)
    members: dict[str, list[str]] = {}
    for name in sorted(group):
        members.setdefault(given.get(name) or "\0" + leader(name), []).append(name)
    number = 0
    for key, names in members.items():
        if key.startswith("\0"):
            key = f"b{number:04d}"
            number += 1
        stack.bundles[key] = tuple(names)
    return stack


def _touching(observation: ObservationFiles, stack: StackSources) -> Iterable[tuple[str, str]]:
    """Pairs of sources whose apertures overlap in an observation."""
    outlines: list[tuple[str, Region]] = []
    frames: dict[str, Frame] = {}
    for source in observation.sources:
        try:
            frame = _frame_of(observation, source, frames)
            region = source.aper or next(iter(source.aper90.values()), None)
            if region is None:
                stack.positions.setdefault(source.name, source.position or (np.nan, np.nan))
                continue
            outline = read_region(region, frame).outline
            if source.position or source.name not in stack.positions:
                position = source.position or frame.celestial(*outline.centre)
                stack.positions[source.name] = position
            outlines.append((source.name, outline))
        except InputError:
            continue
    if not outlines:
        return
    boxes = np.array([outline.bounds for _, outline in outlines])
    for i, (name, outline) in enumerate(outlines):
        near = (boxes[i, 0] <= boxes[:, 1]) & (boxes[:, 0] <= boxes[i, 1])
        near &= (boxes[i, 2] <= boxes[:, 3]) & (boxes[:, 2] <= boxes[i, 3])
        for j in np.flatnonzero(near).tolist():
            if j > i and outline.overlaps(outlines[j][1]):
                yield name, outlines[j][0]


def _frame_of(
    observation: ObservationFiles, source: SourceFiles, frames: dict[str, Frame]
) -> Frame:
    """The sky plane on which the source's regions lie."""
    path = source.events or observation.events
    if path:
        if path not in frames:
            frames[path] = read_frame(path)
        return frames[path]
    for path in observation.images.values():
        if path not in frames:
            frames[path] = read_image(path).frame
        return frames[path]
    raise InputError(f"{observation.name}: neither events nor an image; name one of them")
