"""Regions on the sky plane of an observation: which points lie inside, and their areas.

Positions and lengths are in sky ("physical") pixels as the catalog's files have them.
The shapes are those of astropy's `regions`; what it has no name for (pie, sector) is made of them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import astropy.units as u
import numpy as np
from regions import (
    CircleAnnulusPixelRegion,
    CirclePixelRegion,
    CompoundPixelRegion,
    EllipseAnnulusPixelRegion,
    EllipsePixelRegion,
    PixCoord,
    PixelRegion,
    PolygonPixelRegion,
    RectanglePixelRegion,
)

# Points across a region, each way, for areas of what is not a plain shape: the area of a convex
# shape is then wrong by some 10^-4 (its edge is 4 x 256 cells, right to sqrt of that).
_ACROSS = 256
_MAX_SKY = 1e6
_LENGTHS = (
    "radius",
    "width",
    "height",
    *(f"{side}_{name}" for side in ("inner", "outer") for name in ("radius", "width", "height")),
)


class Bounds(NamedTuple):
    """A rectangle of the sky plane, in pixels."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def holds(self, other: Bounds) -> bool:
        """Whether the other lies in this one."""
        return (
            self.x_low <= other.x_low
            and other.x_high <= self.x_high
            and self.y_low <= other.y_low
            and other.y_high <= self.y_high
        )

    def meets(self, other: Bounds) -> bool:
        """Whether the two share a point."""
        return (
            self.x_low <= other.x_high
            and other.x_low <= self.x_high
            and self.y_low <= other.y_high
            and other.y_low <= self.y_high
        )


class Component(NamedTuple):
    """The part of the sky that all included shapes share, the excluded ones taken away."""

    included: tuple[PixelRegion, ...]
    excluded: tuple[PixelRegion, ...] = ()


@dataclass(frozen=True, eq=False)
class Region:
    """A union of components, `without` other regions; holes that overlap are cut once."""

    components: tuple[Component, ...]
    without: tuple[Region, ...] = ()

    def contains(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) whether points (n,) lie inside."""
        inside = np.zeros(len(x), dtype=bool)
        for included, excluded in self.components:
            here = np.arange(len(x))
            for shape in included:
                here = here[_holds(shape, x[here], y[here])]
            gone = np.zeros(len(here), dtype=bool)
            for shape in excluded:
                near = np.flatnonzero(_near(_box(shape), x[here], y[here]))
                gone[near] |= _holds(shape, x[here[near]], y[here[near]])
            inside[here[~gone]] = True
        for hole in self.without:
            here = np.flatnonzero(inside)
            here = here[_near(hole.bounds, x[here], y[here])]
            inside[here[hole.contains(x[here], y[here])]] = False
        return inside

    @cached_property
    def bounds(self) -> Bounds:
        """A rectangle that holds all of it, holes neglected."""
        boxes = [
            [pick(side) for pick, side in zip((max, min) * 2, zip(*map(_box, included)))]
            for included, _ in self.components
        ]
        x_low, x_high, y_low, y_high = (
            pick(side) for pick, side in zip((min, max) * 2, zip(*boxes))
        )
        return Bounds(x_low, max(x_low, x_high), y_low, max(y_low, y_high))

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of evenly spaced points inside, many enough for integrals to some 10^-4."""
        x, y = _spread(self.bounds, _ACROSS)
        inside = self.contains(x, y)
        return x[inside], y[inside]

    @cached_property
    def area(self) -> float:
        """Area in square pixels: exact for a single shape, else from `points`."""
        if len(self.components) == 1 and not self.without:
            included, excluded = self.components[0]
            plain = len(included) == 1 and not excluded
            if plain and not isinstance(included[0], CompoundPixelRegion):
                return float(included[0].area)
        x_low, x_high, y_low, y_high = self.bounds
        return len(self.points[0]) / _ACROSS**2 * (x_high - x_low) * (y_high - y_low)

    @cached_property
    def outline(self) -> Region:
        """The same without its holes."""
        return Region(tuple(Component(included) for included, _ in self.components))

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of its bounds."""
        x_low, x_high, y_low, y_high = self.bounds
        return (x_low + x_high) / 2, (y_low + y_high) / 2

    def minus(self, others: Iterable[Region]) -> Region:
        """The same with these regions cut out."""
        holes = tuple(other for other in others if self.bounds.meets(other.bounds))
        return Region(self.components, self.without + holes) if holes else self

    def overlaps(self, other: Region) -> bool:
        """Whether the two share more than a sliver of the rectangle in which they may."""
        if not self.bounds.meets(other.bounds):
            return False
        mine, theirs = self.bounds, other.bounds
        lows = max(mine.x_low, theirs.x_low), max(mine.y_low, theirs.y_low)
        highs = min(mine.x_high, theirs.x_high), min(mine.y_high, theirs.y_high)
        x, y = _spread(Bounds(lows[0], highs[0], lows[1], highs[1]), _ACROSS // 2)
        inside = self.contains(x, y)
        return bool(other.contains(x[inside], y[inside]).any())


def _spread(bounds: Bounds, across: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the centres of across x across equal cells of a rectangle."""
    x_low, x_high, y_low, y_high = bounds
    middle = (np.arange(across) + 0.5) / across
    x, y = x_low + middle * (x_high - x_low), y_low + middle * (y_high - y_low)
    return np.tile(x, across), np.repeat(y, across)


