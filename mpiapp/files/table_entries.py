"""What the rows of a table of counts say: aperture pairs, or bundles of JSON lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from ..catalog.bundle import KNOWN, are_sensible, check_matrices
from ..catalog.fault import InputError
from ..catalog.quantities import MODEL_FLUXES, TABLE_1
from .aperture_counts import Counts
from .catalog_tables import CatalogTable, file_bytes, is_json, of_records, read_table
from .column_map import Given, did_you_mean
from .counts_table import find_counts
from .fields import RowError, array, get, json_lines, number, text, unexpected
from .layouts import suits
from .own_columns import NAMES, REQUIRED
from .prep3_gamma import prior_columns
from .prep3_tables import MAX_COUNTS

CONVERSIONS = tuple(q.conversion for q in MODEL_FLUXES.values())
BUNDLE_KEYS = ("obsid", "stack", "bundle", "instrument", "band", "aperture", "components",
               "counts", "F", "exposure_s", "mjd", "ra", "dec", *CONVERSIONS)  # fmt: skip
_PAIR = ("psf_frac", "area", "psf_frac_bkg", "area_bkg")


class Entry(NamedTuple):
    """A bundle in one obsid, band and aperture; `info` holds other columns of each component."""

    stack: str
    obsid: str
    instrument: str
    band: str
    aperture: str
    exposure: float | None
    mjd: float | None
    bundle: str
    components: tuple[str, ...]
    counts: np.ndarray
    F: dict[str, np.ndarray]
    info: list[dict]


def entries_of(
    path: str, given: Given
) -> tuple[CatalogTable, Iterable[tuple[int, Entry | RowError]], list[str]]:
    """The table, its rows in their order, and notes about its columns."""
    if not is_json(path, file_bytes(path, 1)):
        source = read_table(path, suits(given, REQUIRED))
        counts = find_counts(source, given, REQUIRED, NAMES)
        notes = counts.layout.notes(source.table.colnames, of_jobs=True)
        return source, _pairs(counts), [*source.notes, *notes]
    found = list(json_lines(file_bytes(path)))
    source = CatalogTable(path, Table(), np.array([line for line, _ in found]), path=path)
    entries: dict[int, Entry | RowError] = {}
    pairs, notes = [], []
    for row, (_, record) in enumerate(found):
        if record is None:
            entries[row] = RowError("no JSON object; correct it")
        elif "components" in record:
            try:
                entries[row] = _bundle(record, given)
            except RowError as error:
                entries[row] = error
        else:
            pairs.append(row)
    if pairs:
        records = [found[row][1] for row in pairs]
        table = of_records(path, source.lines[pairs], records)
        try:
            counts = find_counts(table, given, REQUIRED, NAMES)
        except InputError as error:
            if len(pairs) == len(found):
                raise
            entries |= {row: RowError(str(error)) for row in pairs}
        else:
            entries |= {pairs[row]: entry for row, entry in _pairs(counts)}
            notes = counts.layout.notes(table.table.colnames, of_jobs=True)
    return source, sorted(entries.items(), key=lambda item: item[0]), notes


def _bundle(record: dict, given: Given) -> Entry:
    """Format 1: a bundle of sources with their matrices."""
    renamed = {own: record.pop(name) for own, name in given.columns.items() if name in record}
    record = record | renamed | given.values
    if unknown := [key for key in record if key not in BUNDLE_KEYS]:
        said = f"key {unknown[0]}: unknown{did_you_mean(unknown[0], BUNDLE_KEYS)}"
        raise RowError(f"{said}; correct it, or leave it out")
    names = record["components"]
    if not isinstance(names, list) or not names:
        raise RowError("column components: expected a list of names; correct it")
    names = tuple(text({"components": name}, "components") for name in names)
    matrices = get(record, "F")
    if not isinstance(matrices, dict) or not matrices:
        raise RowError("column F: expected matrices by quantity; correct it")
    if unknown := [q for q in matrices if q not in TABLE_1]:
        raise RowError(f"column F: quantity {unknown[0]!r}, expected one of {', '.join(TABLE_1)}")
    F = {q: array(value, f"F, {q}") for q, value in matrices.items()}
    counts = array(get(record, "counts"), "counts")
    _check(counts, F, len(names))
    if counts.max() > MAX_COUNTS:
        raise unexpected("counts", counts.max(), "at most 2^53")
    info = [{} for _ in names]
    for key in ("ra", "dec", *CONVERSIONS):
        if key in record:
            values = array(record[key], key)
            if values.shape != (len(names),):
                raise RowError(f"column {key}: expected {len(names)} numbers, one per component")
            if key in CONVERSIONS and not ((values > 0) & (values < np.inf)).all():
                raise unexpected(key, values.tolist(), "positive numbers")
            for own, value in zip(info, values.tolist()):
                own[key] = value
    exposure, mjd = (
        number(record, name) if record.get(name) is not None else None
        for name in ("exposure_s", "mjd")
    )
    place = [text(record, name) for name in ("stack", "obsid", "instrument", "band", "aperture")]
    bundle = text(record, "bundle")
    return Entry(*place, exposure, mjd, bundle, names, counts.astype(np.int64), F, info)


def _pairs(counts: Counts) -> Iterator[tuple[int, Entry | RowError]]:
    """Format 2: single sources, F from PSF fractions, areas and exposures (Eq. 1)."""
    table, layout = counts.source.table, counts.layout
    used = {column for columns in layout.pairs for column in columns.values()}
    other = {name: table[name].tolist() for name in table.colnames if name not in used}
    numbers, names = counts.numbers, counts.names
    if numbers["psf_frac"].ndim > 1:
        raise InputError(
            f"{counts.source.name}: column {counts.called('psf_frac')}: several numbers in each "
            "row; bundles are imported from JSON lines"
        )
    C = np.stack([numbers["cnts"], numbers["cnts_bkg"]], axis=1)
    plainly = np.stack([numbers[name] for name in _PAIR], axis=1).reshape(-1, 2, 2)
    matrices, is_there = {}, {}
    known = counts.is_known
    C[known, 1] = KNOWN
    with np.errstate(over="ignore"):
        for quantity in TABLE_1.values():
            exposures = counts.exposures(quantity.name)
            if exposures is not None:
                F = matrices[quantity.name] = plainly * exposures[:, :, None]
                F[known, 0, 1] = counts.numbers["bkg"][known] if known.any() else 0.0
                F[known, 1, 0], F[known, 1, 1] = 0.0, counts.relative_errors()[known]
                is_there[quantity.name] = ~np.isnan(exposures[:, 0])
    for q, F in matrices.items():
        for pair in np.flatnonzero(is_there[q] & ~are_sensible(C, F)).tolist():
            if pair not in counts.problems:
                try:
                    _check(C[pair], {q: F[pair]}, 1)
                except RowError as error:
                    counts.problems[pair] = error
    has = {q: there.tolist() for q, there in is_there.items()}
    factors = {own: numbers[own].tolist() for own in CONVERSIONS if own in numbers}
    stacks = names.get("stack", names["obsid"])
    mjd = numbers.get("mjd", np.full(len(counts), np.nan)).tolist()
    exposure_s = _of_observations(counts, stacks)
    for pair, row in enumerate(counts.rows.tolist()):
        if pair in counts.problems:
            yield row, counts.problems[pair]
            continue
        component = names["component"][pair]
        yield (
            row,
            Entry(
                stacks[pair],
                *(names[name][pair] for name in ("obsid", "instrument", "band", "aperture")),
                *(None if math.isnan(v[pair]) else v[pair] for v in (exposure_s, mjd)),
                component,
                (component,),
                C[pair].astype(np.int64),
                {q: F[pair] for q, F in matrices.items() if has[q][pair]},
                [
                    {name: values[row] for name, values in other.items()}
                    | {own: values[pair] for own, values in factors.items()}
                    | prior_columns(counts.gamma, pair)
                ],
            ),
        )


def _of_observations(counts: Counts, stacks: Sequence[str]) -> list[float]:
    """The exposure of each row's observation in s: without a column, the largest of its rows."""
    if "exposure_s" in counts.numbers:
        return counts.numbers["exposure_s"].tolist()
    keys = list(zip(stacks, counts.names["obsid"]))
    largest: dict[tuple[str, str], float] = {}
    for key, seconds in zip(keys, counts.numbers.get("exposure_rate", np.zeros(0)).tolist()):
        if largest.get(key, 0.0) < seconds < math.inf:
            largest[key] = seconds
    return [largest.get(key, math.nan) for key in keys]


def _check(counts: np.ndarray, F: dict[str, np.ndarray], n: int) -> None:
    """As `check_matrices` for every quantity."""
    for quantity, matrix in F.items():
        try:
            check_matrices(counts, matrix, n)
        except InputError as error:
            raise RowError(f"{quantity}: {error}; correct it", f"{quantity}: no sense") from None
