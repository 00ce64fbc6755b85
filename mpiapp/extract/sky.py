"""The sky plane of an observation, in sky ("physical") pixels, and images upon it.

Sky pixels are what the event columns x and y count, with whole numbers at pixel centres; an image
may be coarser or finer and says by its physical WCS where it lies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from ..catalog.fault import InputError
from .fits_input import open_fits
from .region import Bounds, Region

_MAX_PIXELS = 1 << 28
_OF_WCS = re.compile(r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)[12]|(PC|CD)[12]_[12]|LONPOLE|LATPOLE")


class Grid(NamedTuple):
    """Where an image lies: sky position of its first pixel's centre, size of a pixel, shape."""

    origin: tuple[float, float]
    step: float
    shape: tuple[int, int]

    @property
    def bounds(self) -> Bounds:
        """The rectangle that the image covers."""
        (x, y), half, (ny, nx) = self.origin, self.step / 2, self.shape
        return Bounds(x - half, x + nx * self.step - half, y - half, y + ny * self.step - half)


@dataclass(frozen=True, eq=False)
class Frame:
    """The sky plane: its celestial WCS, whose pixels (from 0) are sky pixels, and its reach.

    `wcs` is None where the file has none; `grid` is that of the image, None for an event list.
    """

    wcs: WCS | None
    bounds: Bounds
    grid: Grid | None = None

    @cached_property
    def pixel_arcsec(self) -> float | None:
        """Size of a sky pixel in arcsec."""
        return None if self.wcs is None else float(proj_plane_pixel_scales(self.wcs)[0] * 3600)

    def same_plane(self, wcs: WCS) -> bool:
        """Whether another WCS gives the same positions, to a hundredth of a pixel."""
        mine, other = self.wcs.wcs, wcs.wcs
        return bool(
            np.allclose(mine.crval, other.crval, rtol=0, atol=1e-6)
            and np.allclose(mine.crpix, other.crpix, rtol=0, atol=1e-2)
            and np.allclose(self.wcs.pixel_scale_matrix, wcs.pixel_scale_matrix, rtol=1e-5)
        )

    def celestial(self, x: float, y: float) -> tuple[float, float]:
        """Right ascension and declination in degrees; NaN where there is no WCS."""
        if self.wcs is None:
            return np.nan, np.nan
        ra, dec = self.wcs.pixel_to_world_values(x, y)
        return float(ra), float(dec)


def make_wcs(crval, crpix, scale, ctype: Sequence[str] = ("RA---TAN", "DEC--TAN")) -> WCS:
    """A WCS whose pixels, from 0, are sky pixels.

    crpix : sky position of the reference point
    scale : degrees a sky pixel, (2,) or (2, 2)
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = list(ctype)
    wcs.wcs.crval = crval
    wcs.wcs.crpix = np.asarray(crpix, float) + 1
    scale = np.asarray(scale, float)
    wcs.wcs.cd = scale if scale.ndim == 2 else np.diag(scale)
    wcs.wcs.set()
    return wcs


def celestial_of_table(header: fits.Header, columns: Sequence[str]) -> WCS | None:
    """The WCS of the sky columns of an event list or region table, None if it says nothing."""
    numbers = [_column_number(header, name) for name in columns]
    try:
        names = "TCRVL", "TCRPX", "TCDLT"
        values = [[float(said(header, f"{name}{n}")) for n in numbers] for name in names]
        projection = {str(said(header, f"TCTYP{n}"))[-3:] for n in numbers}
    except (ValueError, TypeError):
        return None
    if projection != {"TAN"} or not np.isfinite(values).all() or not np.all(values[2]):
        return None
    return make_wcs(*values)


def _column_number(header: fits.Header, name: str) -> int:
    for n in range(1, int(said(header, "TFIELDS", 0)) + 1):
        if str(said(header, f"TTYPE{n}", "")).strip().upper() == name.upper():
            return n
    return 0


@dataclass(frozen=True, eq=False)
class Image:
    """An image on the sky plane: its pixels (ny, nx), where it lies, and its header."""

    path: str
    array: np.ndarray
    grid: Grid
    header: fits.Header

    @cached_property
    def frame(self) -> Frame:
        """The sky plane as this image has it."""
        wcs = celestial_of_image(self.header)
        if wcs is not None:
            crpix = np.asarray(self.grid.origin) + self.grid.step * (wcs.wcs.crpix - 1)
            scale = wcs.pixel_scale_matrix / self.grid.step
            wcs = make_wcs(wcs.wcs.crval, crpix, scale, wcs.wcs.ctype)
        return Frame(wcs, self.grid.bounds, self.grid)

    @cached_property
    def peak(self) -> float:
        """The largest finite pixel."""
        return float(np.max(self.array, where=np.isfinite(self.array), initial=0))

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) values of the pixels at sky positions; NaN off the image."""
        column = np.floor((x - self.grid.origin[0]) / self.grid.step + 0.5).astype(np.int64)
        row = np.floor((y - self.grid.origin[1]) / self.grid.step + 0.5).astype(np.int64)
        ny, nx = self.grid.shape
        on = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
        values = np.full(len(x), np.nan)
        values[on] = self.array[row[on], column[on]]
        return values


