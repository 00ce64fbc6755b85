"""The files of a mock sky as the catalog's archive has them: events, regions, PSFs, exposure maps.

Each observation is drawn photon by photon, so that what `mpiapp extract` makes of the files can be
held against the truth.  Names and layouts are those of CSC 2.1's products, a folder for a stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from ..catalog.quantities import BANDS, TABLE_1
from .instrument import (
    ECF90_APERTURE,
    ERG_PER_KEV,
    NOMINAL_INDEX,
    Camera,
    energy,
    exposures,
    photons,
    psf_radius,
)
from .observe import Detections, Truth
from .plane import Plane, table_wcs
from .regions import VERSION, region_hdu, region_name, write_fits
from .sky import DITHER, Obsid

# Sky pixels an exposure map's pixel is wide, by instrument.
_MAP_STEP = {"ACIS": 4.0, "HRC": 16.0}
# PSF image: pixels a 90 % radius, and radii to its edge, which is beyond the ring.
_PSF_PIXELS, _PSF_RADII = 9, 5.5
# Events that do not count: of bad status, and outside the good times.
_BAD = 0.03
_START = 6e8


@dataclass(frozen=True, eq=False)
class Products:
    """Writes the files of one stack's observations and says what they were drawn from.

    Photons have the nominal spectrum within each narrow band, whatever their source's is over all
    of them, and the background is as even as the detector is wide.
    """

    folder: Path
    detections: Detections
    plane: Plane
    bands: tuple[str, ...]

    def observe(
        self, obsid: Obsid, expected: np.ndarray, rng: np.random.Generator
    ) -> list[tuple[str, tuple[str, ...], Truth]]:
        """Draw an observation: events, exposure maps, PSF images and its own regions.

        expected : (n_components, n_narrow) photons that each component would give

        Returns the bundles, their components in the field and the truth.
        """
        camera = self.detections.stack.camera
        position = self.detections.position
        on = obsid.on_detector(camera, position)
        start = f"{camera.name.lower()}f{int(obsid.name):05d}_000N{VERSION}"
        header = self._header(camera, obsid)
        self._write_events(start, camera, obsid, expected[on], position[on], header, rng)
        peak = self._write_maps(start, camera, obsid, header)
        for i in np.flatnonzero(on):
            self._write_psf(f"{start}_{region_name(i)}", obsid, position[i], header)
            self._write_ecf90(f"{start}_{region_name(i)}", obsid, position[i])
        return self._truth(camera, obsid, expected, on, peak)

    def _header(self, camera: Camera, obsid: Obsid) -> dict[str, object]:
        ra, dec = self.plane.wcs().wcs_pix2world(self.plane.sky(obsid.centre[None]), 1)[0]
        return {
            "TELESCOP": "CHANDRA",
            "INSTRUME": camera.name,
            "OBS_ID": obsid.name,
            "EXPOSURE": obsid.seconds,
            "MJD-OBS": obsid.mjd,
            "RA_PNT": ra,
            "DEC_PNT": dec,
        }

    def _write_events(self, start, camera, obsid, expected, position, header, rng) -> None:
        x, y, kev = self._photons(camera, obsid, expected, position, rng)
        n_bad = rng.binomial(len(x), _BAD, 2)
        bad = [rng.integers(0, len(x), n) if len(x) else np.zeros(0, int) for n in n_bad]
        which = np.concatenate([np.arange(len(x)), *bad])
        n, late = len(which), len(x) + len(bad[0])
        time = _START + rng.uniform(0, obsid.seconds, n)
        time[late:] += 2 * obsid.seconds
        status = np.zeros((n, 32), dtype=bool)
        status[len(x) : late, 4] = True
        columns = [
            fits.Column("time", "D", unit="s", array=time),
            fits.Column("ccd_id", "I", array=np.zeros(n, dtype=np.int16)),
            fits.Column("x", "E", unit="pixel", array=x[which]),
            fits.Column("y", "E", unit="pixel", array=y[which]),
            fits.Column("status", "32X", array=status),
        ]
        if camera.name == "ACIS":
            columns.insert(4, fits.Column("energy", "E", unit="eV", array=1000 * kev[which]))
        events = fits.BinTableHDU.from_columns(columns, name="EVENTS")
        events.header.update(header)
        events.header.update(table_wcs(self.plane, 3))
        for n in (3, 4):
            events.header[f"TLMIN{n}"], events.header[f"TLMAX{n}"] = (
                0.5,
                2 * self.plane.centre - 0.5,
            )
        good = [
            fits.Column("START", "D", unit="s", array=[_START]),
            fits.Column("STOP", "D", unit="s", array=[_START + obsid.seconds]),
        ]
        gti = fits.BinTableHDU.from_columns(good, name="GTI")
        write_fits(self.folder / f"{start}_evt3.fits", [fits.PrimaryHDU(), events, gti])

    def _photons(self, camera, obsid, expected, position, rng):
        """Sky pixels and energies of all photons that the detector catches."""
        r90 = psf_radius(obsid.off_axis(position))
        counts = rng.poisson(expected)
        places, kevs = [], []
        for k, band in enumerate(camera.narrow):
            source = np.repeat(np.arange(len(position)), counts[:, k])
            u, turn = rng.random((2, len(source)))
            r = r90[source] / 3 * np.sqrt(u / (1 - u))
            turn *= 2 * np.pi
            step = np.stack([r * np.cos(turn), r * np.sin(turn)], axis=1)
            places.append(position[source] + step)
            kevs.append(_power_law(band, len(source), rng))
            reach = camera.half_width + DITHER
            area = (2 * reach / camera.pixel) ** 2
            even = rng.poisson(self._background(camera, obsid)[k] * area)
            detector = rng.uniform(-reach, reach, (even, 2))
            places.append(obsid.sky(detector))
            kevs.append(rng.uniform(*BANDS[band], even))
        place, kev = np.concatenate(places), np.concatenate(kevs)
        caught = rng.random(len(place)) < obsid.exposed(camera, place)
        x, y = self.plane.sky(place[caught]).T
        return x, y, kev[caught]

    def _background(self, camera: Camera, obsid: Obsid) -> np.ndarray:
        """(n_narrow,) counts a sky pixel, the same all over the detector."""
        return np.array(camera.background) * obsid.seconds * obsid.chips[0]

    def _write_maps(self, start, camera, obsid, header) -> np.ndarray:
        """Exposure maps of the bands; returns the peak of each band of the camera."""
        step = _MAP_STEP[camera.name]
        reach = 1.5 * camera.half_width / camera.pixel
        middle = self.plane.sky(obsid.centre[None])[0]
        n = int(np.ceil(2 * reach / step))
        origin = np.round(middle - n * step / 2) + 0.5  # the centre of the first pixel
        along = origin[:, None] + step * np.arange(n)
        x, y = np.meshgrid(*along)
        place = self.plane.arcsec(np.stack([x.ravel(), y.ravel()], axis=1))
        on = obsid.exposed(camera, place)
        angle = obsid.off_axis(place)
        table = np.linspace(0, angle.max(), 200)
        by_angle = np.array([exposures(camera, a, obsid.seconds) for a in table])
        photon = by_angle[:, list(TABLE_1).index("photflux")]
        peak = np.zeros(len(camera.bands))
        for k, band in enumerate(camera.bands):
            image = (np.interp(angle, table, photon[:, k]) * on).reshape(n, n)
            peak[k] = np.float32(image.max())
            if band in self.bands:
                name = f"{start}_{band}_exp3.fits"
                unit = {"BUNIT": "cm**2 s count/photon"}
                self._write_image(name, image, origin, step, header | unit)
        return peak

    def _write_psf(self, start: str, obsid: Obsid, position: np.ndarray, header) -> None:
        """The PSF image, the same in all bands."""
        r90 = float(psf_radius(obsid.off_axis(position[None]))[0]) / self.plane.pixel
        step = r90 / _PSF_PIXELS
        n = 2 * int(_PSF_RADII * _PSF_PIXELS)
        centre = self.plane.sky(position[None])[0]
        fine = 8
        along = (np.arange(n * fine) - (n * fine - 1) / 2) * step / fine
        squared = along[:, None] ** 2 + along[None] ** 2
        density = (r90 / 3) ** 2 / np.pi / (squared + (r90 / 3) ** 2) ** 2
        image = density.reshape(n, fine, n, fine).sum(axis=(1, 3)) * (step / fine) ** 2
        origin = centre - (n - 1) / 2 * step
        for band in self.bands:
            self._write_image(f"{start}{band}_psf3.fits", image, origin, step, header)

    def _write_ecf90(self, start: str, obsid: Obsid, position: np.ndarray) -> None:
        """The observation's own regions: the 90 % ellipse in each band."""
        r90 = float(psf_radius(obsid.off_axis(position[None]))[0]) / self.plane.pixel
        radius = ECF90_APERTURE["aper90"] * r90
        shape = [("Ellipse", *self.plane.sky(position[None])[0], radius)]
        hdus = [region_hdu(f"ECF90REG{b.upper()}", shape, self.plane) for b in self.bands]
        write_fits(self.folder / f"{start}_reg3.fits", [fits.PrimaryHDU(), *hdus])

    def _write_image(self, name: str, array, origin, step: float, header) -> None:
        hdu = fits.PrimaryHDU(array.astype(np.float32))
        hdu.header.update(header)
        crpix = (self.plane.centre - np.asarray(origin)) / step + 1
        for axis in (0, 1):
            n, sign = axis + 1, (-1, 1)[axis]
            hdu.header[f"CTYPE{n}"] = ("RA---TAN", "DEC--TAN")[axis]
            hdu.header[f"CRVAL{n}"] = self.plane.celestial[axis]
            hdu.header[f"CRPIX{n}"] = crpix[axis]
            hdu.header[f"CDELT{n}"] = sign * step * self.plane.pixel / 3600
            hdu.header[f"CTYPE{n}P"] = "xy"[axis]
            hdu.header[f"CRVAL{n}P"] = origin[axis]
            hdu.header[f"CRPIX{n}P"] = 1.0
            hdu.header[f"CDELT{n}P"] = step
        write_fits(self.folder / name, [hdu])

    def _truth(self, camera, obsid, expected, on, peak):
        """Per bundle its name, components and the intensities that its photons were drawn from."""
        bands = [k for k, band in enumerate(camera.bands) if band in self.bands]
        sums = camera.sums()[bands]
        narrow_kev = np.array(
            [energy(b, NOMINAL_INDEX) / photons(b, NOMINAL_INDEX) for b in camera.narrow]
        )
        even_kev = np.array([sum(BANDS[b]) / 2 * ERG_PER_KEV for b in camera.narrow])
        angles = obsid.off_axis(self.detections.position)
        density = self._background(camera, obsid)
        found = []
        for b, members in enumerate(self.detections.bundles):
            here = members[on[members]]
            if not here.size:
                continue
            E = np.array(
                [exposures(camera, float(angles[i]), obsid.seconds)[:, bands] for i in here]
            )
            photon = E[:, list(TABLE_1).index("photflux")].T  # (n_bands, n)
            counts = sums @ expected[here].T
            exposed = obsid.exposed(camera, self.detections.position[here])
            even = sums @ density
            with np.errstate(invalid="ignore", divide="ignore"):
                erg = (sums @ (expected[here] * narrow_kev).T) / counts
            values = {
                "flux": np.nan_to_num(counts / photon * erg),
                "photflux": counts / photon,
                "rate": counts / obsid.seconds / (photon / peak[bands][:, None]),
                "cnts": counts * exposed,
            }
            mean = photon.mean(axis=1)
            background = {
                "flux": even / mean * (sums @ (density * even_kev)) / even,
                "photflux": even / mean,
                "rate": even / obsid.seconds / (mean / peak[bands]),
                "cnts": even * exposed.mean(),
            }
            truth = Truth(
                tuple(camera.bands[k] for k in bands),
                np.array([values[q] for q in TABLE_1]),
                np.array([background[q] for q in TABLE_1]),
            )
            names = tuple(region_name(i) for i in here)
            found.append((f"b{b:04d}", names, truth))
        return found


def _power_law(band: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) energies in keV of photons of the nominal spectrum."""
    low, high = BANDS[band]
    p = 1 - NOMINAL_INDEX
    u = rng.random(n)
    return (low**p + u * (high**p - low**p)) ** (1 / p)
