"""Flat tables of counts and PSF fractions, or JSON lines of matrices, to prep3 files.

A row that cannot be used is rejected with its reason, and the others are imported.
"""

from __future__ import annotations

import gc
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from ..catalog.bundle import Bundle, ObsidBundle, are_sensible, check_matrices
from ..catalog.fault import Fault, InputError
from ..catalog.names import target_problem
from ..catalog.quantities import APERTURES, INSTRUMENT_BANDS, QUANTITIES, Matrix
from .catalog_tables import CatalogTable, file_bytes, is_json, of_records, read_table
from .counts_table import Counts, fault, find_counts
from .fields import RowError, array, choice, get, json_lines, number, text, unexpected
from .layouts import NAMES, REQUIRED, Given, did_you_mean, suits
from .prep3 import prep3_name
from .prep3_tables import BACKGROUND, MAX_COUNTS
from .prep3_write import write_prep3
from .source_info import InfoRow

BUNDLE_KEYS = ("obsid", "stack", "bundle", "instrument", "band", "aperture", "components",
               "counts", "F", "exposure_s", "ra", "dec")  # fmt: skip
_PAIR = ("psf_frac", "area", "psf_frac_bkg", "area_bkg")


@dataclass(frozen=True)
class ImportReport:
    """Report of an import: rows taken and rejected, files written, quantities found."""

    accepted: int
    files: list[Path]
    faults: list[Fault]
    notes: list[str] = field(default_factory=list)


class _Entry(NamedTuple):
    """A bundle in one obsid, band and aperture; `info` holds other columns of each component."""

    stack: str
    obsid: str
    instrument: str
    band: str
    aperture: str
    exposure: float | None
    bundle: str
    components: tuple[str, ...]
    counts: np.ndarray
    F: dict[str, np.ndarray]
    info: list[dict]


@dataclass(eq=False)
class _Obsid:
    """The accepted rows of one obsid."""

    instrument: str
    exposure: float | None = None
    bundles: dict[str, Bundle] = field(default_factory=dict)
    bundle_of: dict[str, str] = field(default_factory=dict)
    info: list[InfoRow] = field(default_factory=list)
    quantities: set[tuple[str, ...]] = field(default_factory=set)


def import_table(
    path: str | os.PathLike, out_dir: str | os.PathLike, given: Given | None = None
) -> ImportReport:
    """Write a prep3 file per stack and obsid from a table of either import format.

    A record with `components` is a bundle in one band and aperture (format 1);
    any other is a single source's aperture pair (format 2), in a table whose
    columns are found by `layouts` or `given`.  Files are named
    `<stack>_<obsid>_prep3.fits` and replaced if they exist.

    Raises
    ------
    InputError
        If the table as a whole cannot be read, lacks a column, or holds no
        usable row.
    """
    path = os.fspath(path)
    obsids: dict[tuple[str, str], _Obsid] = {}
    first_place: dict[tuple, str] = {}
    faults: list[Fault] = []
    accepted = 0
    with _no_collection():
        source, entries, notes = _entries(path, given or Given())
        for row, entry in entries:
            try:
                if isinstance(entry, RowError):
                    raise entry
                place = f"{source.name}, {source.where(row)}"
                _accept(entry, place, obsids, first_place)
                accepted += 1
            except InputError as error:
                bundle = entry.bundle if isinstance(entry, _Entry) else None
                faults.append(fault(source, row, error, bundle))
        if not accepted:
            raise InputError(f"{path}: {nothing_in('bundle or aperture pair', faults)}")
        (out_dir := Path(out_dir)).mkdir(parents=True, exist_ok=True)
        files = []
        for (stack, obsid), content in obsids.items():
            file = out_dir / prep3_name(stack, obsid)
            bundles = content.bundles.values()
            write_prep3(
                file, stack, obsid, content.instrument, bundles, content.exposure, content.info
            )
            files.append(file)
    return ImportReport(accepted, files, faults, [*notes, *_parts_of_stacks(obsids)])


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which would walk the growing rows again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def nothing_in(what: str, faults: list[Fault]) -> str:
    """Why a table of which no row is left is refused."""
    if not faults:
        return f"no {what} in it; check that it is the right table"
    return f"no usable {what}, {len(faults)} rejected, the first: {faults[0].message}"


