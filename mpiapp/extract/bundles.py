"""Counts and matrices of one bundle in one observation, and what is known of their quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    is_seen,
    open_source,
)
from .field import SourceFiles, of_band
from .matrix import Columns, ExposureMap, Row
from .photon_energy import PhotonEnergy, assumed_energy, source_energies
from .psf import ECF90, Psf, PsfFraction
from .quality import Quality, overlap, separation_arcmin
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
    seen = [source for source in sources if is_seen(observation, source)]
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
        self._made: dict = {}  # rows of F, by band, PSFs and apertures
        self._numbers: dict[int, np.ndarray] = {}
        self._exposures: dict = {}
        self._photons: dict[str, list[PhotonEnergy]] = {}

    def measure(
        self, band: str, aperture: str, regions: list[Region]
    ) -> tuple[np.ndarray, dict[Matrix, np.ndarray], list[dict]]:
        """Counts (n + 1,), F by matrix, and columns of SRCINFO of the sources, in one band.

        Raises InputError if they make no sense.
        """
        psfs = [source.psf[band] for source in self.sources]
        if aperture == "aper90":  # a bare fraction is that of `aper`
            psfs = [PsfFraction(ECF90) if isinstance(p, PsfFraction) else p for p in psfs]
        columns, rows = self._rows(band, psfs, regions)
        counts = np.array([self._count(region, band) for region in (*regions, self.background)])
        F = {
            Matrix(band, aperture, quantity): matrix
            for quantity, matrix in self._matrices(band, columns, rows).items()
        }
        for matrix in F.values():
            check_matrices(counts, matrix, len(regions))
        info = [
            self._quality(i, band, regions, columns, rows[i]).columns() | self._factors(i, band)
            for i in range(len(regions))
        ]
        return counts, F, info

    def _rows(
        self, band: str, psfs: list[Psf | PsfFraction], regions: list[Region]
    ) -> tuple[Columns, list[Row]]:
        """The rows of F of an aperture of each source, and of the background, in one band."""
        key = band, *map(id, psfs), *map(id, regions)
        if key not in self._made:
            columns = Columns(psfs, self._inside, self.observation.settings.fine)
            rows = [columns.row(region, i, self._map(band, i)) for i, region in enumerate(regions)]
            rows.append(columns.row(self.background, None, self._map(band, len(regions))))
            # PSFs and regions stay with their rows, so that no id is given to another.
            self._made[key] = regions, columns, rows
        return self._made[key][1:]

    def _factors(self, i: int, band: str) -> dict[str, float]:
        """Conversion factors of source i in a band, by their columns of SRCINFO."""
        given = self.sources[i].files.conversion
        found = {column: of_band(by_band, band) for column, by_band in given.items()}
        return {column: factor for column, factor in found.items() if factor is not None}

    def _map(self, band: str, i: int) -> ExposureMap | None:
        """The exposure map for source i's aperture, or that of all of them for the background."""
        if (band, i) not in self._exposures:
            own = [self.sources[i]] if i < len(self.sources) else self.sources
            self._exposures[band, i] = exposure_map(self.observation, own, band)
        return self._exposures[band, i]

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

    def _matrices(self, band: str, columns: Columns, rows: list[Row]) -> dict[str, np.ndarray]:
        """F of every quantity that the files allow."""
        observation, settings = self.observation, self.observation.settings
        seen, exposed = np.array([row.whole for row in rows]), None
        if all(row.exposed is not None for row in rows):
            exposed = np.array([row.exposed for row in rows])
            if not all(row.exposure.is_even for row in rows):
                seen = exposed / self._at_sources(band, columns, rows)
        F = {"cnts": seen}
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
            kev = [energy.kev for energy in self.photon_energies(band)]
            F["flux"] = F["photflux"] / (np.array(kev) * ERG_PER_KEV)
        return F

    def _at_sources(self, band: str, columns: Columns, rows: list[Row]) -> np.ndarray:
        """(n + 1,) the exposure at each source, that of its aperture where it lies off the map.

        Net counts are those at this exposure; the last, of the background, is their mean.
        """
        found = []
        for i, psf in enumerate(columns.psfs):
            at = 0.0 if isinstance(psf, PsfFraction) else self._map(band, i).at(*psf.peak)[0]
            found.append(at or rows[i].exposure.high or 1.0)
        return np.array([*found, np.mean(found)])

    def _arf(self, source: OpenSource, band: str):
        if not source.files.arf:
            return None
        settings = self.observation.settings
        arf = read_arf(source.files.arf)
        return band_area(arf, settings.energies[band], settings.photon_index)

    def photon_energies(self, band: str) -> list[PhotonEnergy]:
        """Mean energies of the photons of every source, and of the background.

        Those of the settings, else of the ARF's power law, else by the events of the sources, or of
        the background, which has that of a power law if there are none.
        """
        if band not in self._photons:
            self._photons[band] = self._photon_energies(band)
        return self._photons[band]

    def _photon_energies(self, band: str) -> list[PhotonEnergy]:
        settings, n = self.observation.settings, len(self.sources)
        given = of_band(settings.photon_energy_kev, band)
        if given is not None:
            return [PhotonEnergy(given, 0.0, 0.0)] * (n + 1)
        limits = settings.energies[band]
        assumed = assumed_energy(limits, settings.photon_index)
        regions = [self._region(i, band) for i in range(n + 1)]
        _, rows = self._rows(band, [source.psf[band] for source in self.sources], regions[:n])
        F = np.array([row.whole for row in rows])
        if all(row.exposed is not None for row in rows):
            F = np.array([row.exposed for row in rows])
        energies = [self._energies(region, band) for region in regions]
        found = source_energies(F, energies, limits, settings.photon_index)
        areas = [self._arf(source, band) for source in self.sources]
        found = [
            e if area is None else assumed._replace(kev=area.kev) for e, area in zip(found, areas)
        ]
        mean = self.mean_energy(n, band)
        return [*found, assumed._replace(kev=mean) if mean > 0 else assumed]

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
        self, i: int, band: str, regions: list[Region], columns: Columns, row: Row
    ) -> Quality:
        region, source = regions[i], self.sources[i]
        frame, header = self.observation.frame, self.observation.header
        ra, dec = source.files.position or frame.celestial(*region.outline.centre)
        pointing = number_in(header, "RA_PNT", "RA_NOM"), number_in(header, "DEC_PNT", "DEC_NOM")
        exposure, energy = row.exposure, self.photon_energies(band)[i]
        return Quality(
            ra=ra,
            dec=dec,
            theta=separation_arcmin(ra, dec, *pointing) if None not in pointing else np.nan,
            mean_energy=self.mean_energy(i, band),
            photon_energy=energy.kev,
            photon_energy_err=energy.error,
            photon_energy_assumed=energy.assumed,
            psf_edge=columns.edge_error(region, i),
            frac_off_chip=1 - exposure.lit if exposure else np.nan,
            frac_off_psf=columns.off_image(region),
            frac_overlap=overlap(region, tuple(o for o in regions if o is not region)),
            frac_hole=1 - region.area / region.outline.area,
            expmap_min=exposure.low if exposure else np.nan,
            expmap_max=exposure.high if exposure else np.nan,
            neighbour_lost=self.lost,
        )
