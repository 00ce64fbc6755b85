"""Flat tables of counts and PSF fractions, or JSON lines of matrices, to prep3 and mst3 files.

docs/files.md describes the columns.  A row that cannot be used is rejected
with its reason and the others are imported.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..catalog.bundle import Bundle, ObsidBundle, check_matrices
from ..catalog.fault import Fault, InputError
from ..catalog.masters import Blocks, Links, associate, names_array
from ..catalog.names import target_problem
from ..catalog.quantities import APERTURES, INSTRUMENT_BANDS, QUANTITIES, Matrix
from .layouts import OWN, Given, find_layout
from .mst3 import write_mst3_tables
from .prep3 import prep3_name
from .prep3_tables import BACKGROUND, MAX_COUNTS
from .prep3_write import write_prep3
from .records import Columns, array, choice, get, number, records, text, whole, with_columns
from .source_info import InfoRow

_FORMATS = frozenset({*OWN, "bundle", "components", "counts", "F"})
LINK_COLUMNS = ("master", "match_type", "stack", "component")
_EXPOSURES = [
    (q.name, q.exposure_column, f"{q.exposure_column}_bkg")
    for q in QUANTITIES.values()
    if q.exposure_column
]
BLOCK_COLUMNS = ("master", "block", "stack", "obsid")


@dataclass(frozen=True)
class ImportReport:
    """What an import did: rows taken, files written, what was rejected, what will be measured."""

    accepted: int
    files: list[Path]
    faults: list[Fault]
    notes: list[str] = field(default_factory=list)


@dataclass(eq=False)
class _Obsid:
    """What has been accepted of one obsid."""

    instrument: str
    exposure: float | None = None
    bundles: dict[str, Bundle] = field(default_factory=dict)
    bundle_of: dict[str, str] = field(default_factory=dict)
    info: list[InfoRow] = field(default_factory=list)


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
    obsids: dict[tuple[str, str], _Obsid] = {}
    first_place: dict[tuple, str] = {}
    faults: list[Fault] = []
    notes: list[str] = []
    accepted = 0

    def arrange(columns: Columns):
        layout = find_layout(path, *columns, given or Given())
        notes.extend(layout.notes())
        return layout.records

    with _no_collection():
        for place, record in records(path, arrange):
            try:
                _accept(record, place, obsids, first_place)
                accepted += 1
            except InputError as error:
                bundle = record.get("bundle", record.get("component")) if record else None
                faults.append(Fault(f"{place}: {error}", str(path), bundle=bundle and str(bundle)))
        if not accepted:
            raise InputError(f"{path}: {_nothing('bundle or aperture pair', faults)}")
        out_dir = Path(out_dir)
        out_dir.mkdir(parents=True, exist_ok=True)
        files = []
        for (stack, obsid), content in obsids.items():
            file = out_dir / prep3_name(stack, obsid)
            bundles = content.bundles.values()
            write_prep3(
                file, stack, obsid, content.instrument, bundles, content.exposure, content.info
            )
            files.append(file)
    return ImportReport(accepted, files, faults, notes)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the garbage collector, which would look at what rows become again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_associations(
    path: str | os.PathLike, out: str | os.PathLike, blocks: str | os.PathLike | None = None
) -> ImportReport:
    """Write an mst3 file from a table of associations and, if given, one of blocks.

    Raises InputError as `import_table` does.  A row that cannot be used costs
    its master source: its other rows are left out as well.
    """
    faults: list[Fault] = []
    spoiled: set[str] = set()

    def rows(path, required, parse: Callable[[dict], tuple]) -> Iterator[tuple]:
        for place, record in records(path, with_columns(path, required)):
            try:
                yield place, *parse(record)
            except InputError as error:
                master = record.get("master") if record else None
                faults.append(Fault(f"{place}: {error}", str(path), master=master and str(master)))
                spoiled.add(str(master))

    link_rows = list(rows(path, LINK_COLUMNS, _link))
    block_rows = list(rows(blocks, BLOCK_COLUMNS, _block)) if blocks is not None else []
    links = Links(*(names_array([r[i] for r in link_rows]) for i in range(1, 5)))
    block_table = Blocks(
        names_array([r[1] for r in block_rows]),
        np.array([r[2] for r in block_rows], dtype=np.int64),
        names_array([r[3] for r in block_rows]),
        names_array([r[4] for r in block_rows]),
        np.array([r[5] for r in block_rows], dtype=np.float64),
    )
    for conflict in associate(links, block_table)[1]:
        is_link = conflict.table == "links"
        place = (link_rows if is_link else block_rows)[conflict.row][0]
        message = f"{place}: column {conflict.column}, master {conflict.master}: {conflict.message}"
        faults.append(Fault(message, str(path if is_link else blocks), master=conflict.master))
        spoiled.add(conflict.master)
    keep = [
        np.array([r[1] not in spoiled for r in table], dtype=bool)
        for table in (link_rows, block_rows)
    ]
    if not keep[0].any():
        raise InputError(f"{path}: {_nothing('association', faults)}")
    kept = [
        type(table)(*(column[mask] for column in vars(table).values()))
        for table, mask in zip((links, block_table), keep)
    ]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_mst3_tables(out, *kept)
    return ImportReport(int(sum(mask.sum() for mask in keep)), [out], faults)


def _nothing(what: str, faults: list[Fault]) -> str:
    if not faults:
        return f"no {what} in it; check that it is the right table"
    return f"no usable {what}, {len(faults)} rejected, the first: {faults[0].message}"


def _bundle_record(record: dict) -> tuple[str, tuple[str, ...], np.ndarray, dict]:
    """Format 1: bundle, components, counts and F by quantity."""
    names = record["components"]
    if not isinstance(names, list) or not names:
        raise InputError("column components: expected a list of names; correct it")
    names = tuple(text({"components": name}, "components") for name in names)
    matrices = get(record, "F")
    if not isinstance(matrices, dict) or not matrices:
        raise InputError("column F: expected matrices by quantity; correct it")
    unknown = [q for q in matrices if q not in QUANTITIES]
    if unknown:
        raise InputError(
            f"column F: quantity {unknown[0]!r}, expected one of {', '.join(QUANTITIES)}"
        )
    F = {q: array(value, f"F, {q}") for q, value in matrices.items()}
    counts = array(get(record, "counts"), "counts")
    _check(counts, F, len(names))
    if counts.max() > MAX_COUNTS:
        raise InputError(f"column counts: {counts.max()}, expected at most 2^53; correct it")
    return text(record, "bundle"), names, counts.astype(np.int64), F


def _pair_record(record: dict) -> tuple[str, tuple[str, ...], np.ndarray, dict]:
    """Format 2: the same for a single source, F from PSF fractions, areas and exposure (Eq. 1)."""
    component = text(record, "component")
    counts = [whole(record, name) for name in ("cnts", "cnts_bkg")]
    f, g = (number(record, name) for name in ("psf_frac", "psf_frac_bkg"))
    for name, fraction in (("psf_frac", f), ("psf_frac_bkg", g)):
        if fraction > 1:
            raise InputError(f"column {name}: {record[name]!r}, expected a fraction up to 1")
    area, area_bkg = number(record, "area"), number(record, "area_bkg", positive=True)
    rows = {"cnts": ((f, area), (g, area_bkg))}
    for quantity, exposure, exposure_bkg in _EXPOSURES:
        if exposure in record:
            E = E_bkg = number(record, exposure, positive=True)
            if exposure_bkg in record:
                E_bkg = number(record, exposure_bkg, positive=True)
            rows[quantity] = ((f * E, area * E), (g * E_bkg, area_bkg * E_bkg))
    counts, F = np.array(counts, dtype=np.int64), dict(zip(rows, np.array(list(rows.values()))))
    # Numbers of 0 and more in an aperture that sees something can only overflow.
    largest = max([max(m[0] + m[1]) for m in rows.values()])
    if not (largest < math.inf and area > 0 and min([m[1][1] for m in rows.values()]) > 0):
        _check(counts, F, 1)
    return component, (component,), counts, F


def _check(counts: np.ndarray, F: dict[str, np.ndarray], n: int) -> None:
    """As `check_matrices` for every quantity."""
    for quantity, matrix in F.items():
        try:
            check_matrices(counts, matrix, n)
        except InputError as error:
            raise InputError(f"{quantity}: {error}; correct it") from None


def _accept(record: dict, place: str, obsids: dict, first_place: dict) -> None:
    """Add a record to its obsid, or raise InputError and leave all as it was."""
    if not record:
        raise InputError(
            "not a row with as many fields as columns, or not a JSON object; correct it"
        )
    stack, obsid = text(record, "stack"), text(record, "obsid")
    instrument = choice(record, "instrument", INSTRUMENT_BANDS)
    band = choice(record, "band", INSTRUMENT_BANDS[instrument])
    aperture = choice(record, "aperture", APERTURES)
    exposure = number(record, "exposure_s") if record.get("exposure_s") is not None else None
    parse = _bundle_record if "components" in record else _pair_record
    name, components, counts, F = parse(record)
    if problem := target_problem(stack, obsid, name):
        raise InputError(problem)
    if len(set(components)) < len(components) or BACKGROUND in components:
        raise InputError(
            f"column components: {list(components)}, expected different names, none of them "
            f"{BACKGROUND!r}"
        )

    known = obsids.get((stack, obsid)) or _Obsid(instrument)
    if known.instrument != instrument:
        raise InputError(f"column instrument: {instrument}, but {known.instrument} in earlier rows")
    if None not in (exposure, known.exposure) and exposure != known.exposure:
        raise InputError(f"column exposure_s: {exposure}, but {known.exposure} in earlier rows")
    earlier = first_place.get((stack, obsid, name, band, aperture))
    if earlier:
        raise InputError(
            f"bundle {name}, band {band}, {aperture} is already in {earlier}; keep one"
        )
    bundle = known.bundles.get(name)
    if bundle is not None and bundle.components != components:
        raise InputError(
            f"column components: {list(components)}, but {list(bundle.components)} in earlier rows "
            f"of bundle {name}"
        )
    elsewhere = [c for c in components if known.bundle_of.get(c, name) != name]
    if elsewhere:
        raise InputError(
            f"column components: {elsewhere[0]} is in bundle {known.bundle_of[elsewhere[0]]} in "
            "earlier rows"
        )
    if bundle is None:
        bundle = Bundle(ObsidBundle(stack, obsid, name), instrument, components, {}, {})
        known.bundles[name] = bundle
    bundle.counts[band, aperture] = counts
    bundle.F.update({Matrix(band, aperture, quantity): matrix for quantity, matrix in F.items()})
    known.bundle_of.update(dict.fromkeys(components, name))
    known.exposure = known.exposure if exposure is None else exposure
    if len(components) == 1:
        others = {k: v for k, v in record.items() if k not in _FORMATS}
        known.info.append((name, components[0], band, aperture, others))
    obsids[stack, obsid] = known
    first_place[stack, obsid, name, band, aperture] = place


def _link(record: dict) -> tuple[str, str, str, str]:
    kind = choice(record, "match_type", ("u", "a", "n"))
    component = text(record, "component") if record.get("component") else ""
    return text(record, "master"), kind, text(record, "stack"), component


def _block(record: dict) -> tuple[str, int, str, str, float]:
    exposure = record.get("exposure")
    given = not (exposure is None or (isinstance(exposure, float) and math.isnan(exposure)))
    return (
        text(record, "master"),
        whole(record, "block"),
        text(record, "stack"),
        text(record, "obsid"),
        number(record, "exposure") if given else math.nan,
    )