def _entries(
    path: str, given: Given
) -> tuple[CatalogTable, Iterable[tuple[int, _Entry | RowError]], list[str]]:
    """The table, its rows in their order, and notes about its columns."""
    if not is_json(path, file_bytes(path, 1)):
        source = read_table(path, suits(given, REQUIRED))
        counts = find_counts(source, given, REQUIRED, NAMES)
        notes = counts.layout.notes(source.table.colnames, of_jobs=True)
        return source, _pairs(counts), [*source.notes, *notes]
    found = list(json_lines(file_bytes(path)))
    source = CatalogTable(path, Table(), np.array([line for line, _ in found]), path=path)
    entries: dict[int, _Entry | RowError] = {}
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


def _bundle(record: dict, given: Given) -> _Entry:
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
    if unknown := [q for q in matrices if q not in QUANTITIES]:
        raise RowError(
            f"column F: quantity {unknown[0]!r}, expected one of {', '.join(QUANTITIES)}"
        )
    F = {q: array(value, f"F, {q}") for q, value in matrices.items()}
    counts = array(get(record, "counts"), "counts")
    _check(counts, F, len(names))
    if counts.max() > MAX_COUNTS:
        raise unexpected("counts", counts.max(), "at most 2^53")
    info = [{} for _ in names]
    for key in ("ra", "dec"):
        if key in record:
            positions = array(record[key], key)
            if positions.shape != (len(names),):
                raise RowError(f"column {key}: expected {len(names)} numbers, one per component")
            for own, position in zip(info, positions.tolist()):
                own[key] = position
    exposure = number(record, "exposure_s") if record.get("exposure_s") is not None else None
    place = [text(record, name) for name in ("stack", "obsid", "instrument", "band", "aperture")]
    bundle = text(record, "bundle")
    return _Entry(*place, exposure, bundle, names, counts.astype(np.int64), F, info)


def _pairs(counts: Counts) -> Iterator[tuple[int, _Entry | RowError]]:
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
    with np.errstate(over="ignore"):
        for quantity in QUANTITIES.values():
            exposures = counts.exposures(quantity.name)
            if exposures is not None:
                matrices[quantity.name] = plainly * exposures[:, :, None]
                is_there[quantity.name] = ~np.isnan(exposures[:, 0])
    for q, F in matrices.items():
        for pair in np.flatnonzero(is_there[q] & ~are_sensible(C, F)).tolist():
            if pair not in counts.problems:
                try:
                    _check(C[pair], {q: F[pair]}, 1)
                except RowError as error:
                    counts.problems[pair] = error
    has = {q: there.tolist() for q, there in is_there.items()}
    exposure_s = numbers.get("exposure_s", np.full(len(counts), np.nan)).tolist()
    stacks = names.get("stack", names["obsid"])
    for pair, row in enumerate(counts.rows.tolist()):
        if pair in counts.problems:
            yield row, counts.problems[pair]
            continue
        component = names["component"][pair]
        yield (
            row,
            _Entry(
                stacks[pair],
                *(names[name][pair] for name in ("obsid", "instrument", "band", "aperture")),
                None if math.isnan(exposure_s[pair]) else exposure_s[pair],
                component,
                (component,),
                C[pair].astype(np.int64),
                {q: F[pair] for q, F in matrices.items() if has[q][pair]},
                [{name: values[row] for name, values in other.items()}],
            ),
        )


def _check(counts: np.ndarray, F: dict[str, np.ndarray], n: int) -> None:
    """As `check_matrices` for every quantity."""
    for quantity, matrix in F.items():
        try:
            check_matrices(counts, matrix, n)
        except InputError as error:
            raise RowError(f"{quantity}: {error}; correct it", f"{quantity}: no sense") from None


