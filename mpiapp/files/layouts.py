"""How tables of counts name their columns: this project's, CSC's, srcflux's, eROSITA's, or as told.

A layout says which column of a table, or which constant, is which of this project's columns
(docs/counts-tables.md), once for each aperture pair that a row of the table describes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..catalog.fault import InputError
from ..catalog.instruments import ENERGY_RANGE, WORDS
from ..catalog.quantities import MODEL_FLUXES, QUANTITIES
from .catalog_tables import CatalogTable
from .column_map import Given, did_you_mean
from .column_units import split_unit
from .own_columns import EXPOSURES, KNOWN, MEASURED, NUMBERS, OPTIONAL, OWN, REQUIRED

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
_LETTERS = {word: letter for letter, word in WORDS.items()}
_SRCFLUX_BAND = re.compile(rf"(?:^|[_.])({'|'.join(_LETTERS)}|{ENERGY_RANGE})$")
CSC = {
    "obsid": "obsid",
    "stack": "detect_stack_id",
    "component": "region_id",
    "instrument": "instrument",
    "exposure_rate": "livetime",
    "mjd": "gti_mjd_obs",
}
_EROSITA_COUNTS = re.compile(r"ape_cts_(\w+)")
EROSITA = {"cnts": "ape_cts", "bkg": "ape_bkg", "psf_frac": "ape_eef", "exposure_rate": "ape_exp"}
_CSC_COUNTS = re.compile(r"cnts_(aper|aper90)_([bhmsuw])")


@dataclass(frozen=True)
class Layout:
    """Where a table has this project's columns.

    Attributes
    ----------
    kind : str
        Whose table it is.
    pairs : list of dict
        Own column -> column of the table, for each aperture pair that a row describes.
    values : list of dict
        Own column -> what it is in all rows, for each of them.
    is_wide : bool
        Whether bands and apertures are in the names of its columns, as in CSC's tables.
    """

    kind: str
    pairs: list[dict[str, str]]
    values: list[dict[str, object]]
    is_wide: bool = False

    @property
    def area_unit(self) -> str:
        """The unit of areas that have none."""
        return "arcsec2" if self.is_wide else "pix"

    @property
    def has(self) -> set[str]:
        """The own columns that are there."""
        return {own for part in (*self.pairs, *self.values) for own in part}

    def quantities(self) -> list[str]:
        """Quantities that can be measured."""
        return [q.name for q in QUANTITIES.values() if not lacking(q.name, self.has)]

    def notes(self, names: Collection[str], of_jobs: bool) -> list[str]:
        """Which quantities are measured, and the columns that the others lack.

        names : of all columns; of_jobs : whether observations and stacks are told apart
        """
        lines = []
        models = [q.name for q in MODEL_FLUXES.values() if q.conversion in self.has]
        for quantity in ("rate", "photflux", "flux", *models):
            if need := lacking(quantity, self.has):
                others = set(names) - set(self.pairs[0].values())
                lines.append(
                    f"not measured: {quantity}, which needs {need}: {EXPOSURES[need]}"
                    f"{did_you_mean(need, others)}"
                )
        if of_jobs and "stack" not in self.has:
            lines.append("no column stack: each observation is a stack of its own")
        order = ["cnts", "rate", "photflux", "flux", *MODEL_FLUXES]
        measured = sorted(self.quantities(), key=order.index)
        return [f"columns {self.kind}; measured: {', '.join(measured)}", *lines]


def lacking(quantity: str, has: Collection[str]) -> str | None:
    """The own column that a quantity still lacks."""
    conversion, column = QUANTITIES[quantity].conversion, QUANTITIES[quantity].exposure_column
    if conversion and conversion not in has:
        return conversion
    if column is None or column in has:
        return None
    if quantity == "flux" and "exposure_photflux" in has:
        return None if "photon_energy_kev" in has else "photon_energy_kev"
    return column


def suits(given: Given, required: Collection[str]):
    """Whether a table with these names has the required columns, for files with several tables."""

    def has_all(names: Collection[str]) -> bool:
        lower = {split_unit(name)[0].lower() for name in names}
        told = {*given.values, *given.columns, "stack"}
        needed = {name for name in _needed(required, told | lower) if name not in told}
        return {c.lower() for c in given.columns.values()} <= lower and (
            needed <= lower
            or any(_CSC_COUNTS.fullmatch(name) or _EROSITA_COUNTS.fullmatch(name) for name in lower)
            or _is_srcflux(lower)
        )

    return has_all


def _needed(required: Collection[str], has: Collection[str]) -> list[str]:
    """Of `required` those that a table needs that has these own columns."""
    return [name for name in required if "bkg" not in has or name not in MEASURED]


def _is_srcflux(lower: Collection[str]) -> bool:
    return {"counts", "bg_counts", "psffrac"} <= set(lower)


def find_layout(source: CatalogTable, given: Given, required: Collection[str]) -> Layout:
    """The layout of a table.

    Of `required` nothing may be missing, but the stack.

    Raises InputError that names every missing column and its purpose.
    """
    names = _Names(source)
    told = {own: names.told(column) for own, column in given.columns.items()}
    wide = [m for m in map(_CSC_COUNTS.fullmatch, names.by_lower) if m]
    if wide and "cnts" not in {*names.by_lower, *told}:
        return _csc_layout(names, wide, told, given, required)
    of_erosita = [m for m in map(_EROSITA_COUNTS.fullmatch, names.by_lower) if m]
    if of_erosita and "cnts" not in {*names.by_lower, *told}:
        return _erosita_layout(names, of_erosita, told, given, required)
    kind, columns, values = 'as in "Tables of counts" of the documentation', {}, {}
    if _is_srcflux(names.by_lower):
        kind, columns = "of CIAO srcflux", SRCFLUX
        values = _srcflux_values(source)
    columns = {own: column for own, column in columns.items() if own not in told}
    columns = {own: names.get(c) for own, c in columns.items() if names.has(c)}
    own = {own: names.get(own) for own in OWN if own not in told and names.has(own)}
    columns = own | columns | told
    columns = {own: column for own, column in columns.items() if own not in given.values}
    values = {k: v for k, v in values.items() if k not in columns} | given.values
    _require(names, required, {*columns, *values, "stack"})
    return Layout(kind, [columns], [values])


class _Names:
    """The names of a table's columns, in capitals or not."""

    def __init__(self, source: CatalogTable):
        self.place, self.all = source.name, list(source.table.colnames)
        self.by_lower: dict[str, list[str]] = {}
        for name in self.all:
            self.by_lower.setdefault(name.lower(), []).append(name)
        self._repeated = source.repeated

    def has(self, name: str) -> bool:
        return name.lower() in self.by_lower

    def get(self, name: str) -> str:
        """The column of that name, or the one that differs in capitals; InputError if several."""
        found = [name] if name in self.all else self.by_lower[name.lower()]
        if len(found) > 1 or found[0] in self._repeated:
            said = ", ".join(found) if len(found) > 1 else f"{found[0]}, twice"
            raise InputError(
                f"{self.place}: columns {said}: which is {name}? Rename one, or say --map "
                f"{name}=COLUMN"
            )
        return found[0]

    def told(self, name: str) -> str:
        """The column that the user means."""
        for spelled in (name, split_unit(name)[0]):
            if spelled in self.all and spelled not in self._repeated:
                return spelled
        if name in self._repeated:
            return self.get(name)
        raise InputError(
            f"{self.place}: there is no column {name}{did_you_mean(name, self.all)}; it has "
            f"{self.listed()}"
        )

    def listed(self) -> str:
        """The names as a sentence has room for them."""
        more = f" and {len(self.all) - 30} more" if len(self.all) > 30 else ""
        return ", ".join(self.all[:30]) + more


