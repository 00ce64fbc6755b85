"""C and F of a bundle from its regions, PSFs and exposure maps (memo, Eq. 1).

    F_ij = sum of PSF j over region i x exposure of region i,   F_ib = area of region i x exposure

The exposure of a region that lies on the chip is the mean of the map over the pixels whose
centres it holds, as the memo's author has it (XAP).  At the edge of a chip a mean is of no use:
there PSF and area are weighted with the exposure point by point.
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


class Exposure(NamedTuple):
    """What an exposure map says of a region.

    mean, low, high : over the exposed pixels whose centres it holds
    lit : fraction of its area that has any exposure
    """

    mean: float
    low: float
    high: float
    lit: float


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

    seen : (n + 1,) where there is exposure, fractions and sky pixels
    exposed : (n + 1,) the same times the exposure; None without a map
    exposure : of the region; None without a map
    """

    seen: np.ndarray
    exposed: np.ndarray | None
    exposure: Exposure | None


class Columns:
    """The PSFs of a bundle in one band, whose sums over regions are kept for the other bands."""

    def __init__(self, psfs: Sequence[Psf | PsfFraction], inside: dict):
        self.psfs = psfs
        self._inside = inside

    def inside(self, region: Region, psf: Psf) -> np.ndarray:
        """Numbers of the PSF's points in a region; PSFs of one layout ask but once."""
        key = id(region), psf.layout
        if key not in self._inside:
            x_low, x_high, y_low, y_high = region.bounds
            near = np.flatnonzero(
                (psf.x >= x_low) & (psf.x <= x_high) & (psf.y >= y_low) & (psf.y <= y_high)
            )
            # The region stays with its numbers, so that its id is not given to another.
            self._inside[key] = region, near[region.contains(psf.x[near], psf.y[near])]
        return self._inside[key][1]

    def row(self, region: Region, own: int | None, exposures: ExposureMap | None) -> Row:
        """The row of a region; `own`: the source whose aperture it is, None of the background."""
        n = len(self.psfs)
        exposure = exposures and exposures.of(region)
        partly = exposure is not None and exposure.lit < 1 - _DARK
        seen = np.zeros(n + 1)
        exposed = np.zeros(n + 1)
        for j, psf in enumerate(self.psfs):
            if isinstance(psf, PsfFraction):
                fraction = psf.background if own is None else psf.aper * (own == j)
                seen[j] = fraction * (exposure.lit if partly else 1.0)
                exposed[j] = seen[j] * (exposure.mean if exposure else 0.0)
                continue
            points = self.inside(region, psf)
            weight = psf.weight[points]
            if partly:
                at = exposures.at(psf.x[points], psf.y[points])
                seen[j], exposed[j] = weight[at > 0].sum(), weight @ at
            else:
                seen[j] = weight.sum()
                exposed[j] = seen[j] * (exposure.mean if exposure else 0.0)
        seen[n] = region.area * (exposure.lit if exposure else 1.0)
        exposed[n] = seen[n] * (exposure.mean if exposure else 0.0)
        return Row(seen, exposed if exposure else None, exposure)

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