class Cut(NamedTuple):
    """The pixels of a grid whose centres lie in a region: a window, a mask in it, and centres."""

    window: tuple[slice, slice]
    mask: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def of(self, image: Image) -> np.ndarray:
        """Values of the image's pixels in the region."""
        return image.array[self.window][self.mask]


@lru_cache(maxsize=16)  # the maps of all bands have one grid
def cut(grid: Grid, region: Region) -> Cut:
    """The pixels of an image whose centres lie in the region."""
    window, centres = [], []
    low_high = region.bounds[:2], region.bounds[2:]
    for axis, size in ((0, grid.shape[1]), (1, grid.shape[0])):
        low, high = ((v - grid.origin[axis]) / grid.step for v in low_high[axis])
        first = int(np.clip(np.floor(low), 0, size))
        last = int(np.clip(np.ceil(high) + 1, first, size))
        window.append(slice(first, last))
        centres.append(grid.origin[axis] + grid.step * np.arange(first, last))
    x, y = np.meshgrid(*centres)
    mask = region.contains(x.ravel(), y.ravel()).reshape(x.shape)
    return Cut((window[1], window[0]), mask, x[mask], y[mask])


def counts_in(images: Sequence[Image], region: Region) -> int:
    """The counts in a region, of a pixel that several images have those of the first.

    Raises InputError if there is no image, or it has no whole counts.
    """
    if not images:
        raise InputError("neither events nor a counts image; name one")
    total = 0.0
    for i, image in enumerate(images):
        pixels = cut(image.grid, region)
        new = np.ones(len(pixels.x), dtype=bool)
        for earlier in images[:i]:
            new &= np.isnan(earlier.at(pixels.x, pixels.y))
        counts = pixels.of(image)[new].sum(dtype=np.float64)
        if not (counts >= 0 and counts % 1 == 0):
            raise InputError(f"{image.path}: {counts} counts in a region; name a counts image")
        total += counts
    return int(total)


def read_image(path: str | os.PathLike, frame: Frame | None = None) -> Image:
    """The first image of a FITS file, on the sky plane of `frame` if it has none of its own.

    Raises InputError if there is none, or it cannot be put on the sky plane.
    """
    with open_fits(path) as hdus:
        for hdu in hdus:
            if hdu.is_image and hdu.header.get("NAXIS", 0) == 2:
                shape = hdu.header["NAXIS2"], hdu.header["NAXIS1"]
                if not 0 < shape[0] * shape[1] <= _MAX_PIXELS:
                    raise InputError(f"{path}: an image of {shape} pixels; check the file")
                array = np.asarray(hdu.data)
                header = hdu.header
                break
        else:
            raise InputError(f"{path}: no image of two axes in it; check that it is the right file")
    if array.dtype.kind not in "iuf":
        raise InputError(f"{path}: pixels of type {array.dtype}, expected numbers")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return Image(str(path), array, _placed(path, header, array.shape, frame), header)


