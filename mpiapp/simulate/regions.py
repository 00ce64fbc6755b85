"""Region files of a mock stack as the catalog's archive has them: source and background regions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from ..files.replacing import replacing
from .instrument import ECF90_APERTURE, psf_radius
from .observe import Detections, groups, mean_off_axis
from .plane import Plane, table_wcs

# The background region is a ring between these many source radii.
_RING = 2.0, 4.0
# Of all products.
VERSION = "001"


def radii(detections: Detections) -> np.ndarray:
    """(n,) 90 % radii in arcsec of the components, the mean of the stack's observations."""
    return psf_radius(mean_off_axis(detections.stack, detections.position))


def bundled_again(detections: Detections) -> Detections:
    """The same with bundles of the components that are left: a cut one may have fallen apart."""
    group = groups(detections.position, ECF90_APERTURE["aper"] * radii(detections))
    bundles = [np.flatnonzero(group == b) for b in range(group.max(initial=-1) + 1)]
    return replace(detections, bundles=bundles)


def write_regions(folder: Path, detections: Detections, plane: Plane) -> None:
    """reg3 of every component of a stack: source region, and background region with its holes.

    Of two that overlap by more than a third of their distance the brighter, which is the first,
    loses what the other's region covers, as the catalog's modified regions do.
    """
    r90 = radii(detections)
    radius = ECF90_APERTURE["aper"] * r90 / plane.pixel
    at = plane.sky(detections.position)
    for i in range(len(at)):
        distance = np.hypot(*(at - at[i]).T)
        source = [("Ellipse", *at[i], radius[i])]
        close = (distance < 0.75 * (radius + radius[i])) & (np.arange(len(at)) > i)
        source += [("!Ellipse", *at[j], radius[j]) for j in np.flatnonzero(close)]
        inner, outer = (k * radius[i] for k in _RING)
        ring = [("Ellipse", *at[i], outer), ("!Ellipse", *at[i], inner)]
        inside = (distance < outer + radius) & (np.arange(len(at)) != i)
        ring += [("!Ellipse", *at[j], radius[j]) for j in np.flatnonzero(inside)]
        hdus = [region_hdu("SRCREG", source, plane), region_hdu("BKGREG", ring, plane)]
        name = f"{detections.stack.name}N{VERSION}_{region_name(i)}_reg3.fits"
        write_fits(folder / name, [fits.PrimaryHDU(), *hdus])


def region_name(i: int) -> str:
    return f"r{i + 1:04d}"


def region_hdu(name: str, shapes, plane: Plane) -> fits.BinTableHDU:
    """A table of ellipses (shape, x, y, radius), which are circles."""
    n = len(shapes)
    columns = [
        fits.Column("X", "D", unit="pixel", array=[s[1] for s in shapes]),
        fits.Column("Y", "D", unit="pixel", array=[s[2] for s in shapes]),
        fits.Column("SHAPE", "16A", array=[s[0] for s in shapes]),
        fits.Column("R", "2D", unit="pixel", array=[2 * [s[3]] for s in shapes]),
        fits.Column("ROTANG", "2D", unit="deg", array=np.full((n, 2), [0, np.nan])),
        fits.Column("COMPONENT", "I", array=np.ones(n, dtype=np.int16)),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    hdu.header.update(table_wcs(plane))
    return hdu


def write_fits(path: Path, hdus: list) -> None:
    with replacing(path) as new:
        fits.HDUList(hdus).writeto(new)
