"""Field files: TOML, or a table with a row for each source, that name the files of a field.

Names of files are patterns: `{obsid}`, `{stack}`, `{source}` stand for what they say, `{band}` for
the name of a band or CIAO's word for it (broad, 0.5-2), whichever there is a file of.  They are
relative to the folder of the field file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from astropy.table import Table
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..catalog.fault import InputError
from ..catalog.quantities import BANDS, MODEL_FLUXES
from ..toml import tomllib
from . import field as nouns
from .events import EventCuts
from .patterns import NotThere, Place, found_sources, observation_files, source_files

Band = Annotated[str, Field(pattern=r"^[!-.0-~]{1,8}$")]
BandOrAll = Annotated[str, Field(pattern=r"^[!-.0-~]{0,8}$")]
Fraction = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_CONVERSION = "conversion_"
Model = Literal[tuple(q.conversion.removeprefix(_CONVERSION) for q in MODEL_FLUXES.values())]


class Files(BaseModel):
    """Patterns of file names."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    events: str = ""
    """Event list."""
    image: str = ""
    """Counts image, where there is no event list; with {source} in it, one around each source."""
    exposure_map: str = ""
    """Exposure map in cm² s; with {source} in it, one around each source."""
    aper: str = ""
    """Source region: FITS, or text of CIAO or DS9.  A text file without {source} in its name has
    the regions of all sources, with their names as text."""
    aper90: str = ""
    """Region of the aperture aper90; from the PSF image where there is none."""
    background: str = ""
    """Background region; with or without {source}."""
    psf: str = ""
    """PSF image, table with the columns radius (arcsec) and fraction, or .flux file of srcflux."""
    psf_fraction: Fraction | dict[Band, Fraction] | None = None
    """Fraction of the PSF in the source region, where there is no image of it."""
    psf_fraction_bkg: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Fraction of the PSF in the background region, beside psf_fraction."""
    arf: str = ""
    """Effective area, where there is no exposure map."""
    conversion: dict[Model, Positive | dict[BandOrAll, Positive] | str] = {}
    """Flux of a model (powlaw, bb, brems, apec; with _unabs before absorption) for a net count rate
    of 1 / s, in erg cm⁻² count⁻¹: a number, one for each band, or the .flux file of srcflux."""


class Observation(Files):
    """One observation; any key of [files] may stand here too."""

    obsid: str | int
    """Its number or name."""
    stack: str = ""
    """Its stack; a stack of its own by default."""
    instrument: str | None = None
    """Where no header says so."""
    exposure_s: Positive | None = None
    """Where no header says so."""


class Events(BaseModel):
    """Which events count."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    status: bool = True
    """Only those whose status bits are all 0."""
    good_times: bool = True
    """Only those within the good-time intervals of the file."""
    chips: list[int] = []
    """Only those of these ccd_id; all by default."""


class FieldFile(BaseModel):
    """A field: its observations, sources and files."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    sources: str | list[str] = []
    """Names of the sources, or a table with the columns source, and ra, dec, bundle if known.  By
    default those that the files of `aper` have."""
    bands: list[Band] = []
    """Those to extract; by default all of the instrument, and those of `energies`."""
    energies: dict[Band, tuple[Positive, Positive]] = {}
    """Limits of bands in keV, where they are not the catalog's; bands of your own, and those of
    other instruments, are named here."""
    photon_energy_kev: Positive | dict[Band, Positive] | None = None
    """Mean photon energy; by default that of the source's events in the band."""
    photon_index: float = 1.7
    """Of the power law that weights an ARF, or that mean energies of faint sources tend to."""
    vignetting: bool = True
    """Whether count rates are those on axis, where there are exposure maps of the whole field."""
    cut_sources: bool = True
    """Whether the regions of all sources are cut out of all backgrounds."""
    fine: bool = False
    """Whether PSF images are summed by the parts of pixels that lie in a region, each with its own
    exposure; by default, as in the catalog, by their centres and with the region's mean."""
    bundles: list[list[str]] = []
    """Sources to fit together whether or not they overlap."""
    events: Events = Events()
    files: Files = Files()
    observation: list[Observation] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_bands(self) -> FieldFile:
        known = {**BANDS, **self.energies}
        numbers = [dict.fromkeys(self.bands), self.photon_energy_kev]
        for files in (self.files, *self.observation):
            numbers += [files.psf_fraction, *files.conversion.values()]
        for band in (band for by_band in numbers if isinstance(by_band, dict) for band in by_band):
            if band and band not in known:
                raise ValueError(
                    f"band {band!r}: expected one of {', '.join(known)}; bands of your own are "
                    "named in [energies]"
                )
        return self

    def settings(self) -> nouns.Settings:
        """How counts and matrices are made."""
        kev = self.photon_energy_kev
        cuts = EventCuts(self.events.status, self.events.good_times, tuple(self.events.chips))
        return nouns.Settings(
            tuple(self.bands),
            {**BANDS, **self.energies},
            cuts,
            kev if isinstance(kev, dict) else {} if kev is None else {"": kev},
            self.photon_index,
            self.vignetting,
            self.cut_sources,
            self.fine,
        )


