"""A field: which files belong to which source of which observation of which stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ..catalog.quantities import BANDS
from .events import EventCuts
from .region_files import RegionFile

Value = TypeVar("Value")
# A value for each band, that of "" where a band has none of its own.
ByBand = Mapping[str, Value]


def of_band(values: ByBand[Value], band: str) -> Value | None:
    """The value for a band."""
    return values.get(band, values.get(""))


@dataclass(frozen=True)
class SourceFiles:
    """The files of one source in one observation.

    Attributes
    ----------
    name : component, the same in all observations of the stack
    aper, background : regions
    aper90 : region by band; from the PSF image where there is none
    psf : by band, a PSF image, a table of radii, or the PSF fractions of aperture and background
    events : event list of its own; the observation's where empty
    maps : exposure map by band, in cm² s; the observation's where there is none
    arf : effective area in cm² against energy
    bundle : name of its bundle if that is given
    position : right ascension and declination in degrees
    images : counts images around the source by band, where there is no event list
    conversion : column of SRCINFO to flux for a net count rate of 1 / s by band, erg cm-2 count-1
    """

    name: str
    aper: RegionFile | None = None
    background: RegionFile | None = None
    aper90: ByBand[RegionFile] = field(default_factory=dict)
    psf: ByBand[str | tuple[float, float]] = field(default_factory=dict)
    events: str = ""
    maps: ByBand[str] = field(default_factory=dict)
    arf: str = ""
    bundle: str = ""
    position: tuple[float, float] | None = None
    images: ByBand[str] = field(default_factory=dict)
    conversion: Mapping[str, ByBand[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class ObservationFiles:
    """The files of one observation.

    images : counts images by band, where there is no event list
    maps : exposure maps of the whole field by band, in cm² s
    instrument, exposure : where the headers do not say
    """

    stack: str
    obsid: str
    sources: tuple[SourceFiles, ...]
    events: str = ""
    images: ByBand[str] = field(default_factory=dict)
    maps: ByBand[str] = field(default_factory=dict)
    instrument: str | None = None
    exposure: float | None = None

    @property
    def name(self) -> str:
        """Stack and obsid."""
        return f"{self.stack}/{self.obsid}"

    def files(self) -> list[str]:
        """All files that are named, each once."""
        found = [self.events, *self.images.values(), *self.maps.values()]
        for source in self.sources:
            regions = (source.aper, source.background, *source.aper90.values())
            found += [region.path for region in regions if region]
            found += [path for path in source.psf.values() if isinstance(path, str)]
            found += [source.events, source.arf, *source.maps.values(), *source.images.values()]
        return sorted({path for path in found if path})


@dataclass(frozen=True)
class Settings:
    """How counts and matrices are made; every default is that of the catalog.

    Attributes
    ----------
    bands : those to extract; empty for all that the instrument has
    energies : limits of the bands in keV
    cuts : which events count
    photon_energy_kev : mean photon energy by band; that of the source's events where there is none
    photon_index : of the power law that weights an ARF, or to which faint sources are drawn
    vignetting : whether a count rate is that on axis, where the map is of the whole field
    cut_sources : whether the apertures of all sources are cut out of all backgrounds
    fine : whether PSF images are summed by the parts of pixels that lie inside, and weighted with
    the exposure of each; if not, by the centres of pixels, and with the region's mean
    """

    bands: tuple[str, ...] = ()
    energies: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(BANDS))
    cuts: EventCuts = field(default_factory=EventCuts)
    photon_energy_kev: ByBand[float] = field(default_factory=dict)
    photon_index: float = 1.7
    vignetting: bool = True
    cut_sources: bool = True
    fine: bool = False


@dataclass(frozen=True)
class Field:
    """All observations of a field, how to extract them, and what was noticed on the way."""

    observations: tuple[ObservationFiles, ...]
    settings: Settings = Settings()
    notes: tuple[str, ...] = ()

    def stacks(self) -> dict[str, list[ObservationFiles]]:
        """The observations of each stack."""
        found: dict[str, list[ObservationFiles]] = {}
        for observation in self.observations:
            found.setdefault(observation.stack, []).append(observation)
        return found