def union(regions: Sequence[Region]) -> Region:
    """What lies in any of the regions, none of which has others cut out yet."""
    return Region(tuple(c for region in regions for c in region.components))


def _near(box: Bounds, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) whether points lie in a rectangle."""
    return (x >= box.x_low) & (x <= box.x_high) & (y >= box.y_low) & (y <= box.y_high)


def _holds(shape: PixelRegion, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) whether points lie in a shape."""
    if isinstance(shape, EllipsePixelRegion):
        # Nearly all regions of the catalog: a fifth of the time that `regions` takes, which
        # carries units through every step.
        turn = shape.angle.to_value(u.rad)
        c, s, dx, dy = math.cos(turn), math.sin(turn), x - shape.center.x, y - shape.center.y
        along, across = 2 / shape.width, 2 / shape.height
        return ((dx * c + dy * s) * along) ** 2 + ((dy * c - dx * s) * across) ** 2 <= 1
    return shape.contains(PixCoord(x, y))


def _box(shape: PixelRegion) -> Bounds:
    """A rectangle that holds a shape."""
    if isinstance(shape, EllipsePixelRegion):
        turn = shape.angle.to_value(u.rad)
        c, s, a, b = math.cos(turn), math.sin(turn), shape.width / 2, shape.height / 2
        dx, dy = math.hypot(a * c, b * s), math.hypot(a * s, b * c)
        x, y = shape.center.x, shape.center.y
        return Bounds(x - dx, x + dx, y - dy, y + dy)
    box = shape.bounding_box
    return Bounds(box.ixmin - 0.5, box.ixmax - 0.5, box.iymin - 0.5, box.iymax - 0.5)


class ShapeError(ValueError):
    """Numbers that make no shape, or a shape that has no area."""


def make_shape(
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    r: Sequence[float],
    angles: Sequence[float],
    field: Bounds | None = None,
) -> PixelRegion:
    """The shape that CIAO's region library calls `name`.

    x, y : centre; both or all corners of a rectangle or polygon
    r : radii, semi-axes or widths and heights, in pixels
    angles : counterclockwise in degrees; two for a pie or sector
    field : what the shape `field` covers

    Raises ShapeError if there is no such shape, or its numbers make none.
    """
    name = name.lower()
    angle = angles[0] if len(angles) and math.isfinite(angles[0]) else 0.0
    numbers = [*x, *y, *r, angle]
    if not all(math.isfinite(v) and abs(v) < _MAX_SKY for v in numbers):
        raise ShapeError(f"{name} with {numbers}, expected finite numbers of pixels")
    try:
        return _make(name, x, y, [abs(v) if v == 0 else v for v in r], angle, angles, field)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, ShapeError):
            raise
        raise ShapeError(f"{name} of {len(x)} positions with radii {list(r)}: {error}") from None