def read_field_file(path: str | Path) -> nouns.Field:
    """The field of a TOML file, or of a table with a row for each source of an observation.

    A table has the columns obsid, source and those of [files]; stack, ra, dec, bundle, instrument
    and exposure_s if known, and psf_fraction_b and the like for single bands.

    Raises InputError with a line for each mistake.
    """
    path = Path(path)
    if path.suffix.lower() != ".toml":
        return _from_table(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    return read_field_text(text, path, path.parent)


def read_field_text(text: str, path: Path, folder: Path) -> nouns.Field:
    """The field of a field file's text; `path` is for messages, `folder` that of its patterns."""
    try:
        model = FieldFile.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise InputError("\n".join(f"{path}: {_explain(e)}" for e in error.errors())) from None
    notes, settings = [], model.settings()
    given = _given_sources(model, folder)
    bundle_of = {name: f"g{i:04d}" for i, names in enumerate(model.bundles) for name in names}
    observations = []
    for observation in model.observation:
        own = observation.model_dump(include=set(Files.model_fields), exclude_unset=True)
        own["conversion"] = model.files.conversion | observation.conversion
        files = model.files.model_copy(update=own)
        stack = observation.stack or str(observation.obsid)
        place = Place(folder, str(observation.obsid), stack, settings.energies)
        names = given or found_sources(files, place)
        present, missing = [], []
        for name in names:
            known = {"bundle": bundle_of.get(name, "")} | given.get(name, {})
            try:
                present.append(source_files(files, place, name, known))
            except NotThere as error:
                missing.append(str(error))
        if missing:
            notes.append(
                f"{path}: {len(missing)} sources have no files in obsid {observation.obsid}, and "
                f"are missing there: {missing[0]}" + (" and so on" if missing[1:] else "")
            )
        observations.append(
            observation_files(files, place, present, observation.instrument, observation.exposure_s)
        )
    return _field(path, observations, settings, notes)


def _field(path, observations, settings, notes) -> nouns.Field:
    used = tuple(one for one in observations if one.sources)
    if not used:
        raise InputError("\n".join([f"{path}: no source whose files are there", *notes]))
    return nouns.Field(used, settings, tuple(notes))


def _explain(problem: dict) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    return f"{where} = {problem['input']!r}: {problem['msg'].lower()}"


def _given_sources(model: FieldFile, folder: Path) -> dict[str, dict]:
    """The sources that the file names, and what it says of each."""
    if isinstance(model.sources, list):
        return {name: {} for name in model.sources}
    return {row["source"]: row for row in _rows(folder / model.sources, ("source",))}


def _rows(path: Path, required: tuple[str, ...]) -> Iterator[dict]:
    """The rows of a table, without what is blank."""
    try:
        table = Table.read(path, **({"format": "ascii.csv"} if path.suffix == ".csv" else {}))
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from None
    if missing := [name for name in required if name not in table.colnames]:
        raise InputError(f"{path}: no column {missing[0]}; add it")
    for row in table:
        values = {}
        for name in table.colnames:
            value = row[name]
            if value is np.ma.masked or (isinstance(value, float) and np.isnan(value)):
                continue
            value = value.item() if isinstance(value, np.generic) else value
            values[name] = value.decode() if isinstance(value, bytes) else value
        yield values | {name: str(values.get(name, "")) for name in required}


_BY_BAND = ("psf_fraction", *sorted((q.conversion for q in MODEL_FLUXES.values()), reverse=True))


def _stem_and_band(column: str) -> tuple[str, str]:
    """Which number a column of a table has, and of which band; empty if of none, or of all."""
    for stem in _BY_BAND:
        if column == stem or column.startswith(f"{stem}_"):
            return stem, column[len(stem) + 1 :]
    return "", ""


def _from_table(path: Path) -> nouns.Field:
    known = {"obsid", "source", "stack", "ra", "dec", "bundle", "instrument", "exposure_s"}
    grouped: dict[tuple[str, str], list] = {}
    for row in _rows(path, ("obsid", "source")):
        given: dict[str, object] = {"conversion": {}}
        for key, value in row.items():
            value = value if isinstance(value, float) else str(value)
            stem, band = _stem_and_band(key)
            if key in Files.model_fields:
                given[key] = value
            elif stem == "psf_fraction":
                given[stem] = given.get(stem, {}) | {band: value}
            elif stem:
                of_model = given["conversion"].setdefault(stem.removeprefix(_CONVERSION), {})
                of_model[band] = value
            elif key not in known:
                raise InputError(f"{path}: column {key!r} is not known; remove it")
        try:
            files = Files.model_validate(given)
        except ValidationError as error:
            raise InputError(f"{path}: {_explain(error.errors()[0])}") from None
        place = Place(path.parent, row["obsid"], str(row.get("stack") or row["obsid"]))
        try:
            source = source_files(files, place, row["source"], row)
        except NotThere as error:
            raise InputError(f"{path}, obsid {row['obsid']}, source {error}; correct it") from None
        grouped.setdefault((place.stack, place.obsid), []).append((files, place, row, source))
    observations = []
    for rows in grouped.values():
        files, place, row, _ = rows[0]
        sources = [source for *_, source in rows]
        exposure = row.get("exposure_s")
        observations.append(
            observation_files(files, place, sources, row.get("instrument"), exposure)
        )
    return _field(path, observations, nouns.Settings(), [])
