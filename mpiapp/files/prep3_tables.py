"""The two kinds of tables in a prep3 file, source properties and PSF extensions, checked.

What is wrong with one bundle is noted and the bundle left out, so that its
neighbours can still be measured; what is wrong with a table raises InputError.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..catalog.bundle import InputError, check_matrices
from ..catalog.names import decode_name
from ..catalog.quantities import APERTURES, INSTRUMENT_BANDS, QUANTITIES
from .fitsio import HDU, Rejection, read_columns, read_heap

BACKGROUND = "background"
# Larger whole numbers cannot be told from their neighbours in double precision.
MAX_COUNTS = 2**53


class Matrix(NamedTuple):
    """Which matrix of a bundle."""

    quantity: str
    band: str
    aperture: str


@dataclass(frozen=True, eq=False)
class Properties:
    """Components of a bundle and its counts by (band, aperture), background last."""

    components: tuple[str, ...]
    counts: dict[tuple[str, str], np.ndarray]


def read_source_properties(
    hdu: HDU, instrument: str, rejected: list[Rejection]
) -> dict[str, Properties]:
    """Components and counts of every usable bundle, in the order of the file.

    A block is the consecutive rows of one bundle, band and aperture.  A block
    that makes no sense costs the bundle this band and aperture; blocks that
    contradict each other cost the bundle.
    """
    text = ("bundle", "band", "aperture", "component")
    columns = read_columns(hdu, {**dict.fromkeys(text, "text"), "counts": "number"})
    counts, usable = _whole_numbers(columns["counts"])
    names = columns["component"].tolist()
    edges = _block_edges([columns[name] for name in text[:3]])
    blocks: dict[str, dict[tuple[str, str], slice]] = defaultdict(dict)
    components: dict[str, list[bytes]] = {}
    broken: set[str] = set()

    def reject(row: int, bundle: str, what: str, band=None, aperture=None) -> None:
        message = f"{hdu.place}, row {row + 1}, bundle {bundle}: {what}"
        rejected.append(Rejection(message, bundle, band, aperture))
        if band is None:
            broken.add(bundle)

    starts = edges[:-1]
    labels = zip(*(map(decode_name, columns[name][starts].tolist()) for name in text[:3]))
    for (start, stop), (bundle, band, aperture) in zip(pairwise(edges), labels):
        block = names[start:stop]
        problem = _block_problem(bundle, band, aperture, block, instrument)
        costs = (band, aperture)
        if problem is None and costs in blocks[bundle]:
            problem, costs = "the bundle has these rows a second time", ()
        elif problem is None and components.setdefault(bundle, block) != block:
            problem = "column component: not the names, in the order, of the bundle's first rows"
            costs = ()
        if problem is None:
            blocks[bundle][band, aperture] = slice(start, stop)
        else:
            where = f"rows {start + 1} to {stop} (band {band}, {aperture})"
            reject(start, bundle, f"{problem} in {where}; correct them", *costs)
    result = {}
    all_usable = bool(usable.all())
    for bundle, rows_of in blocks.items():
        if bundle in broken or not rows_of:
            continue
        good = {}
        for (band, aperture), rows in rows_of.items():
            if all_usable or usable[rows].all():
                good[band, aperture] = counts[rows]
                continue
            row = rows.start + int(np.flatnonzero(~usable[rows])[0])
            what = (
                f"column counts is {columns['counts'][row]}, expected a whole number from 0 to "
                f"2^53 of raw counts (band {band}, {aperture}); correct it"
            )
            reject(row, bundle, what, band, aperture)
        result[bundle] = Properties(tuple(map(decode_name, components[bundle][:-1])), good)
    return result


def _whole_numbers(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts as int64, and where they are counts at all."""
    with np.errstate(invalid="ignore"):
        usable = (raw >= 0) & (raw <= MAX_COUNTS)
    counts = np.where(usable, raw, 0).astype(np.int64)
    return counts, usable & (counts == raw)


def _block_edges(columns: list[np.ndarray]) -> list[int]:
    """Row numbers where any of the columns changes, and both ends."""
    n_rows = len(columns[0])
    if n_rows == 0:
        return [0]
    new = np.ones(n_rows + 1, dtype=bool)
    new[1:-1] = False
    for column in columns:
        new[1:-1] |= column[1:] != column[:-1]
    return np.flatnonzero(new).tolist()


def _block_problem(
    bundle: str, band: str, aperture: str, block: list[bytes], instrument: str
) -> str | None:
    if not bundle:
        return "column bundle: no name"
    if band not in INSTRUMENT_BANDS[instrument]:
        bands = ", ".join(INSTRUMENT_BANDS[instrument])
        return f"column band: {band!r}, expected one of {bands} for {instrument}"
    if aperture not in APERTURES:
        return f"column aperture: {aperture!r}, expected one of {', '.join(APERTURES)}"
    if block[-1] != BACKGROUND.encode() or len(block) == 1:
        return f"column component: expected sources and then {BACKGROUND!r}"
    if len(set(block)) < len(block):
        return "column component: the same name twice"
    if b"" in block:
        return "column component: no name"
    return None


