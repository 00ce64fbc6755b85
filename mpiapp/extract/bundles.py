"""Counts and matrices of one bundle in one observation, and what is known of their quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ..catalog.bundle import Bundle, ObsidBundle, check_matrices
from ..catalog.fault import InputError
from ..catalog.quantities import APERTURES, Matrix
from ..files.source_info import InfoRow
from .arf import band_area, read_arf
from .bundle_files import (
    OpenObservation,
    OpenSource,
    counts_images,
    events_of,
    exposure_map,
    open_source,
)
from .field import SourceFiles, of_band
from .matrix import Columns, ExposureMap, Row
from .photon_energy import PhotonEnergy, assumed_energy, source_energy
from .psf import ECF90, PsfFraction
from .quality import Quality
from .region import Region, union
from .sky import counts_in, number_in

ERG_PER_KEV = 1.602176634e-9


@dataclass
class MadeBundle:
    """A bundle as it goes into the prep3 file; `bundle` is None if no source is seen here."""

    name: str
    bundle: Bundle | None = None
    info: list[InfoRow] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def make_bundle(
    observation: OpenObservation, name: str, files: Sequence[SourceFiles]
) -> MadeBundle:
    """Counts and matrices of a bundle, as far as this observation sees it.

    A source with a file that cannot be used is left out, alone or with the band that it costs;
    its neighbours go on without it and say so.
    """
    made = MadeBundle(name)
    sources = []
    for source in files:
        try:
            opened = open_source(observation, source)
            if opened.faults and len(files) > 1:
                raise InputError(next(iter(opened.faults.values())))
            sources.append(opened)
            faults = opened.faults.values()
        except InputError as error:
            faults = [str(error)]
        made.faults += faults
    lost = len(sources) < len(files)
    seen = [source for source in sources if _is_seen(observation, source)]
    made.missing = [source.files.name for source in sources if source not in seen]
    if not seen:
        return made
    key = ObsidBundle(observation.files.stack, observation.files.obsid, name)
    names = tuple(source.files.name for source in seen)
    bundle = Bundle(key, observation.instrument, names, {}, {})
    work = _Work(observation, seen, lost)
    for band in observation.bands:
        if not all(band in source.psf for source in seen):
            continue
        for aperture in APERTURES:
            regions = [source.apertures.get((aperture, band)) for source in seen]
            if any(region is None for region in regions):
                continue
            try:
                counts, matrices, info = work.measure(band, aperture, regions)
            except InputError as error:
                place = f"{observation.files.name}, {', '.join(names)}, band {band}, {aperture}"
                made.faults.append(f"{place}: {error}")
                continue
            bundle.counts[band, aperture] = counts
            bundle.F.update(matrices)
            made.info += [(name, n, band, aperture, q) for n, q in zip(names, info)]
    if bundle.F:
        made.bundle = bundle
    return made


def _is_seen(observation: OpenObservation, source: OpenSource) -> bool:
    """Whether any of the source's aperture lies on the field, by its maps if there are some."""
    for (_, band), region in source.apertures.items():
        exposures = exposure_map(observation, [source], band)
        on = exposures.of(region).lit > 0 if exposures else None
        image = of_band(source.images, band)
        reach = observation.frame.bounds if image is None else image.grid.bounds
        if on or (on is None and region.bounds.meets(reach)):
            return True
    return False


def background_of(observation: OpenObservation, sources: Sequence[OpenSource]) -> Region:
    """The background region of a bundle: that of all its sources, without apertures.

    Raises InputError if nothing is left of it.
    """
    found = {source.files.background: source.background for source in sources}
    holes = observation.apertures
    if not observation.settings.cut_sources:
        names = {source.files.name for source in sources}
        holes = {name: region for name, region in holes.items() if name in names}
    background = union(list(found.values())).minus(holes.values())
    if background.area <= 0:
        raise InputError("nothing is left of the background region; enlarge it")
    return background


