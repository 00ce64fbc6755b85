"""Flat tables of counts and PSF fractions, or JSON lines of matrices, to prep3 files.

A row that cannot be used is rejected with its reason, and the others are imported.
"""

from __future__ import annotations

import gc
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..catalog.bundle import Bundle, ObsidBundle
from ..catalog.fault import Fault, InputError
from ..catalog.instruments import band_problem, instrument_problem
from ..catalog.names import target_problem
from ..catalog.quantities import APERTURES, MODEL_FLUXES, QUANTITIES, Matrix
from .aperture_counts import fault
from .column_map import Given
from .fields import RowError, choice
from .prep3 import prep3_name
from .prep3_tables import BACKGROUND
from .prep3_write import write_prep3
from .source_info import InfoRow
from .table_entries import Entry, entries_of


@dataclass(frozen=True)
class ImportReport:
    """Report of an import: rows taken and rejected, files written, quantities found."""

    accepted: int
    files: list[Path]
    faults: list[Fault]
    notes: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Obsid:
    """The accepted rows of one obsid."""

    instrument: str
    exposure: float | None = None
    mjd: float | None = None
    bundles: dict[str, Bundle] = field(default_factory=dict)
    bundle_of: dict[str, str] = field(default_factory=dict)
    info: list[InfoRow] = field(default_factory=list)
    quantities: set[tuple[str, ...]] = field(default_factory=set)
    models: dict[str, list[Matrix]] = field(default_factory=lambda: defaultdict(list))


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
        source, entries, notes = entries_of(path, given or Given())
        for row, entry in entries:
            try:
                if isinstance(entry, RowError):
                    raise entry
                place = f"{source.name}, {source.where(row)}"
                _accept(entry, place, obsids, first_place)
                accepted += 1
            except InputError as error:
                bundle = entry.bundle if isinstance(entry, Entry) else None
                faults.append(fault(source, row, error, bundle))
        if not accepted:
            raise InputError(f"{path}: {nothing_in('bundle or aperture pair', faults)}")
        (out_dir := Path(out_dir)).mkdir(parents=True, exist_ok=True)
        files = []
        for (stack, obsid), content in obsids.items():
            file = out_dir / prep3_name(stack, obsid)
            bundles = content.bundles.values()
            write_prep3(
                file,
                stack,
                obsid,
                content.instrument,
                bundles,
                content.exposure,
                content.info,
                content.mjd,
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


def _accept(entry: Entry, place: str, obsids: dict, first_place: dict) -> None:
    """Add an entry to its obsid, or raise InputError and leave all as it was."""
    stack, obsid, instrument, band, aperture, exposure, mjd, name, components, counts, F, info = (
        entry
    )
    if problem := instrument_problem(instrument):
        raise RowError(f"column instrument: {instrument!r} {problem}; correct it", "instrument")
    if problem := band_problem(band, instrument):
        raise RowError(f"column band: {band!r} {problem}; correct it", "band")
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
    for own, new, old in (("exposure_s", exposure, known.exposure), ("mjd", mjd, known.mjd)):
        if None not in (new, old) and new != old:
            raise RowError(f"column {own}: {new}, but {old} in earlier rows", own)
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
    models = [
        q.name
        for q in MODEL_FLUXES.values()
        if "rate" in F and all(own.get(q.conversion, math.nan) > 0 for own in info)
    ]
    known.models[name] += [Matrix(band, aperture, model) for model in models]
    known.quantities.add((*F, *models))
    known.bundle_of.update(dict.fromkeys(components, name))
    known.exposure = known.exposure if exposure is None else exposure
    known.mjd = known.mjd if mjd is None else mjd
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
            for band, aperture, quantity in (*bundle.F, *content.models[name]):
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
        f"{of.conversion or of.exposure_column or 'F'}; the first: {where[0]}"
        for quantity, where in sorted(partial.items())
        for of in [QUANTITIES[quantity]]
    ]
