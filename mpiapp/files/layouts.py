"""How tables of counts name their columns: this project's, CSC's, CIAO srcflux's, or as told.

A layout turns each row of a table into records with this project's columns
(docs/files.md); what it does not use is carried along under its own name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..catalog.fault import InputError
from ..catalog.quantities import INSTRUMENT_BANDS, QUANTITIES
from ..toml import tomllib
from .regular import open_regular

REQUIRED = {
    "obsid": "name of the observation",
    "stack": "name of the stack that the observation belongs to",
    "component": "name of the source in its stack",
    "instrument": "ACIS or HRC: decides bands and priors",
    "band": "energy band: b h m s u, or w for HRC",
    "aperture": "aper or aper90",
    "cnts": "raw counts in the source aperture",
    "cnts_bkg": "raw counts in the background aperture",
    "psf_frac": "fraction of the PSF in the source aperture",
    "psf_frac_bkg": "fraction of the PSF in the background aperture",
    "area": "area of the source aperture in pixels",
    "area_bkg": "area of the background aperture in pixels",
}
EXPOSURES = {
    "rate": "the exposure in s",
    "photflux": "the mean exposure map in count / (photon s-1 cm-2)",
    "flux": "the mean exposure map in count / (erg s-1 cm-2), or exposure_photflux and "
    "photon_energy_kev, the mean energy of a photon",
}
OPTIONAL = ("exposure_s", "photon_energy_kev") + tuple(
    name
    for q in QUANTITIES.values()
    if q.exposure_column
    for name in (q.exposure_column, f"{q.exposure_column}_bkg")
)
OWN = (*REQUIRED, *OPTIONAL)
ERG_PER_KEV = 1.602176634e-9
# Side of a pixel in arcsec.
PIXEL = {"ACIS": 0.492, "HRC": 0.13175}
SRCFLUX = {
    "component": "COMPONENT",
    "cnts": "COUNTS",
    "cnts_bkg": "BG_COUNTS",
    "psf_frac": "PSFFRAC",
    "psf_frac_bkg": "BG_PSFFRAC",
    "area": "AREA",
    "area_bkg": "BG_AREA",
    "exposure_rate": "EXPOSURE",
    "exposure_rate_bkg": "BG_EXPOSURE",
    "exposure_photflux": "MEAN_SRC_EXP",
    "exposure_photflux_bkg": "MEAN_BG_EXP",
}
_SRCFLUX_BANDS = {"broad": "b", "hard": "h", "medium": "m", "soft": "s", "ultrasoft": "u"}
_SRCFLUX_BANDS |= {"wide": "w"}
CSC = {
    "obsid": "obsid",
    "stack": "detect_stack_id",
    "component": "region_id",
    "instrument": "instrument",
    "exposure_rate": "livetime",
}
_CSC_COUNTS = re.compile(r"cnts_(aper|aper90)_([bhmsuw])")
Record = dict[str, object]


@dataclass(frozen=True)
class Given:
    """What the user says of a table: own column -> its column, own column -> value of all rows."""

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        for name in (*self.columns, *self.values):
            if name not in OWN:
                raise InputError(f"{name} is no column of a table of counts; {_known()}")

    @classmethod
    def of(
        cls, file: str | os.PathLike | None, columns: Iterable[str], values: Iterable[str]
    ) -> Given:
        """From a TOML file with tables `columns` and `values`, and texts like "cnts=COUNTS"."""
        found: dict[str, dict] = {"columns": {}, "values": {}}
        if file is not None:
            found |= _mapping_file(file)
        for name, texts in (("columns", columns), ("values", values)):
            found[name] = dict(found[name]) | dict(_pair(text) for text in texts)
        return cls(found["columns"], found["values"])


def _known() -> str:
    return f"expected one of {', '.join(OWN)}"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"{text!r}: expected NAME=VALUE, for example cnts=COUNTS")
    return name.strip(), value.strip()


def _mapping_file(path: str | os.PathLike) -> dict[str, dict]:
    with open_regular(path) as file:
        try:
            content = tomllib.loads(file.read().decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not valid TOML ({error})") from error
    for name, table in content.items():
        kinds = (str,) if name == "columns" else (str, int, float)
        if name not in ("columns", "values") or not isinstance(table, dict):
            raise InputError(f"{path}: {name}: expected the tables [columns] and [values]")
        for key, value in table.items():
            if not isinstance(value, kinds):
                raise InputError(f"{path}: {name}.{key} is {value!r}, expected one value")
    return content


@dataclass(frozen=True)
class Layout:
    """How a table is read: its kind, what makes records of a row, its columns if they are known."""

    kind: str
    records: Callable[[Record], list[Record]]
    has: frozenset[str] | None

    def notes(self) -> list[str]:
        """Which quantities are measured, and what the others would need."""
        if self.has is None:
            return []
        measured, lines = ["cnts"], []
        for quantity, need in EXPOSURES.items():
            column = QUANTITIES[quantity].exposure_column
            is_erg = quantity == "flux" and {"exposure_photflux", "photon_energy_kev"} <= self.has
            if column in self.has or is_erg:
                measured.append(quantity)
            else:
                lines.append(f"not measured: {quantity}, which needs {column}: {need}")
        if "stack" not in self.has:
            lines.append("no column stack: each observation is a stack of its own")
        return [f"columns {self.kind}; measured: {', '.join(measured)}", *lines]


def find_layout(
    path: str | os.PathLike,
    names: Collection[str] | None,
    units: Mapping[str, str],
    header: Mapping[str, object],
    given: Given,
    required: Collection[str] = tuple(REQUIRED),
) -> Layout:
    """The layout of a table with these columns, units and header keywords.

    JSON lines (`names` is None) have this project's columns, or those that are given.
    Of `required` nothing may be missing, but the stack.

    Raises InputError that names every column which is missing, and what it is for.
    """
    if names is None:
        return _json_layout(given)
    absent = [c for c in given.columns.values() if c not in names]
    if absent:
        raise InputError(f"{path}: there is no column {absent[0]}; it has {', '.join(names)}")
    by_lower = {name.lower(): name for name in names} | {name: name for name in names}
    wide = [m for m in map(_CSC_COUNTS.fullmatch, by_lower) if m]
    if wide and "cnts" not in {*by_lower, *given.columns}:
        return _csc_layout(path, by_lower, wide, given, required)
    kind, columns, values = "as in Files of the documentation", {}, {}
    if {"counts", "bg_counts", "psffrac"} <= by_lower.keys():
        kind, columns = "of CIAO srcflux", SRCFLUX
        values = _srcflux_values(path, header)
    columns = {own: by_lower[c.lower()] for own, c in columns.items() if c.lower() in by_lower}
    columns = {own: by_lower[own] for own in OWN if own in by_lower} | columns | given.columns
    values = {k: v for k, v in values.items() if k not in columns} | given.values
    _require(path, required, {*columns, *values, "stack"})
    seconds = _without_seconds(columns, units)
    has = frozenset({*columns, *values})
    used = {*columns.values(), *(name for name in names if name in values)}
    pairs = [(own, name) for own, name in columns.items() if own not in values]

    def records(row: Record) -> list[Record]:
        record = {name: value for name, value in row.items() if name not in used}
        record |= {own: row[name] for own, name in pairs if name in row}
        record |= values
        if "stack" not in has and "obsid" in record:
            record["stack"] = record["obsid"]
        for own, exposure in seconds:
            record[own] = _product(record.get(own), row.get(exposure))
        return [_with_ergs(record)]

    return Layout(kind, records, has)


def _json_layout(given: Given) -> Layout:
    def records(row: Record) -> list[Record]:
        renamed = {own: row[name] for own, name in given.columns.items() if name in row}
        return [_with_ergs(row | renamed | given.values)]

    return Layout("as in Files of the documentation", records, None)


def _require(path: str | os.PathLike, required: Collection[str], has: Collection[str]) -> None:
    missing = [name for name in required if name not in has]
    if missing:
        lines = "".join(f"\n  {name}: {REQUIRED[name]}" for name in missing)
        raise InputError(
            f"{path}: {len(missing)} columns are missing; add them, or say where they are with "
            f"--map NAME=COLUMN or what they are in every row with --set NAME=VALUE{lines}"
        )


def _with_ergs(record: Record) -> Record:
    """With the exposure for energy flux, where the mean energy of a photon is known."""
    energy = record.get("photon_energy_kev")
    for end in ("", "_bkg"):
        photons = record.get(f"exposure_photflux{end}")
        if energy is not None and photons is not None and f"exposure_flux{end}" not in record:
            record[f"exposure_flux{end}"] = _product(photons, energy, 1 / ERG_PER_KEV, -1)
    return record


def _product(value: object, factor: object, constant: float = 1.0, power: int = 1) -> object:
    """value × factor^power × constant, or a text that tells which is no number."""
    try:
        return float(value) * float(factor) ** power * constant
    except (TypeError, ValueError, ArithmeticError):
        return f"{value} with {factor}"


def _srcflux_values(path: str | os.PathLike, header: Mapping[str, object]) -> Record:
    """What the header and the name of a .flux file tell of all its rows."""
    values: Record = {"aperture": "aper"}
    # The EXPOSURE of the rows is that of each source's chip.
    keywords = (("obsid", "OBS_ID"), ("instrument", "INSTRUME"), ("exposure_s", "EXPOSURE"))
    for own, keyword in keywords:
        if header.get(keyword) is not None:
            values[own] = str(header[keyword]).strip()
    band = _SRCFLUX_BANDS.get(re.split(r"[_.]", Path(path).stem)[-1])
    return values | ({"band": band} if band else {})


def _without_seconds(columns: Mapping[str, str], units: Mapping[str, str]) -> list[tuple[str, str]]:
    """Mean exposures in cm2 alone, and the column of the exposure that they lack."""
    own = ("exposure_photflux", "exposure_photflux_bkg")
    return [
        (name, columns["exposure_rate"])
        for name in own
        if name in columns and "exposure_rate" in columns
        if re.fullmatch(r"cm(\*\*|\^)?2", units.get(columns[name], "").strip())
    ]


def _csc_layout(
    path: str | os.PathLike,
    by_lower: Mapping[str, str],
    wide: list[re.Match],
    given: Given,
    required: Collection[str],
) -> Layout:
    """CSC's table per observation: a row per source, its bands and apertures in the columns."""
    columns = {own: by_lower[c] for own, c in CSC.items() if c in by_lower} | given.columns
    pairs, missing, used = [], [], set(columns.values())
    for match in wide:
        aperture, band = match.groups()
        names = {}
        for own, stem in (("cnts", "cnts"), ("psf_frac", "psf_frac"), ("area", "area")):
            for end, region in (("", aperture), ("_bkg", f"{aperture}bkg")):
                wanted = f"{stem}_{region}_{band}"
                shared = f"{stem}_{region}" if own == "area" else wanted
                if (found := by_lower.get(wanted) or by_lower.get(shared)) is None:
                    missing.append(wanted if shared == wanted else f"{wanted} or {shared}")
                names[own + end] = found
        pairs.append((aperture, band, names))
        used.update(names.values())
    has = {*columns, *given.values, *pairs[0][2], "band", "aperture"}
    _require(path, required, has)
    if missing:
        raise InputError(f"{path}: columns as in CSC, but without {', '.join(missing)}; add them")

    def records(row: Record) -> list[Record]:
        shared = {name: value for name, value in row.items() if name not in used}
        shared |= {own: row[name] for own, name in columns.items() if name in row} | given.values
        instrument = str(shared.get("instrument")).strip()
        side = PIXEL.get(instrument, 1.0)
        found = []
        for aperture, band, names in pairs:
            if band not in INSTRUMENT_BANDS.get(instrument, band) or names["cnts"] not in row:
                continue  # the other instrument's band, or no value
            record = {own: row[name] for own, name in names.items() if name in row}
            for area in ("area", "area_bkg"):
                if area in record:
                    record[area] = _product(record[area], side, 1.0, -2)
            found.append(_with_ergs({**shared, **record, "band": band, "aperture": aperture}))
        return found

    return Layout("of CSC's observations", records, frozenset(has))