def _accept(entry: _Entry, place: str, obsids: dict, first_place: dict) -> None:
    """Add an entry to its obsid, or raise InputError and leave all as it was."""
    stack, obsid, instrument, band, aperture, exposure, name, components, counts, F, info = entry
    choice(instrument, "instrument", INSTRUMENT_BANDS)
    choice(band, "band", INSTRUMENT_BANDS[instrument])
    choice(aperture, "aperture", APERTURES)
    if problem := target_problem(stack, obsid, name):
        raise RowError(problem, "long target")
    if len(set(components)) < len(components) or BACKGROUND in components:
        raise RowError(
            f"column components: {list(components)}, expected different names, none of them "
            f"{BACKGROUND!r}",
            "components of one name",
        )
    known = obsids.get((stack, obsid)) or _Obsid(instrument)
    if known.instrument != instrument:
        raise RowError(f"column instrument: {instrument}, but {known.instrument} in earlier rows")
    if None not in (exposure, known.exposure) and exposure != known.exposure:
        raise RowError(
            f"column exposure_s: {exposure}, but {known.exposure} in earlier rows", "exposure_s"
        )
    if earlier := first_place.get((stack, obsid, name, band, aperture)):
        raise RowError(
            f"bundle {name}, band {band}, {aperture} is already in {earlier}; keep one", "again"
        )
    bundle = known.bundles.get(name)
    if bundle is not None and bundle.components != components:
        raise RowError(
            f"column components: {list(components)}, but {list(bundle.components)} in earlier rows "
            f"of bundle {name}",
            "other components",
        )
    elsewhere = [c for c in components if known.bundle_of.get(c, name) != name]
    if elsewhere:
        raise RowError(
            f"column components: {elsewhere[0]} is in bundle {known.bundle_of[elsewhere[0]]} in "
            "earlier rows",
            "another bundle",
        )
    if bundle is None:
        bundle = Bundle(ObsidBundle(stack, obsid, name), instrument, components, {}, {})
        known.bundles[name] = bundle
    bundle.counts[band, aperture] = counts
    bundle.F.update({Matrix(band, aperture, quantity): matrix for quantity, matrix in F.items()})
    known.quantities.add(tuple(F))
    known.bundle_of.update(dict.fromkeys(components, name))
    known.exposure = known.exposure if exposure is None else exposure
    known.info += [(name, c, band, aperture, own) for c, own in zip(components, info)]
    obsids[stack, obsid] = known
    first_place[stack, obsid, name, band, aperture] = place


def _parts_of_stacks(obsids: dict[tuple[str, str], _Obsid]) -> list[str]:
    """Quantities that only some observations of a stack have: its result is of these alone."""
    if len(set.union(*(content.quantities for content in obsids.values()))) == 1:
        return []
    n_obsids = Counter(stack for stack, _ in obsids)
    seen: dict[tuple, dict[str, set[str]]] = {}
    for (stack, obsid), content in obsids.items():
        for name, bundle in content.bundles.items() if n_obsids[stack] > 1 else ():
            for band, aperture, quantity in bundle.F:
                own = seen.setdefault((stack, name, band, aperture), {})
                own.setdefault(obsid, set()).add(quantity)
    partial: dict[str, list[str]] = {}
    for (stack, name, band, aperture), own in seen.items():
        for quantity in set.union(*own.values()):
            if lacking := [obsid for obsid, has in own.items() if quantity not in has]:
                where = f"stack {stack}, {name}, band {band}, {aperture}: obsid {lacking[0]}"
                partial.setdefault(quantity, []).append(where)
    return [
        f"{quantity}: {len(where)} results of stacks will lack observations that have no "
        f"{QUANTITIES[quantity].exposure_column or 'F'}; the first: {where[0]}"
        for quantity, where in sorted(partial.items())
    ]
