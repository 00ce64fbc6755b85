"""Patterns of file names, and the files of a source or an observation that they stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ..catalog.fault import InputError
from ..catalog.instruments import WORDS
from ..catalog.quantities import BANDS
from . import field as nouns
from .psf import srcflux_fractions, srcflux_number
from .region_files import RegionFile, is_fits, labels


class Files(Protocol):
    """The patterns of an observation, as a field file has them."""

    events: str
    image: str
    exposure_map: str
    aper: str
    aper90: str
    background: str
    psf: str
    psf_fraction: float | Mapping[str, float] | None
    psf_fraction_bkg: float
    arf: str
    conversion: Mapping[str, float | Mapping[str, float] | str]


class Place:
    """Where the files of an observation are, and what its patterns stand for.

    energies : limits of all bands that there may be, in keV
    """

    def __init__(self, folder: Path, obsid: str, stack: str, energies: Mapping = BANDS):
        self.folder, self.obsid, self.stack = folder, obsid, stack
        words = {band: "{:g}-{:g}".format(*kev) for band, kev in energies.items()} | WORDS
        self._names = {band: (band, words[band]) for band in energies}

    def path(self, pattern: str, source: str = "", band: str = "") -> str:
        """The path of a pattern, whether or not it is there."""
        try:
            name = pattern.format(
                obsid=self.obsid, stack=self.stack, source=source, region=source, band=band
            )
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(
                f"the pattern {pattern!r}: {error}; use {{obsid}}, {{stack}}, {{source}}, {{band}}"
            ) from None
        return str(self.folder / name)

    def by_band(self, pattern: str, source: str = "") -> dict[str, str]:
        """The paths by band of the files that are there."""
        if not pattern:
            return {}
        if "{band}" not in pattern:
            path = self.path(pattern, source)
            return {"": path} if _exists(path) else {}
        found = {}
        for band, names in self._names.items():
            paths = [self.path(pattern, source, name) for name in names]
            if there := [path for path in paths if _exists(path)]:
                found[band] = there[0]
        return found


def _exists(path: str) -> bool:
    return Path(_split_hdu(path)[0]).exists()


def _has_source(pattern: str) -> bool:
    return "{source}" in pattern or "{region}" in pattern


def found_sources(files: Files, place: Place) -> list[str]:
    """The sources of the files of `aper`, by their names or by the text of their regions."""
    if not files.aper:
        raise InputError("neither `sources` nor `aper` in [files]; name one of them")
    aper, _ = _split_hdu(files.aper)
    if not _has_source(aper):
        path = place.path(aper)
        if is_fits(path):
            raise InputError(f"{path}: a FITS region is that of one source; name `sources`")
        return labels(path)
    wild = Path(place.path(aper, "\0", "b"))
    pattern = re.escape(str(wild)).replace("\0", "(.+)")
    base = wild.parent if "\0" not in str(wild.parent) else place.folder
    found = [re.fullmatch(pattern, str(path)) for path in sorted(base.rglob("*"))]
    return [match[1] for match in found if match]


class NotThere(InputError):
    """A source without a file that it needs."""

    def __init__(self, name: str, key: str, pattern: str, path: str):
        super().__init__(f"{name}: {path} is not there ({key} = {pattern!r})")


def source_files(files: Files, place: Place, name: str, known: Mapping) -> nouns.SourceFiles:
    """The files of a source; NotThere if its region or PSF is not there."""
    regions = {
        key: _region(key, pattern, place, name, hdu)
        for key, pattern, hdu in (
            ("aper", files.aper, "SRCREG"),
            ("background", files.background, "BKGREG"),
        )
        if pattern
    }
    aper90 = {}
    if files.aper90:
        for band, path in place.by_band(files.aper90, name).items():
            path, hdu = _split_hdu(path)
            aper90[band] = _labelled(path, hdu or "SRCREG", _has_source(files.aper90), name)
    psf: dict = place.by_band(files.psf, name)
    if files.psf_fraction is not None and not psf:
        given = files.psf_fraction
        by_band = given if isinstance(given, dict) else {"": given}
        psf = {band: (f, files.psf_fraction_bkg) for band, f in by_band.items()}
    if files.psf.endswith(".flux") and not _has_source(files.psf):
        psf = {band: srcflux_fractions(path, name) for band, path in psf.items()}
    if files.psf and not psf:
        raise NotThere(name, "psf", files.psf, place.path(files.psf, name, "b"))
    own_maps = _has_source(files.exposure_map)
    ra, dec = known.get("ra"), known.get("dec")
    return nouns.SourceFiles(
        name,
        regions.get("aper"),
        regions.get("background"),
        aper90,
        psf,
        place.path(files.events, name) if _has_source(files.events) else "",
        place.by_band(files.exposure_map, name) if own_maps else {},
        place.path(files.arf, name) if files.arf else "",
        str(known.get("bundle") or ""),
        None if ra is None or dec is None else (float(ra), float(dec)),
        place.by_band(files.image, name) if _has_source(files.image) else {},
        {f"conversion_{m}": _factors(m, v, place, name) for m, v in files.conversion.items()},
    )


def _factors(
    model: str, given: float | Mapping[str, float] | str, place: Place, name: str
) -> dict[str, float]:
    """The factors of a model by band, from numbers or from tables of `srcflux`."""
    if not isinstance(given, str):
        return dict(given) if isinstance(given, Mapping) else {"": given}
    column = "UMFLUX_CNV" if model.endswith("_unabs") else "MFLUX_CNV"
    number = "" if _has_source(given) else name
    paths = place.by_band(given, name)
    if not paths:
        path = place.path(given, name, "b")
        raise InputError(f"{path}: is not there; check conversion.{model} = {given!r}")
    return {band: srcflux_number(path, column, number) for band, path in paths.items()}


def _region(key: str, pattern: str, place: Place, name: str, hdu: str) -> RegionFile:
    path, given = _split_hdu(place.path(pattern, name))
    if not Path(path).exists():
        if _has_source(pattern):
            raise NotThere(name, key, pattern, path)
        raise InputError(f"{path}: is not there; check the pattern {pattern!r}")
    return _labelled(path, given or hdu, _has_source(pattern), name)


def _split_hdu(path: str) -> tuple[str, str]:
    """A path and the HDU in brackets after it."""
    match = re.fullmatch(r"(.*)\[(\w+)\]", path)
    return (match[1], match[2].upper()) if match else (path, "")


def _labelled(path: str, hdu: str, own: bool, name: str) -> RegionFile:
    """The region of a source in its own file or in that of all sources."""
    if is_fits(path):
        return RegionFile(path, (hdu,))
    return RegionFile(path, (), name if not own and name in labels(path) else "")


def observation_files(files: Files, place: Place, sources, instrument, exposure):
    events = "" if _has_source(files.events) or not files.events else place.path(files.events)
    maps = {} if _has_source(files.exposure_map) else place.by_band(files.exposure_map)
    images = {} if _has_source(files.image) else place.by_band(files.image)
    return nouns.ObservationFiles(
        place.stack, place.obsid, tuple(sources), events, images, maps, instrument, exposure
    )
