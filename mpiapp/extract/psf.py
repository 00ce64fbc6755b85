"""PSFs as weighted points of the sky plane: from an image, or from a table of radii."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import Table

from ..catalog.fault import InputError
from .fits_input import open_fits, read_bytes
from .region import Bounds, Component, Region, make_shape
from .region_files import is_fits
from .sky import Frame, Grid, read_image

ECF90 = 0.9
# PSF images of the catalog hold 0.988 to 0.993 of the PSF: the rest lies outside.  Others, of
# counted rays for instance, are divided by their sum.
_FRACTIONS = 0.5, 1.001
# Points of a round PSF, all of the same weight: fractions are right to some 10^-4.
_N_POINTS = 20_000
_OF_SRCFLUX = ("PSFFRAC", "BG_PSFFRAC", "MFLUX_CNV", "UMFLUX_CNV")
_GOLDEN_ANGLE = np.pi * (3 - 5**0.5)


@dataclass(frozen=True, eq=False)
class Psf:
    """Where a source's photons fall.

    x, y, weight : (n,) sky pixels and the fraction of the photons that each stands for
    bounds : where the PSF is known
    layout : the same for PSFs with the same points
    step : sky pixels that a pixel of the image is wide, 0 of points
    """

    path: str
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    bounds: Bounds
    layout: object
    step: float = 0.0

    @cached_property
    def peak(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y (1,) of its brightest point."""
        brightest = self.weight.argmax()
        return self.x[[brightest]], self.y[[brightest]]

    @cached_property
    def total(self) -> float:
        """The fraction of all photons that it holds."""
        return float(self.weight.sum())


class PsfFraction(NamedTuple):
    """A PSF of which no more is known than its fractions in the source's own regions."""

    aper: float
    background: float = 0.0


def read_psf(
    given: str | tuple[float, float], frame: Frame, centre: tuple[float, float]
) -> Psf | PsfFraction:
    """The PSF of a source at `centre` (sky pixels); InputError if it cannot be used."""
    if isinstance(given, str):
        if given.endswith(".flux"):
            return _fractions(*srcflux_fractions(given), given)
        return _psf_image(given, frame) if is_fits(given) else _round_psf(given, frame, centre)
    return _fractions(*given)


def _fractions(aper: float, background: float, path: str = "") -> PsfFraction:
    # 1.0000001 is a sum in single precision.
    if not (0 < aper <= 1 + 1e-4 and 0 <= background <= 1):
        place = f"{path}: " if path else ""
        raise InputError(f"{place}PSF fractions {aper} and {background}, expected numbers up to 1")
    return PsfFraction(min(float(aper), 1.0), float(background))


def srcflux_fractions(path: str, source: str = "") -> tuple[float, float]:
    """The PSF fractions of aperture and background in a table of `srcflux`.

    source : number of the source in a table of several, its COMPONENT or else its row
    """
    background = srcflux_number(path, "BG_PSFFRAC", source, 0.0)
    return srcflux_number(path, "PSFFRAC", source), float(np.nan_to_num(background))


def srcflux_number(path: str, column: str, source: str = "", default: float | None = None) -> float:
    """A number of a source as of `srcflux_fractions`; `default` where there is no such column."""
    numbers, columns = _srcflux_table(path)
    if column not in columns and default is not None:
        return default
    if column not in columns:
        raise InputError(f"{path}: no column {column}; name numbers, or another file")
    try:
        return float(columns[column][numbers.index(int(source)) if source else 0])
    except ValueError:
        known = f"{min(numbers)} to {max(numbers)}"
        raise InputError(f"{path}: no source {source}, only {known}; name another file") from None


@lru_cache(maxsize=8)  # a table of all sources is asked for each of them
def _srcflux_table(path: str) -> tuple[list[int], dict[str, np.ndarray]]:
    """Numbers of the sources in a table of `srcflux`, and its columns of fractions and factors."""
    with open_fits(path) as hdus:
        for hdu in hdus:
            names = hdu.columns.names if isinstance(hdu, fits.BinTableHDU) else ()
            if "PSFFRAC" in names and len(hdu.data):
                rows = np.arange(1, len(hdu.data) + 1)
                numbers = hdu.data["COMPONENT"] if "COMPONENT" in names else rows
                columns = {n: np.asarray(hdu.data[n], float) for n in _OF_SRCFLUX if n in names}
                return [int(n) for n in numbers], columns
    raise InputError(f"{path}: no table with PSFFRAC; name a PSF image or psf_fraction")