def _make(name, x, y, r, angle, angles, field) -> PixelRegion:
    if name == "polygon":
        if len(x) != len(y) or len(x) < 3:
            raise ShapeError(f"polygon of {len(x)} x and {len(y)} y, expected three or more")
        return PolygonPixelRegion(PixCoord(np.asarray(x, float), np.asarray(y, float)))
    if name == "field":
        if field is None:
            raise ShapeError("field, but nothing says how far the field reaches")
        return _rectangle(field.x_low, field.y_low, field.x_high, field.y_high, 0.0)
    if name in ("rectangle", "rotrectangle"):
        return _rectangle(x[0], y[0], x[1], y[1], angle)
    centre, turn = PixCoord(float(x[0]), float(y[0])), angle * u.deg
    if name == "circle":
        return CirclePixelRegion(centre, r[0])
    if name == "ellipse":
        return EllipsePixelRegion(centre, 2 * r[0], 2 * r[1], turn)
    if name in ("box", "rotbox"):
        return RectanglePixelRegion(centre, r[0], r[1], turn)
    if name == "annulus":
        return _annulus(centre, r[0], r[1])
    if name == "elliptannulus":
        inner, outer = sorted(((r[0], r[1]), (r[2], r[3])))
        return EllipseAnnulusPixelRegion(
            centre, 2 * inner[0], 2 * outer[0], 2 * inner[1], 2 * outer[1], turn
        )
    if name in ("pie", "sector"):
        if name == "sector" and field is None:
            raise ShapeError("sector, but nothing says how far the field reaches")
        inner, outer = (r[0], r[1]) if name == "pie" else (0.0, max(map(abs, field)))
        return _pie(centre, inner, outer, *map(float, angles[:2]))
    raise ShapeError(f"shape {name!r}, which has no area or is not known; replace it by another")


def _rectangle(x_low, y_low, x_high, y_high, angle: float) -> PixelRegion:
    centre = PixCoord((x_low + x_high) / 2, (y_low + y_high) / 2)
    return RectanglePixelRegion(centre, abs(x_high - x_low), abs(y_high - y_low), angle * u.deg)


def _annulus(centre: PixCoord, inner: float, outer: float) -> PixelRegion:
    inner, outer = sorted((inner, outer))
    return (
        CircleAnnulusPixelRegion(centre, inner, outer)
        if inner
        else CirclePixelRegion(centre, outer)
    )


def _pie(centre: PixCoord, inner: float, outer: float, start: float, stop: float) -> PixelRegion:
    ring = _annulus(centre, inner, outer)
    span = (stop - start) % 360
    if span == 0:
        return ring
    turns = np.radians(start + np.linspace(0, span, 2 + int(span / 10)))
    far = 1.1 * outer  # chords of 10 degrees lie outside the outer circle
    wedge = PolygonPixelRegion(
        PixCoord(
            np.append(centre.x + far * np.cos(turns), centre.x),
            np.append(centre.y + far * np.sin(turns), centre.y),
        )
    )
    return CompoundPixelRegion(ring, wedge, operator.and_)


def moved(shape: PixelRegion, x: float, y: float, scale: float = 1.0) -> PixelRegion:
    """The shape with all positions and lengths times `scale`, then shifted by x and y."""
    if isinstance(shape, CompoundPixelRegion):
        parts = moved(shape.region1, x, y, scale), moved(shape.region2, x, y, scale)
        return CompoundPixelRegion(*parts, shape.operator)
    changes = {}
    for name in _LENGTHS:
        if hasattr(shape, name):
            changes[name] = getattr(shape, name) * scale
    for name in ("center", "vertices"):
        if hasattr(shape, name):
            place = getattr(shape, name)
            changes[name] = PixCoord(place.x * scale + x, place.y * scale + y)
    return shape.copy(**changes)
