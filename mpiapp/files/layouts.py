"""How tables of counts name their columns: as this project does, as missions do, or as told.

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
from .known_tables import RECIPROCAL, KnownTable, Place, fill, known_tables, with_placeholders
from .own_columns import EXPOSURES, KNOWN, MEASURED, OPTIONAL, OWN, REQUIRED

_LETTERS = {word: letter for letter, word in WORDS.items()}
_BAND_IN_NAME = re.compile(rf"(?:^|[_.])({'|'.join(_LETTERS)}|{ENERGY_RANGE})$")
OWN_TABLE = KnownTable('as in "Tables of counts" of the documentation', "")


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
    inverse : frozenset of str
        Own columns that are the reciprocals of the table's.
    area_unit : str
        The unit of areas that have none.
    assumed : list of str
        What is told of values that neither the table nor the user gives.
    """

    kind: str
    pairs: list[dict[str, str]]
    values: list[dict[str, object]]
    is_wide: bool = False
    inverse: frozenset[str] = frozenset()
    area_unit: str = "pix"
    assumed: tuple[str, ...] = ()

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
        return [f"columns {self.kind}; measured: {', '.join(measured)}", *self.assumed, *lines]


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
        bare = [split_unit(name)[0] for name in names]
        lower = {name.lower() for name in bare}
        told = {*given.values, *given.columns, "stack"}
        needed = {name for name in _needed(required, told | lower) if name not in told}
        known = _known(bare, given)
        mapped = {c.removeprefix(RECIPROCAL).lower() for c in given.columns.values()}
        return (needed <= lower or (known is not None and not known.refused)) and (
            mapped <= lower or (known is not None and known.is_wide)
        )

    return has_all


def _needed(required: Collection[str], has: Collection[str]) -> list[str]:
    """Of `required` those that a table needs that has these own columns."""
    return [name for name in required if "bkg" not in has or name not in MEASURED]


def _known(names: Collection[str], given: Given) -> KnownTable | None:
    """The known table that has these names; none with bands if its counts are told or ours."""
    if table := with_placeholders(given.columns):
        return table
    is_told = "cnts" in {*(name.lower() for name in names), *given.columns}
    tables = (table for table in known_tables() if not (is_told and table.is_wide))
    return next((table for table in tables if table.places(names)), None)


def find_layout(source: CatalogTable, given: Given, required: Collection[str]) -> Layout:
    """The layout of a table.

    Of `required` nothing may be missing, but the stack.

    Raises InputError that names every missing column and its purpose.
    """
    names = _Names(source)
    table = _known(names.all, given) or OWN_TABLE
    if table.refused:
        raise InputError(f"{names.place}: columns of {table.title}: {table.refused}")
    places = table.places(names.all) if table.known_by else [{}]
    if not places:
        wanted = ", ".join(table.known_by)
        raise InputError(
            f"{names.place}: no band has the columns {wanted}; it has {names.listed()}"
        )
    columns, inverse = zip(*(_columns(names, table, place, given) for place in places))
    values = []
    for place, has in zip(places, columns):
        known = {o: v for o, v in (table.values | _of_file(source, table)).items() if o not in has}
        values.append(known | given.values | place)
    pairs = [{o: c for o, c in has.items() if o not in given.values} for has in columns]
    _require(names, table, required, places, [{*p, *v, "stack"} for p, v in zip(pairs, values)])
    kind = f"of {table.title}" if table.source else table.title
    assumed = [
        f"{own} is {table.values[own]} in all rows: {why}; another by --set {own}=VALUE"
        for own, why in table.why.items()
        if own not in given.values and any(own in of_place for of_place in values)
    ]
    both = frozenset.union(*inverse)
    return Layout(kind, pairs, values, table.is_wide, both, table.area_unit, tuple(assumed))


def own_layout(source: CatalogTable, required: Collection[str]) -> Layout:
    """That of a table with this project's names; InputError as `find_layout`."""
    names = _Names(source)
    columns, _ = _columns(names, OWN_TABLE, {}, Given())
    _require(names, OWN_TABLE, required, [{}], [{*columns, "stack"}])
    return Layout(OWN_TABLE.title, [columns], [{}])


def _columns(
    names: _Names, table: KnownTable, place: Place, given: Given
) -> tuple[dict[str, str], frozenset[str]]:
    """Own column -> column of the table in a band and aperture, and which are reciprocals."""
    found, inverse = {}, set()
    for own in OWN:
        if own in place:
            continue
        column, is_inverse = table.find(own, place, names.has)
        if own in given.columns:
            told = fill(given.columns[own], place)
            is_inverse = told.startswith(RECIPROCAL) and told not in names.all
            told = told.removeprefix(RECIPROCAL) if is_inverse else told
            # A band may be spelled in other capitals than its column.
            is_filled = told not in given.columns[own] and names.has(told)
            found[own] = names.get(told) if is_filled else names.told(told)
        elif column is not None:
            found[own] = names.get(column)
        elif place and own in OPTIONAL and names.has(f"{own}_{place.get('band')}"):
            found[own] = names.get(f"{own}_{place.get('band')}")
        elif names.has(own):
            found[own] = names.get(own)
        if own in found and is_inverse:
            inverse.add(own)
    return found, frozenset(inverse)


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


def _require(
    names: _Names,
    table: KnownTable,
    required: Collection[str],
    places: list[Place],
    has: list[set[str]],
) -> None:
    """InputError unless each band and aperture has its columns; `has` are those that it has."""
    missing: dict[str, list[str]] = {}
    for place, own in zip(places, has):
        intended = {"bkg"} if "bkg" in table.columns and "cnts_bkg" not in own else set()
        for name in (*_needed(required, own | intended), *intended):
            if name not in own:
                there = [fill(column, place) for column in table.columns.get(name, ())[:1]]
                missing.setdefault(name, []).extend(there)
    if not missing:
        return
    if {"components", "F"} <= set(names.all):
        raise InputError(f"{names.place}: bundles of sources; import them, and run a job")
    others = [name for name in names.all if name.lower() not in OWN]
    purposes, lines = REQUIRED | KNOWN, ""
    for name, there in missing.items():
        more = ", …" if len(there) > 3 else ""
        called = f"; there {', '.join(there[:3])}{more}" if there else ""
        lines += f"\n  {name}: {purposes[name]}{called}{did_you_mean(name, others)}"
    if set(MEASURED) <= set(missing):
        lines += f"\n  or bkg: {KNOWN['bkg']}"
    of = f" of {table.title}" if table.source else ""
    raise InputError(
        f"{names.place}: {len(missing)} columns{of} are missing (it has {names.listed()}); "
        f"{table.advice}, or say where they are with --map NAME=COLUMN (in Python `columns`) or "
        f"what they are in every row with --set NAME=VALUE{lines}"
    )


def _of_file(source: CatalogTable, table: KnownTable) -> dict[str, object]:
    """Values of all rows from the header and the name of a file."""
    values: dict[str, object] = {}
    for own, keywords in table.header.items():
        for keyword in keywords:
            if source.table.meta.get(keyword) is not None:
                values.setdefault(own, str(source.table.meta[keyword]).strip())
    stem = Path(source.path).name.removesuffix(".gz").rpartition(".")[0]
    band = _BAND_IN_NAME.search(stem) if table.is_band_in_name else None
    return values | ({"band": _LETTERS.get(band[1], band[1])} if band else {})
