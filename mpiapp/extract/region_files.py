"""Region files: FITS regions as CIAO writes them, and text of CIAO or DS9.

In a FITS table with the column COMPONENT the rows of a component are its common part; without it,
and in text, shapes are joined and excluded ones taken away from all of them.  In a line of CIAO's
text, `a+b-c*d`, a sign joins a shape to the one before it.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.wcs import WCS
from regions import PixelRegion, Regions, SkyRegion

from ..catalog.fault import InputError
from .fits_input import Described, Table, read_tables, read_text
from .region import Component, Region, ShapeError, make_shape, moved
from .sky import Frame, celestial_of_table

_SHAPE = re.compile(r"([-+!*&|]*)\s*([a-z]+)\s*\(([^()]*)\)", re.IGNORECASE)
_PIXEL_FRAMES = ("physical", "image")
_SKY_FRAMES = ("fk5", "fk4", "icrs", "j2000", "b1950", "galactic", "ecliptic", "wcs")
_ARCSEC = {'"': 1.0, "'": 60.0, "d": 3600.0}
_RADII = {"circle": 1, "ellipse": 2, "box": 2, "rotbox": 2, "annulus": 2, "pie": 2, "sector": 0}
_RADII |= {"elliptannulus": 4, "field": 0}


@dataclass(frozen=True)
class RegionFile:
    """Where a region is: a file and, of a FITS file, an HDU, of a text file, a label.

    hdus : the first of these that the file has, or its only table
    label : only shapes with this text ("" for all)
    """

    path: str
    hdus: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.path, " or ".join(self.hdus), self.label)))


class NoSuchRegion(InputError):
    """A file without the region that is asked for, which there may be elsewhere."""


def read_region(file: RegionFile, frame: Frame) -> Region:
    """A region in sky pixels of `frame`; InputError names what cannot be used."""
    found = dict(read_regions(file, frame))
    if file.label:
        if file.label not in found:
            raise InputError(f"{file.path}: no region {file.label} (text={{{file.label}}}); add it")
        return found[file.label]
    return Region(tuple(c for region in found.values() for c in region.components))


def read_regions(file: RegionFile, frame: Frame) -> list[tuple[str, Region]]:
    """All regions of a file by their `labels`, "" for that of a FITS file."""
    try:
        if is_fits(file.path):
            return [("", _fits_region(file, frame))]
        return _text_file(file.path, frame)
    except ShapeError as error:
        raise InputError(f"{file}: {error}; correct it") from None


@lru_cache(maxsize=4)  # a file of all sources is asked for each of them
def _text_file(path: str, frame: Frame) -> list[tuple[str, Region]]:
    return _text_regions(read_text(path), frame)


def is_fits(path: str | os.PathLike) -> bool:
    """By its name, whether a file of a region or a PSF is FITS."""
    return bool(re.search(r"\.(fits|fit|fts|psf|img)(\.gz)?$", str(path), re.IGNORECASE))


@lru_cache(maxsize=4)  # the tables of a file are asked for one after the other
def _fits_tables(path: str) -> dict[str, Table]:
    return read_tables(path)


def _fits_region(file: RegionFile, frame: Frame) -> Region:
    tables = _fits_tables(file.path)
    wanted = [name for name in file.hdus if name in tables]
    if not wanted and len(tables) != 1:
        names = ", ".join(tables) or "no table"
        raise NoSuchRegion(
            f"{file.path}: {names} in it, expected {' or '.join(file.hdus) or 'one'}; name a "
            "region file, or an HDU of it: name.fits[HDU]"
        )
    name = (wanted or list(tables))[0]
    columns, described = tables[name]
    place = f"{file.path}, {name}"
    if missing := {"SHAPE", "X", "Y"} - columns.keys():
        raise InputError(f"{place}: no column {min(missing)}; name a region file")
    n = len(columns["SHAPE"])
    if not n:
        raise InputError(f"{place}: no rows; add shapes")
    numbers = {
        name: columns.get(name, np.zeros((n, 0))).reshape(n, -1).astype(float)
        for name in ("X", "Y", "R", "ROTANG")
    }
    parts = columns.get("COMPONENT", np.zeros(n, dtype=int))
    included, excluded = defaultdict(list), defaultdict(list)
    for row, shape in enumerate(columns["SHAPE"].tolist()):
        name = shape.strip() if isinstance(shape, str) else shape.decode("latin-1").strip()
        arguments = [numbers[key][row] for key in ("X", "Y", "R", "ROTANG")]
        try:
            made = _row_shape(name.lstrip("!"), *arguments, frame)
        except ShapeError as error:
            raise InputError(f"{place}, row {row + 1}: {error}; correct it") from None
        (excluded if name.startswith("!") else included)[int(parts[row])].append(made)
    if not included:
        raise InputError(f"{place}: every shape is excluded (!); add what they are cut out of")
    cut = [shape for part in excluded.keys() - included.keys() for shape in excluded[part]]
    if "COMPONENT" in columns:
        components = [(shapes, [*excluded[part], *cut]) for part, shapes in included.items()]
    else:
        components = [([shape], excluded[0] + cut) for shape in included[0]]
    region = Region(tuple(Component(tuple(i), tuple(e)) for i, e in components))
    return _in_frame(region, described, frame)


def _row_shape(name: str, x, y, r, angles, frame: Frame) -> PixelRegion:
    """The shape of a row, whose columns may be longer than it needs."""
    name = name.lower()
    if name == "polygon":
        real = np.isfinite(x) & np.isfinite(y)
        return make_shape(name, x[real], y[real], (), (), frame.bounds)
    n = 2 if name.endswith("rectangle") else 1
    radii = r[: _RADII.get(name, 0)]
    return make_shape(name, x[:n], y[:n], radii, angles, frame.bounds)


def _in_frame(region: Region, described: Described, frame: Frame) -> Region:
    """The region on the sky plane of the frame, if its own has another tangent point."""
    celestial = _other_plane(described, frame)
    if celestial is None:
        return region

    def shifted(shape: PixelRegion) -> PixelRegion:
        place = shape.bounding_box.center[::-1]
        target = frame.wcs.world_to_pixel_values(*celestial.pixel_to_world_values(*place))
        return moved(shape, *(float(t - p) for t, p in zip(target, place)))

    return Region(
        tuple(
            Component(tuple(map(shifted, included)), tuple(map(shifted, excluded)))
            for included, excluded in region.components
        )
    )


@lru_cache(maxsize=16)  # most tables lie on the plane of the one before
def _other_plane(described: Described, frame: Frame) -> WCS | None:
    """The sky plane of a region table; None if it has none, or that of the frame."""
    celestial = celestial_of_table(described.header, columns=("X", "Y"))
    if celestial is None or frame.wcs is None or frame.same_plane(celestial):
        return None
    return celestial


def labels(path: str) -> list[str]:
    """Names of the regions of a text file: their texts, or r0001 and on by their order."""
    return list(dict.fromkeys(line.label for line in _lines(read_text(path)) if line.label))


class _Line(NamedTuple):
    """A line of a text file: its coordinate system and (sign, shape, arguments) of its shapes.

    `label` is empty for a line that only takes away.
    """

    number: int
    label: str
    system: str
    shapes: list[tuple[str, str, str]]


def _lines(text: str) -> Iterator[_Line]:
    system, count = "physical", 0
    for number, line in enumerate(re.split(r"[\n;]", text), 1):
        code, _, comment = line.strip().partition("#")
        code = code.strip()
        if code.lower() in (*_PIXEL_FRAMES, *_SKY_FRAMES):
            system = code.lower()
            continue
        if not code or code.startswith(("global", "Region file")):
            continue
        found = [(sign[-1:] or "+", name.lower(), v) for sign, name, v in _SHAPE.findall(code)]
        if not found or _SHAPE.sub("", code).strip(" |"):
            raise ShapeError(f"line {number}: {line.strip()!r} is no shape and no system")
        given = re.search(r"text\s*=\s*[{\"'](.*?)[}\"']", comment)
        label = ""
        if found[0][0] not in "-!":
            count += 1
            label = given[1] if given and given[1] else f"r{count:04d}"
        yield _Line(number, label, system, found)


def _text_regions(text: str, frame: Frame) -> list[tuple[str, Region]]:
    by_label: dict[str, list[tuple[list[PixelRegion], list[PixelRegion]]]] = {}
    holes: list[PixelRegion] = []
    for line in _lines(text):
        try:
            shapes = [_text_shape(name, v, line.system, frame) for _, name, v in line.shapes]
        except ShapeError as error:
            raise ShapeError(f"line {line.number}: {error}") from None
        if not line.label:
            holes += shapes
            continue
        parts = by_label.setdefault(line.label, [])
        for i, ((sign, *_), shape) in enumerate(zip(line.shapes, shapes)):
            if i and sign in "-!":
                parts[-1][1].append(shape)
            elif i and sign in "*&":
                parts[-1][0].append(shape)
            else:
                parts.append(([shape], []))
    if not by_label:
        raise ShapeError("no shape in it; add one")
    return [
        (label, Region(tuple(Component(tuple(i), (*e, *holes)) for i, e in parts)))
        for label, parts in by_label.items()
    ]


def _text_shape(name: str, arguments: str, system: str, frame: Frame) -> PixelRegion:
    words = [word for word in re.split(r"[,\s]+", arguments.strip()) if word]
    if system in _SKY_FRAMES or any(":" in word for word in words[:2]):
        return _sky_shape(name, words, "icrs" if system in _PIXEL_FRAMES else system, frame)
    grid = frame.grid
    if system == "image" and grid is None:
        raise ShapeError("image coordinates, but no image says where they are; use physical")
    per_arcsec = 1 / frame.pixel_arcsec if frame.pixel_arcsec else None

    def length(word: str) -> float:
        if word[-1] in _ARCSEC:
            if per_arcsec is None:
                raise ShapeError(f"{word} on the sky, but no WCS says how large a pixel is")
            return (
                float(word[:-1]) * _ARCSEC[word[-1]] * per_arcsec * (grid.step if in_image else 1)
            )
        return float(word)

    in_image = system == "image"
    try:
        if name == "polygon":
            x, y, rest = words[0::2], words[1::2], []
        elif name.endswith("rectangle"):
            x, y, rest = words[0:4:2], words[1:4:2], words[4:]
        else:
            x, y, rest = words[:1], words[1:2], words[2:]
        n = _RADII.get(name, 0)
        r = [length(word) for word in rest[:n]]
        angles = [float(word) for word in rest[n:]]
        x, y = [float(word) for word in x], [float(word) for word in y]
    except ValueError as error:
        raise ShapeError(f"{name}({arguments}): {error}") from None
    if len(r) < n or len(angles) > 2:
        raise ShapeError(f"{name}({arguments}): expected {n} radii and an angle")
    if name == "box" and angles:
        name = "rotbox"
    if in_image:
        shape = make_shape(name, x, y, r, angles)
        return moved(shape, *(origin - grid.step for origin in grid.origin), grid.step)
    return make_shape(name, x, y, r, angles, frame.bounds)


def _sky_shape(name: str, words: Sequence[str], system: str, frame: Frame) -> PixelRegion:
    """A shape in celestial coordinates, by astropy's `regions` and the WCS."""
    if frame.wcs is None:
        raise ShapeError(f"{name} on the sky, but no WCS says where it is; use physical pixels")
    system = {"wcs": "icrs", "j2000": "fk5", "b1950": "fk4"}.get(system, system)
    try:
        parsed = Regions.parse(f"{system}\n{name}({','.join(words)})", format="ds9")
    except Exception as error:
        raise ShapeError(f"{name}({','.join(words)}): {error}") from None
    if len(parsed) != 1 or not isinstance(parsed[0], SkyRegion):
        raise ShapeError(f"{name}({','.join(words)}) is no shape on the sky that has an area")
    shape = parsed[0].to_pixel(frame.wcs)
    angle = getattr(shape, "angle", None)
    numbers = [getattr(shape, key, 1.0) for key in ("radius", "width", "height")]
    if not np.isfinite([*numbers, 0 if angle is None else angle.to_value(u.deg)]).all():
        raise ShapeError(f"{name}({','.join(words)}): not on this sky plane")
    return shape