def _psf_image(path: str, frame: Frame) -> Psf:
    image = read_image(path, frame)
    weight = image.array.astype(np.float64).ravel()
    if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.sum() > 0):
        raise InputError(f"{path}: a PSF image with negative pixels, none above 0, or NaN")
    low, high = _FRACTIONS
    total, grid = weight.sum(), image.grid
    if not low < total < high:
        weight = weight / total
    return Psf(path, *_centres(grid), weight, grid.bounds, grid, grid.step)


@lru_cache(maxsize=16)  # a source's PSF images of all bands have one grid
def _centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """x and y of all pixels of a grid, row after row."""
    (x0, y0), step, (ny, nx) = grid
    return np.tile(x0 + step * np.arange(nx), ny), np.repeat(y0 + step * np.arange(ny), nx)


def _round_psf(path: str, frame: Frame, centre: tuple[float, float]) -> Psf:
    """A table of radii (arcsec, or pixel by its unit) and the fractions inside them."""
    try:
        kind = "ascii.ecsv" if path.endswith(".ecsv") else "ascii"
        table = Table.read(read_bytes(path).decode("utf-8-sig").splitlines(), format=kind)
        radius, fraction = (np.asarray(table[n], float) for n in ("radius", "fraction"))
        unit = str(table["radius"].unit or "arcsec")
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: no table with the columns radius and fraction ({error}); name a PSF image "
            "or such a table"
        ) from None
    steps = np.diff(np.concatenate([[[0.0], [0.0]], [radius, fraction]], axis=1))
    if not (np.isfinite(steps).all() and (steps > 0).all() and fraction[-1] <= 1 + 1e-4):
        raise InputError(f"{path}: radius and fraction must grow from row to row, fraction up to 1")
    if unit not in ("pixel", "pix"):
        if frame.pixel_arcsec is None:
            raise InputError(f"{path}: radii in arcsec, but no WCS says how large a pixel is")
        radius = radius / frame.pixel_arcsec
    # Between rows the enclosed fraction is as if the surface brightness were even.
    inside = (np.arange(_N_POINTS) + 0.5) / _N_POINTS * fraction[-1]
    squared = np.interp(inside, np.append(0, fraction), np.append(0, radius**2))
    turn = _GOLDEN_ANGLE * np.arange(_N_POINTS)
    x, y = (c + np.sqrt(squared) * f(turn) for c, f in zip(centre, (np.cos, np.sin)))
    weight = np.full(_N_POINTS, fraction[-1] / _N_POINTS)
    reach = radius[-1] * (1e3 if fraction[-1] > 1 - 1e-3 else 1)
    bounds = Bounds(centre[0] - reach, centre[0] + reach, centre[1] - reach, centre[1] + reach)
    return Psf(path, x, y, weight, bounds, object())


def ellipse_of(psf: Psf, fraction: float = ECF90) -> Region:
    """The ellipse that holds this fraction of the PSF.

    Centre, axis ratio and angle are those of the moments of its brightest pixels, as many as hold
    the fraction, so that the wings have no say; its size is that which holds the fraction.
    """
    wanted = min(fraction, psf.total)
    order = np.argsort(psf.weight)[::-1]
    bright = order[: 1 + int(np.searchsorted(np.cumsum(psf.weight[order]), wanted))]
    weight = psf.weight[bright] / psf.weight[bright].sum()
    x, y = psf.x[bright], psf.y[bright]
    centre = float(weight @ x), float(weight @ y)
    dx, dy = x - centre[0], y - centre[1]
    covariance = np.array([[weight @ (dx * dx), weight @ (dx * dy)], [0, weight @ (dy * dy)]])
    covariance[1, 0] = covariance[0, 1]
    # A PSF in a single pixel is as wide as that.
    variances, axes = np.linalg.eigh(covariance + np.eye(2) / 12)
    major, minor = axes[:, 1], axes[:, 0]
    dx, dy = psf.x - centre[0], psf.y - centre[1]
    squared = (dx * major[0] + dy * major[1]) ** 2 / variances[1]
    squared += (dx * minor[0] + dy * minor[1]) ** 2 / variances[0]
    outwards = np.argsort(squared)
    held = np.cumsum(psf.weight[outwards])
    last = min(int(np.searchsorted(held, wanted)), len(held) - 1)
    scale = np.sqrt(squared[outwards[last]])
    radii = scale * np.sqrt(variances[::-1])
    angle = float(np.degrees(np.arctan2(major[1], major[0])))
    shape = make_shape("ellipse", [centre[0]], [centre[1]], np.maximum(radii, 0.5), [angle])
    return Region((Component((shape,)),))
