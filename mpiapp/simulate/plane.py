"""The sky plane of a mock stack: where it lies, its name by its position, and its WCS."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS

from .sky import Stack


@dataclass(frozen=True, eq=False)
class Plane:
    """The sky plane of a stack: tangent point in degrees and the same in arcsec of the field."""

    celestial: tuple[float, float]
    offset: np.ndarray
    pixel: float
    centre: float

    def sky(self, position: np.ndarray) -> np.ndarray:
        """(n, 2) sky pixels of positions in arcsec; right ascension grows to the left."""
        return self.centre + (position - self.offset) * [-1, 1] / self.pixel

    def arcsec(self, sky: np.ndarray) -> np.ndarray:
        """(n, 2) positions in arcsec of sky pixels."""
        return self.offset + (sky - self.centre) * self.pixel * [-1, 1]

    def wcs(self) -> WCS:
        """Celestial WCS with sky pixels from 1."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval, wcs.wcs.crpix = self.celestial, [self.centre] * 2
        wcs.wcs.cdelt = [-self.pixel / 3600, self.pixel / 3600]
        return wcs


def place_stack(stack: Stack, field: int) -> tuple[Stack, Plane]:
    """The stack under the name that its position gives it, and its sky plane.

    Fields lie 2 degrees apart along a parallel.
    """
    offset = np.mean([obsid.centre for obsid in stack.obsids], axis=0)
    dec = 10.0 + offset[1] / 3600
    ra = (30.0 + 2 * field + offset[0] / 3600 / np.cos(np.radians(dec))) % 360
    pixel = stack.camera.pixel
    plane = Plane((ra, dec), offset, pixel, 4096.5 if stack.camera.name == "ACIS" else 16384.5)
    h, m = ra / 15, dec
    name = (
        f"{stack.camera.name.lower()}fJ{int(h):02d}{int(h * 60) % 60:02d}{int(h * 36000) % 600:03d}"
        f"p{int(m):02d}{int(m * 60) % 60:02d}{int(m * 3600) % 60:02d}_{stack.name[-3:]}"
    )
    return replace(stack, name=name), plane


def table_wcs(plane: Plane, first: int = 1) -> dict[str, object]:
    """Keywords of the WCS of two table columns, the first of this number."""
    cards = {}
    for n, (axis, value, sign) in enumerate(
        (("RA---TAN", plane.celestial[0], -1), ("DEC--TAN", plane.celestial[1], 1)), first
    ):
        cards |= {f"TCTYP{n}": axis, f"TCRVL{n}": value, f"TCRPX{n}": plane.centre}
        cards |= {f"TCDLT{n}": sign * plane.pixel / 3600, f"TCUNI{n}": "deg"}
    return cards
