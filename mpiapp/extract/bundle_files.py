"""The files of a bundle's sources in one observation, opened: events, regions, PSFs, maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from ..catalog.fault import InputError
from ..catalog.instruments import instrument_problem
from ..catalog.quantities import BANDS, INSTRUMENT_BANDS, in_order
from .events import Events, merged, read_events
from .field import ObservationFiles, Settings, SourceFiles, of_band
from .matrix import ExposureMap
from .psf import ECF90, Psf, PsfFraction, ellipse_of, read_psf
from .region import Region
from .region_files import NoSuchRegion, RegionFile, read_region
from .sky import Frame, Image, instrument_of, number_in, read_exposure_map, read_image


@dataclass(frozen=True, eq=False)
class OpenSource:
    """A source whose files could be read: its PSF by band, its regions by aperture and band.

    Without a region for `aper`, or for `aper90` in a band, it is not measured in it.
    `faults` are what cannot be used of single bands.
    """

    files: SourceFiles
    events: Events | None
    psf: dict[str, Psf | PsfFraction]
    apertures: dict[tuple[str, str], Region]
    background: Region
    maps: dict[str, Image]
    images: dict[str, Image]
    faults: dict[str, str]


@dataclass(frozen=True, eq=False)
class OpenObservation:
    """What all sources of an observation share, each file read once.

    apertures, backgrounds : regions of every source whose files can be read, by component
    faults : what cannot be read of the others, by component
    """

    files: ObservationFiles
    settings: Settings
    frame: Frame
    instrument: str
    seconds: float | None
    events: Events | None
    images: dict[str, Image]
    maps: dict[str, Image]
    header: fits.Header
    apertures: dict[str, Region]
    backgrounds: dict[str, Region]
    faults: dict[str, InputError]

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that are wanted and that the instrument has."""
        own = set(self.settings.energies) - set(BANDS)
        own = () if self.instrument == "HRC" else in_order(own)  # whose events have no energies
        possible = (*INSTRUMENT_BANDS.get(self.instrument, ()), *own)
        wanted = self.settings.bands or possible
        given = {band for source in self.files.sources for band in source.psf}
        return tuple(b for b in possible if b in wanted and ("" in given or b in given))


def open_observation(files: ObservationFiles, settings: Settings) -> OpenObservation:
    """Read what all sources share; InputError if that costs the whole observation."""
    events = read_events(files.events, settings.cuts) if files.events else None
    images = {} if events else {b: read_image(path) for b, path in files.images.items()}
    if events is not None:
        frame, header, path = events.frame, events.header, files.events
    elif images:
        first = next(iter(images.values()))
        frame, header, path = first.frame, first.header, first.path
    else:
        first = _first_of_sources(files, settings)
        frame, header, path = first.frame, first.header, first.path
    instrument = files.instrument or instrument_of(header, path)
    if not instrument or instrument_problem(instrument):
        raise InputError(
            f"{path}: no instrument in the header (INSTRUME); name it, "
            f"{', '.join(INSTRUMENT_BANDS)} or another"
        )
    seconds = files.exposure or number_in(header, "EXPOSURE", "LIVETIME", "ONTIME")
    maps = {band: read_exposure_map(path, frame) for band, path in files.maps.items()}
    apertures, backgrounds, faults = {}, {}, {}
    for source in files.sources:
        try:
            if source.aper is not None:
                apertures[source.name] = read_region(source.aper, frame)
            if source.background is not None:
                backgrounds[source.name] = read_region(source.background, frame)
        except InputError as error:
            faults[source.name] = error
    return OpenObservation(
        files,
        settings,
        frame,
        instrument,
        seconds,
        events,
        images,
        maps,
        header,
        apertures,
        backgrounds,
        faults,
    )


def _first_of_sources(files: ObservationFiles, settings: Settings) -> Events | Image:
    """The first event list or counts image of a source that can be read."""
    error: InputError | None = None
    for source in files.sources:
        try:
            if source.events:
                return read_events(source.events, settings.cuts)
            if source.images:
                return read_image(next(iter(source.images.values())))
        except InputError as problem:
            error = error or problem
    nothing = f"{files.name}: neither events nor counts images; name one of them"
    raise error or InputError(nothing)