class _Work:
    """A bundle's sources while its bands are measured one after the other."""

    def __init__(self, observation: OpenObservation, sources: list[OpenSource], lost: bool):
        self.observation, self.sources, self.lost = observation, sources, lost
        self.events = events_of(observation, sources)
        self.background = background_of(observation, sources)
        self._inside: dict = {}  # sums over PSFs, by region and layout
        self._numbers: dict[int, np.ndarray] = {}
        self._exposures: dict = {}

    def measure(
        self, band: str, aperture: str, regions: list[Region]
    ) -> tuple[np.ndarray, dict[Matrix, np.ndarray], list[dict]]:
        """Counts (n + 1,), F by matrix, and columns of SRCINFO of the sources, in one band.

        Raises InputError if they make no sense.
        """
        psfs = [source.psf[band] for source in self.sources]
        if aperture == "aper90":  # a bare fraction is that of `aper`
            psfs = [PsfFraction(ECF90) if isinstance(p, PsfFraction) else p for p in psfs]
        columns = Columns(psfs, self._inside)
        every = [*regions, self.background]
        counts = np.array([self._count(region, band) for region in every])
        own = [*range(len(regions)), None]
        rows = [
            columns.row(region, own[i], self._map(band, i, region))
            for i, region in enumerate(every)
        ]
        F = {
            Matrix(band, aperture, quantity): matrix
            for quantity, matrix in self._matrices(band, rows).items()
        }
        for matrix in F.values():
            check_matrices(counts, matrix, len(regions))
        off_psf = [columns.off_image(region) for region in regions]
        info = [
            self._quality(i, band, regions, rows[i], off_psf[i]).columns() | self._factors(i, band)
            for i in range(len(regions))
        ]
        return counts, F, info

    def _factors(self, i: int, band: str) -> dict[str, float]:
        """Conversion factors of source i in a band, by their columns of SRCINFO."""
        given = self.sources[i].files.conversion
        found = {column: of_band(by_band, band) for column, by_band in given.items()}
        return {column: factor for column, factor in found.items() if factor is not None}

    def _map(self, band: str, i: int, region: Region) -> ExposureMap | None:
        """The exposure map for a region: of its source, or of all of them for the background."""
        own = [self.sources[i]] if i < len(self.sources) else self.sources
        key = band, len(own) > 1 or i
        if key not in self._exposures:
            self._exposures[key] = exposure_map(self.observation, own, band)
        return self._exposures[key]

    def _count(self, region: Region, band: str) -> int:
        if self.events is None:
            return counts_in(counts_images(self.observation, self.sources, band), region)
        return len(self._in_band(region, band))

    def _in_band(self, region: Region, band: str) -> np.ndarray:
        """Numbers of the events of a band in a region."""
        if id(region) not in self._numbers:
            self._numbers[id(region)] = self.events.inside(region)
        return self.events.in_band(
            self._numbers[id(region)], self.observation.settings.energies[band]
        )

    def _matrices(self, band: str, rows: list[Row]) -> dict[str, np.ndarray]:
        """F of every quantity that the files allow."""
        observation, settings = self.observation, self.observation.settings
        seen = np.array([row.seen for row in rows])
        F = {"cnts": seen}
        exposed = None
        if all(row.exposed is not None for row in rows):
            exposed = np.array([row.exposed for row in rows])
        if observation.seconds:
            F["rate"] = seen * observation.seconds
            whole = of_band(observation.maps, band)
            if exposed is not None and whole is not None and settings.vignetting:
                F["rate"] = exposed * (observation.seconds / whole.peak)
        areas = [self._arf(source, band) for source in self.sources]
        if exposed is not None:
            F["photflux"] = exposed
        elif None not in areas and observation.seconds:
            mean = np.mean([area.area for area in areas])
            F["photflux"] = seen * observation.seconds * mean
        if "photflux" in F:
            kev = [self.photon_energy(i, band).kev for i in range(len(rows))]
            F["flux"] = F["photflux"] / (np.array(kev) * ERG_PER_KEV)
        return F

    def _arf(self, source: OpenSource, band: str):
        if not source.files.arf:
            return None
        settings = self.observation.settings
        arf = read_arf(source.files.arf)
        return band_area(arf, settings.energies[band], settings.photon_index)

    def photon_energy(self, i: int, band: str) -> PhotonEnergy:
        """Mean energy of the photons of source i, or of the background.

        That of the settings, else of the ARF's power law, else by the events of the source, or of
        the background, which has that of a power law if there are none.
        """
        settings = self.observation.settings
        given = of_band(settings.photon_energy_kev, band)
        if given is not None:
            return PhotonEnergy(given, 0.0, 0.0)
        limits = settings.energies[band]
        assumed = assumed_energy(limits, settings.photon_index)
        if i == len(self.sources):
            mean = self.mean_energy(i, band)
            return assumed._replace(kev=mean) if mean > 0 else assumed
        if (area := self._arf(self.sources[i], band)) is not None:
            return assumed._replace(kev=area.kev)
        region = self._region(i, band)
        here, beside = (self._energies(r, band) for r in (region, self.background))
        ratio = region.area / self.background.area
        return source_energy(here, beside, ratio, limits, settings.photon_index)

    def mean_energy(self, i: int, band: str) -> float:
        """Mean in keV over the events of source i's largest aperture, or of the background."""
        energies = self._energies(self._region(i, band), band)
        return float(energies.mean()) if len(energies) else np.nan

    def _region(self, i: int, band: str) -> Region:
        """Source i's largest aperture, or the background."""
        if i == len(self.sources):
            return self.background
        own = self.sources[i].apertures
        return own.get(("aper", band)) or own["aper90", band]

    def _energies(self, region: Region, band: str) -> np.ndarray:
        """(m,) energies in keV of the events of a band in a region; none where there are none."""
        if self.events is None or self.events.kev is None:
            return np.zeros(0)
        return self.events.kev[self._in_band(region, band)]

    def _quality(
        self, i: int, band: str, regions: list[Region], row: Row, off_psf: float
    ) -> Quality:
        region, source = regions[i], self.sources[i]
        frame, header = self.observation.frame, self.observation.header
        ra, dec = source.files.position or frame.celestial(*region.outline.centre)
        pointing = number_in(header, "RA_PNT", "RA_NOM"), number_in(header, "DEC_PNT", "DEC_NOM")
        exposure, energy = row.exposure, self.photon_energy(i, band)
        return Quality(
            ra=ra,
            dec=dec,
            theta=_separation_arcmin(ra, dec, *pointing) if None not in pointing else np.nan,
            mean_energy=self.mean_energy(i, band),
            photon_energy=energy.kev,
            photon_energy_err=energy.error,
            photon_energy_assumed=energy.assumed,
            frac_off_chip=1 - exposure.lit if exposure else np.nan,
            frac_off_psf=off_psf,
            frac_overlap=_overlap(region, tuple(o for o in regions if o is not region)),
            frac_hole=1 - region.area / region.outline.area,
            expmap_min=exposure.low if exposure else np.nan,
            expmap_max=exposure.high if exposure else np.nan,
            neighbour_lost=self.lost,
        )


@lru_cache(maxsize=64)  # apertures are those of all bands, or most of them
def _overlap(region: Region, others: tuple[Region, ...]) -> float:
    """The part of a region that lies in any of the others."""
    near = [other for other in others if region.bounds.meets(other.bounds)]
    x, y = region.points if near else ((), ())
    return float(union(near).contains(x, y).mean()) if len(x) else 0.0


def _separation_arcmin(ra: float, dec: float, ra0: float, dec0: float) -> float:
    """Angle between two directions in degrees, in arcmin."""
    a, d, a0, d0 = np.radians([ra, dec, ra0, dec0])
    half = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(min(half, 1.0)))) * 60)