def _require(names: _Names, required: Collection[str], has: Collection[str]) -> None:
    if missing := [name for name in _needed(required, has) if name not in has]:
        if {"components", "F"} <= set(names.all):
            raise InputError(f"{names.place}: bundles of sources; import them, and run a job")
        others = [name for name in names.all if name.lower() not in OWN]
        lines = "".join(
            f"\n  {name}: {REQUIRED[name]}{did_you_mean(name, others)}" for name in missing
        )
        if set(MEASURED) <= set(missing):
            lines += f"\n  or bkg: {KNOWN['bkg']}"
        raise InputError(
            f"{names.place}: {len(missing)} columns are missing (it has {names.listed()}); add "
            "them, or say where they are with --map NAME=COLUMN (in Python `columns`) or what they "
            f"are in every row with --set NAME=VALUE{lines}"
        )


def _srcflux_values(source: CatalogTable) -> dict[str, object]:
    """Values of all rows from the header and the name of a .flux file."""
    values: dict[str, object] = {"aperture": "aper"}
    # EXPOSURE of a row is the live time of the source's chip.
    keywords = (("obsid", "OBS_ID"), ("instrument", "INSTRUME"), ("exposure_s", "EXPOSURE"))
    keywords += (("mjd", "MJD_OBS"), ("mjd", "MJD-OBS"))
    for own, keyword in keywords:
        if source.table.meta.get(keyword) is not None:
            values[own] = str(source.table.meta[keyword]).strip()
    stem = Path(source.path).name.removesuffix(".gz").rpartition(".")[0]
    band = _SRCFLUX_BAND.search(stem)
    return values | ({"band": _LETTERS.get(band[1], band[1])} if band else {})