def read_exposure_map(path: str | os.PathLike, frame: Frame | None = None) -> Image:
    """An exposure map in cm² s; InputError if it says that it is in another unit."""
    image = read_image(path, frame)
    unit = str(said(image.header, "BUNIT", ""))
    words = set(re.findall("[a-z]+", unit.lower()))
    if words and not ("cm" in words and words & {"s", "sec"}):
        raise InputError(f"{path}: BUNIT {unit!r}, expected an exposure map in cm**2 s")
    return image


def celestial_of_image(header: fits.Header) -> WCS | None:
    """The celestial WCS of an image, in its own pixels; None if it has none that can be used."""
    # The hundreds of other keywords of Chandra's files would take most of the time.
    own = fits.Header([card for card in header.cards if _OF_WCS.fullmatch(card.keyword)])
    try:
        wcs = WCS(own, naxis=2)
        return wcs if wcs.has_celestial and np.isfinite(wcs.pixel_scale_matrix).all() else None
    except Exception:  # wcslib has many names for broken keywords
        return None


def _placed(path, header: fits.Header, shape, frame: Frame | None) -> Grid:
    """Where an image lies."""
    physical = _physical(header)
    celestial = celestial_of_image(header) if physical is None else None
    if celestial is not None and frame is not None and frame.wcs is not None:
        x, y = frame.wcs.world_to_pixel_values(*celestial.pixel_to_world_values([0, 1], [0, 1]))
        physical = (float(x[0]), float(y[0])), (float(x[1] - x[0]), float(y[1] - y[0]))
    origin, steps = physical or ((1.0, 1.0), (1.0, 1.0))
    if not np.isfinite([*origin, *steps]).all() or min(steps) <= 0:
        raise InputError(f"{path}: physical pixels of {list(steps)}, expected positive sizes")
    if not np.isclose(*steps, rtol=1e-3):
        raise InputError(f"{path}: pixels of {list(steps)} sky pixels, expected squares; bin anew")
    return Grid((float(origin[0]), float(origin[1])), float(steps[0]), shape)


def _physical(header: fits.Header) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Sky position of the first pixel's centre and size of a pixel, if the header says so."""
    try:
        if "CRVAL1P" in header:
            values = [
                [float(said(header, f"{key}{axis}P", default)) for axis in (1, 2)]
                for key, default in (("CRVAL", 0), ("CRPIX", 1), ("CDELT", 1))
            ]
            origin = [v + (1 - p) * d for v, p, d in zip(*values)]
            return (origin[0], origin[1]), (values[2][0], values[2][1])
        if "LTM1_1" in header or "LTV1" in header:
            steps = [1 / float(said(header, f"LTM{a}_{a}", 1)) for a in (1, 2)]
            origin = [(1 - float(said(header, f"LTV{a}", 0))) * s for a, s in zip((1, 2), steps)]
            return (origin[0], origin[1]), (steps[0], steps[1])
    except (ValueError, TypeError, ZeroDivisionError):
        return (np.nan, np.nan), (np.nan, np.nan)
    return None


def said(header: fits.Header, keyword: str, default: object = None) -> object:
    """The value of a keyword, the default where it is missing or cannot be parsed."""
    try:
        return header.get(keyword, default)
    except fits.VerifyError:
        return default


def number_in(header: fits.Header, *keywords: str) -> float | None:
    """The first of the keywords that is a finite number."""
    for keyword in keywords:
        value = said(header, keyword)
        if isinstance(value, (int, float)) and np.isfinite(value):
            return float(value)
    return None


def start_of(header: fits.Header) -> float | None:
    """The start of an observation as MJD, in the header's own time system."""
    start, reference = number_in(header, "TSTART"), number_in(header, "MJDREF")
    told = number_in(header, "MJD-OBS", "MJD_OBS")
    return reference + start / 86_400 if told is None and None not in (start, reference) else told


def instrument_of(header: fits.Header, path: str) -> str | None:
    """ACIS or HRC, by the header or the name of the file."""
    for text in (str(said(header, "INSTRUME", "")), os.path.basename(path)):
        if found := re.search("acis|hrc", text, re.IGNORECASE):
            return found[0].upper()
    return None
