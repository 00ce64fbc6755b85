"""C and F of a bundle from its regions, PSFs and exposure maps (memo, Eq. 1).

    F_ij = sum of PSF j over region i x exposure of region i,   F_ib = area of region i x exposure

The exposure of an evenly exposed region is the mean of the map over the pixels whose centres it
holds, as the memo's author has it (XAP).  At the edge of a chip a mean is of no use: there PSF and
area are weighted with the exposure point by point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .psf import Psf, PsfFraction
from .region import Region
from .sky import Image, cut

# Less than this part of a region without exposure is a matter of pixel edges.
_DARK = 1e-3
# Exposures of a region down to this part of the largest are even.
EVEN = 0.5
# Parts of a pixel along each side.
_SPLIT = (np.arange(4) - 1.5) / 4


class Exposure(NamedTuple):
    """What an exposure map says of a region.

    mean, low, high : over the exposed pixels whose centres it holds
    lit : fraction of its area that has any exposure
    """

    mean: float
    low: float
    high: float
    lit: float

    @property
    def is_even(self) -> bool:
        """Whether its mean serves the whole region."""
        return self.lit >= 1 - _DARK and self.low >= EVEN * self.high


@dataclass(frozen=True, eq=False)
class ExposureMap:
    """One image of the field, or those around several sources of a bundle; cm² s or s."""

    images: tuple[Image, ...]

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) exposure; 0 off the images, and where it is no number."""
        values = np.full(len(x), np.nan)
        for image in self.images:
            gaps = np.isnan(values)
            if gaps.any():
                values[gaps] = image.at(x[gaps], y[gaps])
        return np.maximum(np.nan_to_num(values, nan=0.0, posinf=0.0), 0.0)

    def of(self, region: Region) -> Exposure:
        """The exposure of a region."""
        for image in self.images:
            if image.grid.bounds.holds(region.bounds):
                pixels = cut(image.grid, region).of(image).astype(np.float64)
                if pixels.size and pixels.min() > 0 and np.isfinite(pixels).all():
                    return Exposure(pixels.mean(), pixels.min(), pixels.max(), 1.0)
        values = self.at(*region.points)
        seen = values[values > 0]
        if not len(seen):
            return Exposure(0.0, 0.0, 0.0, 0.0)
        return Exposure(seen.mean(), seen.min(), seen.max(), len(seen) / len(values))


class Row(NamedTuple):
    """A region's row of F, PSF j in column j and the area last.

    whole : (n + 1,) fractions and sky pixels
    exposed : (n + 1,) the same times the exposure; None without a map
    exposure : of the region; None without a map
    """

    whole: np.ndarray
    exposed: np.ndarray | None
    exposure: Exposure | None


class Columns:
    """The PSFs of a bundle in one band, whose points in regions are kept for the other bands.

    fine : whether pixels on the edge of a region count by their part inside, and the exposure pixel
    by pixel, whether it is even or not
    """

    def __init__(self, psfs: Sequence[Psf | PsfFraction], inside: dict, fine: bool = False):
        self.psfs, self.fine = psfs, fine
        self._inside = inside

    def inside(self, region: Region, psf: Psf, split: bool) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the PSF's points in a region, and the part of each that is inside.

        PSFs of one layout ask but once.
        """
        key = id(region), psf.layout, split
        if key not in self._inside:
            x_low, x_high, y_low, y_high = region.bounds
            half = psf.step / 2 * split
            near = np.flatnonzero(
                (psf.x >= x_low - half)
                & (psf.x <= x_high + half)
                & (psf.y >= y_low - half)
                & (psf.y <= y_high + half)
            )
            parts = _parts(region, psf.x[near], psf.y[near], psf.step * split)
            # The region stays with its numbers, so that its id is not given to another.
            self._inside[key] = region, near[parts > 0], parts[parts > 0]
        return self._inside[key][1:]

    def row(self, region: Region, own: int | None, exposures: ExposureMap | None) -> Row:
        """The row of a region; `own`: the source whose aperture it is, None of the background."""
        n = len(self.psfs)
        exposure = exposures and exposures.of(region)
        whole = np.zeros(n + 1)
        exposed = np.zeros(n + 1)
        for j, psf in enumerate(self.psfs):
            if isinstance(psf, PsfFraction):
                whole[j] = psf.background if own is None else psf.aper * (own == j)
                exposed[j] = whole[j] * exposure.lit * exposure.mean if exposure else 0.0
                continue
            points, parts = self.inside(region, psf, self.fine)
            weight = psf.weight[points] * parts
            whole[j] = weight.sum()
            if exposure and (self.fine or not exposure.is_even):
                exposed[j] = weight @ exposures.at(psf.x[points], psf.y[points])
            elif exposure:
                exposed[j] = whole[j] * exposure.mean
        whole[n] = region.area
        if exposure:
            exposed[n] = region.area * exposure.lit * exposure.mean
        return Row(whole, exposed if exposure else None, exposure)

    def edge_error(self, region: Region, own: int) -> float:
        """Relative error of a source's PSF fraction because pixels on the edge count as a whole."""
        psf = self.psfs[own]
        if self.fine or isinstance(psf, PsfFraction) or not psf.step:
            return 0.0
        whole, split = (
            psf.weight[points] @ parts
            for points, parts in (self.inside(region, psf, is_split) for is_split in (False, True))
        )
        return float(abs(whole / split - 1)) if split > 0 else 0.0

    def off_image(self, region: Region) -> float:
        """The largest part of a region that lies off any of the PSF images."""
        parts = [0.0]
        for bounds in {psf.bounds for psf in self.psfs if isinstance(psf, Psf)}:
            if not bounds.holds(region.bounds):
                x, y = region.points
                x_low, x_high, y_low, y_high = bounds
                on = (x >= x_low) & (x < x_high) & (y >= y_low) & (y < y_high)
                parts.append(1 - float(on.mean()) if len(on) else 0.0)
        return max(parts)


def _parts(region: Region, x: np.ndarray, y: np.ndarray, step: float) -> np.ndarray:
    """(n,) parts of pixels of this width that lie in a region; 0 or 1 of points (step 0)."""
    parts = region.contains(x, y).astype(np.float64)
    if step:
        corners = [
            region.contains(x + dx, y + dy)
            for dx in (-step / 2, step / 2)
            for dy in (-step / 2, step / 2)
        ]
        edge = np.flatnonzero(np.ptp([parts, *corners], axis=0))
        dx, dy = (d.ravel() * step for d in np.meshgrid(_SPLIT, _SPLIT))
        points = ((v[edge, None] + d).ravel() for v, d in ((x, dx), (y, dy)))
        parts[edge] = region.contains(*points).reshape(len(edge), len(dx)).mean(axis=1)
    return parts