def _csc_layout(
    names: _Names,
    wide: list[re.Match],
    told: dict[str, str],
    given: Given,
    required: Collection[str],
) -> Layout:
    """CSC's table per observation: a row per source, its bands and apertures in the columns."""
    shared = {own: names.get(c) for own, c in CSC.items() if names.has(c)} | told
    pairs, values = [], []
    missing: dict[str, list[str]] = {}
    for aperture, band in (match.groups() for match in wide):
        columns = {}
        for own in NUMBERS:
            stem, _, _ = own.partition("_bkg")
            region = aperture if own == stem else f"{aperture}bkg"
            either = f"{stem}_{region}"
            # The same areas may serve all bands.
            wanted = (f"{either}_{band}", either)[: 1 + (stem == "area")]
            if found := next(filter(names.has, wanted), None):
                columns[own] = names.get(found)
            elif own not in told and own not in given.values:
                missing.setdefault(either, []).append(band)
        of_band = {own: f"{own}_{band}" for own in OPTIONAL}
        columns |= {own: names.get(name) for own, name in of_band.items() if names.has(name)}
        pairs.append(shared | columns | told)
        values.append({**given.values, "band": band, "aperture": aperture})
    if missing:
        lacking = [f"{stem}_{'|'.join(bands)}" for stem, bands in missing.items()]
        raise InputError(
            f"{names.place}: columns as in CSC, but without {', '.join(lacking)}; ask the service "
            "for them too, or say where they are with --map"
        )
    _require(names, required, {*pairs[0], *values[0], "stack"})
    pairs = [{own: c for own, c in p.items() if own not in given.values} for p in pairs]
    return Layout("of CSC's observations", pairs, values, is_wide=True)


def _erosita_layout(
    names: _Names,
    wide: list[re.Match],
    told: dict[str, str],
    given: Given,
    required: Collection[str],
) -> Layout:
    """eROSITA's catalogs: a row per source, its bands in the names of the columns.

    The background is known, from a map; apertures that hold the fraction APE_EEF of the PSF.
    """
    shared = {own: names.get(c) for own, c in (("obsid", "skytile"), ("component", "iauname"))
              if names.has(c)}  # fmt: skip
    every = {"instrument": "eROSITA", "aperture": "aper"} | given.values
    pairs, values = [], []
    for match in wide:
        name = names.get(match[0])
        found = {own: f"{own}_{match[1]}" for own in OPTIONAL}
        found |= {own: f"{stem}_{match[1]}" for own, stem in EROSITA.items()}
        own = {o: names.get(c) for o, c in found.items() if names.has(c)} | told
        pairs.append({o: c for o, c in (shared | own).items() if o not in given.values})
        values.append(every | {"band": name[len("ape_cts_") :]})
        _require(names, required, {*pairs[-1], *values[-1], "stack"})
    return Layout("of eROSITA's catalogs", pairs, values, is_wide=True)