def is_psf(hdu: HDU) -> bool:
    """Whether the HDU holds matrices."""
    return hdu.name.startswith("PSF_")


def matrix_kind(hdu: HDU, instrument: str, known: Collection[Matrix]) -> Matrix:
    """Which matrices a PSF extension holds; InputError if it cannot be used."""
    kind = Matrix(*(hdu.text(field.upper()) for field in Matrix._fields))
    allowed = (tuple(QUANTITIES), INSTRUMENT_BANDS[instrument], APERTURES)
    for keyword, value, expected in zip(Matrix._fields, kind, allowed):
        if value not in expected:
            raise InputError(
                f"{hdu.place}: keyword {keyword.upper()} is {value!r}, expected one of "
                f"{', '.join(expected)} for {instrument}"
            )
    if kind in known:
        raise InputError(
            f"{hdu.place}: a second extension for {kind.quantity}, band {kind.band}, "
            f"{kind.aperture}, not used; keep one"
        )
    return kind


def without_matrix(
    path: str, properties: dict[str, Properties], named: Collection[str]
) -> list[Rejection]:
    """Bundles of the source properties that no PSF extension names."""
    return [
        Rejection(
            f"{path}, bundle {bundle}: in the source properties but in no PSF extension; add its "
            "matrices or remove its counts",
            bundle,
        )
        for bundle in properties
        if bundle not in named
    ]


def psf_rejection(hdu: HDU, error: InputError) -> Rejection:
    """A whole PSF extension that cannot be used."""
    quantity, band, aperture = (hdu.header.get(f.upper()) for f in Matrix._fields)
    return Rejection(str(error), None, band, aperture, quantity)


def read_psf(
    hdu: HDU,
    kind: Matrix,
    properties: dict[str, Properties],
    wanted: Collection[str] | None,
    rejected: list[Rejection],
) -> dict[str, np.ndarray]:
    """The usable matrices (n + 1, n + 1) of a PSF extension by bundle.

    A bundle without a row is not measured in this quantity, band and aperture.
    """
    columns = read_columns(hdu, {"bundle": "text", "n": "number", "F": "array"})
    names = list(map(decode_name, columns["bundle"].tolist()))
    heap = read_heap(hdu)
    repeated = {name for name, times in Counter(names).items() if times > 1}
    known_bad = {r.bundle for r in rejected if r.band is None}
    cell = (kind.band, kind.aperture)
    rows: list[tuple[int, str]] = []
    pieces: list[bytes] = []

    def reject(row: int, bundle: str, what: str) -> None:
        message = f"{hdu.place}, row {row + 1}, bundle {bundle}: {what}"
        rejected.append(Rejection(message, bundle, kind.band, kind.aperture, kind.quantity))

    cells = zip(names, columns["n"].tolist(), columns["F"].tolist())
    for row, (name, n, (length, offset)) in enumerate(cells):
        if (wanted is not None and name not in wanted) or name in known_bad:
            continue
        group = properties.get(name)
        if group is None:
            reject(row, name, "column bundle: not in the source properties; add its counts")
        elif cell not in group.counts:
            reject(row, name, "column bundle: no usable counts for it in the source properties")
        elif name in repeated:
            reject(row, name, "column bundle: the bundle has several rows; keep one")
        elif n != len(group.components):
            expected = len(group.components)
            reject(row, name, f"column n is {n}, expected {expected} as in the source properties")
        elif length != (n + 1) ** 2:
            reject(row, name, f"column F has {length} values, expected {(n + 1) ** 2} for n = {n}")
        elif offset < 0 or offset + 8 * length > len(heap):
            reject(row, name, "column F points outside the file's data; write the file again")
        else:
            rows.append((row, name))
            pieces.append(heap[offset : offset + 8 * length])
    if not rows:
        return {}
    return dict(_checked(rows, pieces, [properties[name] for _, name in rows], cell, reject))


def _checked(rows, pieces, groups, cell, reject):
    """Bundle and matrix of each row that can be used; all are tested at once.

    Only a suspect is looked at by itself, for the message.
    """
    values = np.frombuffer(b"".join(pieces), dtype=">f8").astype(np.float64)
    sizes = np.array([len(group.components) + 1 for group in groups])
    stops = np.cumsum(sizes**2)
    starts = stops - sizes**2
    row_sizes = np.repeat(sizes, sizes)
    row_starts = np.cumsum(row_sizes) - row_sizes
    counts = np.concatenate([group.counts[cell] for group in groups])
    valid = np.isfinite(values) & (values >= 0)
    empty = ~np.logical_or.reduceat(values != 0, row_starts) & (counts > 0)
    suspect = ~np.logical_and.reduceat(valid, starts) | (values[stops - 1] == 0)
    suspect |= np.logical_or.reduceat(empty, np.cumsum(sizes) - sizes)
    spans = zip(starts.tolist(), stops.tolist(), sizes.tolist(), suspect.tolist())
    for (row, name), group, (start, stop, size, doubtful) in zip(rows, groups, spans):
        F = values[start:stop].reshape(size, size)
        if doubtful:
            try:
                check_matrices(group.counts[cell], F, size - 1)
            except InputError as error:
                reject(row, name, f"column F: {error}; correct the matrix")
                continue
        yield name, F