def open_source(observation: OpenObservation, files: SourceFiles) -> OpenSource:
    """Read the files of a source; InputError names the first that costs all of it."""
    place = f"{observation.files.name}, {files.name}"
    if files.name in observation.faults:
        raise observation.faults[files.name]
    if files.aper is None and not files.aper90:
        raise InputError(f"{place}: no region; name one")
    if files.background is None:
        raise InputError(f"{place}: no background region; name one")
    frame, aper = observation.frame, observation.apertures.get(files.name)
    events = read_events(files.events, observation.settings.cuts) if files.events else None
    images = {b: read_image(path, frame) for b, path in files.images.items() if not events}
    background = observation.backgrounds[files.name]
    psfs: dict[str, Psf | PsfFraction] = {}
    apertures: dict[tuple[str, str], Region] = {}
    maps: dict[str, Image] = {}
    faults: dict[str, str] = {}
    centre = _centre(files, frame, aper)
    read: dict = {}  # what serves all bands is read once
    for band in observation.bands:
        given, own = of_band(files.psf, band), of_band(files.aper90, band)
        exposure = of_band(files.maps, band)
        if given is None:
            continue
        try:
            if given not in read:
                read[given] = read_psf(given, frame, centre)
            psf = read[given]
            small = _aper90(own, psf, frame, read)
            if exposure is not None and exposure not in read:
                read[exposure] = read_exposure_map(exposure, frame)
        except InputError as error:
            faults[band] = str(error)
            continue
        psfs[band] = psf
        if exposure is not None:
            maps[band] = read[exposure]
        if aper is not None:
            apertures["aper", band] = aper
        if small is not None:
            apertures["aper90", band] = small
    if not psfs:
        bands = ", ".join(observation.bands) or "wanted"
        nothing = f"{place}: neither PSF image nor PSF fraction for the bands {bands}; name one"
        raise InputError(next(iter(faults.values()), nothing))
    return OpenSource(files, events, psfs, apertures, background, maps, images, faults)


def _aper90(
    own: RegionFile | None, psf: Psf | PsfFraction, frame: Frame, read: dict
) -> Region | None:
    """The region of the aperture aper90, that of the PSF where its file has none."""
    if own is not None:
        try:
            if own not in read:
                read[own] = read_region(own, frame)
            return read[own]
        except NoSuchRegion:
            pass
    if isinstance(psf, PsfFraction):
        return None
    if psf not in read:
        read[psf] = ellipse_of(psf, ECF90)
    return read[psf]


def _centre(files: SourceFiles, frame: Frame, aper: Region | None) -> tuple[float, float]:
    """Sky position of a source."""
    if files.position is not None and frame.wcs is not None:
        x, y = frame.wcs.world_to_pixel_values(*files.position)
        return float(x), float(y)
    return aper.centre if aper else (np.nan, np.nan)


def events_of(observation: OpenObservation, sources: Sequence[OpenSource]) -> Events | None:
    """The events that a bundle's apertures count."""
    own = [source.events for source in sources if source.events is not None]
    return merged(own) if own else observation.events


def counts_images(
    observation: OpenObservation, sources: Sequence[OpenSource], band: str
) -> list[Image]:
    """The counts images of a bundle in a band: those around its sources, or that of the field."""
    own = [image for s in sources if (image := of_band(s.images, band)) is not None]
    whole = of_band(observation.images, band)
    return own or ([] if whole is None else [whole])


def exposure_map(
    observation: OpenObservation, sources: Sequence[OpenSource], band: str
) -> ExposureMap | None:
    """The exposure map of a source in a band, or of several; None if there is none."""
    own = [image for s in sources if (image := of_band(s.maps, band)) is not None]
    if not own and (image := of_band(observation.maps, band)) is not None:
        own = [image]
    return ExposureMap(tuple(own)) if own else None


def is_seen(observation: OpenObservation, source: OpenSource) -> bool:
    """Whether any of the source's aperture lies on the field, by its maps if there are some."""
    for (_, band), region in source.apertures.items():
        exposures = exposure_map(observation, [source], band)
        on = exposures.of(region).lit > 0 if exposures else None
        image = of_band(source.images, band)
        reach = observation.frame.bounds if image is None else image.grid.bounds
        if on or (on is None and region.bounds.meets(reach)):
            return True
    return False
