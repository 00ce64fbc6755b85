"""What is known of an extraction besides C and F: columns of SRCINFO, and flags."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from .matrix import EVEN
from .region import Region, union

# More than this part of an aperture, or of its PSF fraction, is worth a flag.
_PART = 0.01

FLAGS = {
    "off-chip": "more than 1 % of the aperture has no exposure",
    "off-psf": "more than 1 % of an aperture of the bundle lies off the PSF image: F is too low",
    "coarse-psf": "whole pixels of the PSF image on the aperture's edge change F by more than 1 %",
    "overlap": "more than 1 % of the aperture lies in a neighbour's aperture, and counts in both",
    "holed": "more than 1 % of the aperture's outline is cut out",
    "uneven": "the exposure in the aperture varies by more than a factor of 2",
    "neighbour-lost": "a source of the bundle could not be extracted, and its light is in this one",
}


@dataclass(frozen=True)
class Quality:
    """A source's aperture in one band.

    Attributes
    ----------
    ra, dec : degrees
    theta : off-axis angle in arcmin
    mean_energy : keV, of the events in the aperture `aper`, before any subtraction
    photon_energy, photon_energy_err : keV, of the source's photons, which makes its energy flux
    photon_energy_assumed : part of that which is a power law's, not of the events, 0 to 1
    psf_edge : relative error of the PSF fraction, of pixels that count as a whole on the edge
    frac_off_chip, frac_off_psf, frac_overlap, frac_hole : parts of the aperture
    expmap_min, expmap_max : exposure in cm² s over the aperture's exposed pixels
    neighbour_lost : whether a source of its bundle could not be extracted
    """

    ra: float
    dec: float
    theta: float
    mean_energy: float
    photon_energy: float
    photon_energy_err: float
    photon_energy_assumed: float
    psf_edge: float
    frac_off_chip: float
    frac_off_psf: float
    frac_overlap: float
    frac_hole: float
    expmap_min: float
    expmap_max: float
    neighbour_lost: bool = False

    @property
    def flags(self) -> list[str]:
        """Names in FLAGS of what may matter."""
        return [
            name
            for name, is_set in (
                ("off-chip", self.frac_off_chip > _PART),
                ("off-psf", self.frac_off_psf > _PART),
                ("coarse-psf", self.psf_edge > _PART),
                ("overlap", self.frac_overlap > _PART),
                ("holed", self.frac_hole > _PART),
                ("uneven", self.expmap_min < EVEN * self.expmap_max),
                ("neighbour-lost", self.neighbour_lost),
            )
            if is_set
        ]

    def columns(self) -> dict[str, object]:
        """Its columns of SRCINFO."""
        numbers = asdict(self)
        del numbers["neighbour_lost"]
        return numbers | {"extract_flags": " ".join(self.flags)}


@lru_cache(maxsize=64)  # apertures are those of all bands, or most of them
def overlap(region: Region, others: tuple[Region, ...]) -> float:
    """The part of a region that lies in any of the others."""
    near = [other for other in others if region.bounds.meets(other.bounds)]
    x, y = region.points if near else ((), ())
    return float(union(near).contains(x, y).mean()) if len(x) else 0.0


def separation_arcmin(ra: float, dec: float, ra0: float, dec0: float) -> float:
    """Angle between two directions in degrees, in arcmin."""
    a, d, a0, d0 = np.radians([ra, dec, ra0, dec0])
    half = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(min(half, 1.0)))) * 60)
