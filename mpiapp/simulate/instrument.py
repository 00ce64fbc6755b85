"""A plain Chandra: PSF, vignetting, effective area, field of view and background.

Round numbers that vary as the real ones do, good enough to make problems of the
right kind and size; nothing is calibrated.  Angles on the sky are in arcsec,
off-axis angles in arcmin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..catalog.quantities import BANDS, TABLE_1

ERG_PER_KEV = 1.602e-9
# Spectrum for which exposure maps are made: a power law of this photon index.
NOMINAL_INDEX = 1.7
ECF90_APERTURE = {"aper": 1.3, "aper90": 1.0}  # radius in units of the 90 % radius


@dataclass(frozen=True)
class Camera:
    """One instrument.

    `narrow` are the bands in which photons are drawn; `wide` maps a band to the
    narrow ones that it is the sum of.  `area` is the effective area on axis in
    cm^2, `vignetting` its loss per arcmin off axis, `background` the counts per
    pixel and second, all by narrow band.
    """

    name: str
    pixel: float
    half_width: float
    narrow: tuple[str, ...]
    wide: dict[str, tuple[str, ...]]
    area: tuple[float, ...]
    vignetting: tuple[float, ...]
    background: tuple[float, ...]

    @property
    def bands(self) -> tuple[str, ...]:
        return self.narrow + tuple(self.wide)

    def sums(self) -> np.ndarray:
        """(n_bands, n_narrow) which narrow bands make up each band."""
        rows = [(band,) for band in self.narrow] + list(self.wide.values())
        return np.array([[float(b in row) for b in self.narrow] for row in rows])


CAMERAS = {
    "ACIS": Camera(
        name="ACIS",
        pixel=0.492,
        half_width=507.0,
        narrow=("u", "s", "m", "h"),
        wide={"b": ("s", "m", "h")},
        area=(60.0, 250.0, 550.0, 300.0),
        vignetting=(0.02, 0.025, 0.025, 0.04),
        background=(2e-8, 6e-8, 4e-8, 2e-7),
    ),
    "HRC": Camera(
        name="HRC",
        pixel=0.1318,
        half_width=900.0,
        narrow=("w",),
        wide={},
        area=(120.0,),
        vignetting=(0.025,),
        background=(3e-7,),
    ),
}


def psf_radius(off_axis: np.ndarray) -> np.ndarray:
    """Radius in arcsec that holds 90 % of a point source's photons."""
    return 1.0 + 0.1 * np.asarray(off_axis) ** 2


def enclosed_fraction(distance, radius, r90) -> np.ndarray:
    """PSF fraction in a circle of `radius` whose centre is `distance` from the source.

    The PSF is a Moffat profile with exponent 2, 1/(1 + (r/a)^2)^2 with a = r90/3,
    whose integral over any circle has a closed form: it is a sphere's uniform
    surface seen in stereographic projection.
    """
    a2, d2, r2 = (np.asarray(r90) / 3) ** 2, np.square(distance), np.square(radius)
    return 0.5 * (1 + (r2 - d2 - a2) / np.sqrt((r2 + d2 + a2) ** 2 - 4 * r2 * d2))


def photons(band: str, index) -> np.ndarray:
    """Photon flux in a band of the power law E^-index, photon/s/cm^2 at norm 1."""
    low, high = BANDS[band]
    p = 1 - np.asarray(index, dtype=float)
    p = np.where(np.abs(p) < 1e-9, 1e-9, p)
    return (high**p - low**p) / p


def energy(band: str, index) -> np.ndarray:
    """Energy flux in a band of the power law E^-index, erg/s/cm^2 at norm 1."""
    return ERG_PER_KEV * photons(band, np.asarray(index) - 1)


def efficiency(camera: Camera, off_axis) -> np.ndarray:
    """(..., n_narrow) effective area in cm^2."""
    loss = np.multiply.outer(np.asarray(off_axis), camera.vignetting)
    return np.array(camera.area) * np.clip(1 - loss, 0.2, 1.0)


def exposures(camera: Camera, off_axis: float, seconds: float) -> np.ndarray:
    """(n_quantities, n_bands) exposure factors E: F = PSF fraction x E (memo, Eq. 1).

    In the order of TABLE_1 and `camera.bands`: counts per unit of intensity,
    for the nominal spectrum where a band is wide.
    """
    share = np.array([photons(band, NOMINAL_INDEX) for band in camera.narrow])
    sums = camera.sums()
    photon = seconds * (sums @ (share * efficiency(camera, off_axis))) / (sums @ share)
    mean_energy = np.array(
        [energy(b, NOMINAL_INDEX) / photons(b, NOMINAL_INDEX) for b in camera.bands]
    )
    factors = {
        "flux": photon / mean_energy,
        "photflux": photon,
        "rate": np.full(len(photon), seconds),
        "cnts": np.ones(len(photon)),
    }
    return np.array([factors[quantity] for quantity in TABLE_1])
