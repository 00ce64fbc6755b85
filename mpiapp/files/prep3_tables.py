"""The two kinds of tables in a prep3 file, source properties and PSF extensions, checked.

What is wrong with one bundle is noted and the bundle left out, so that its
neighbours can still be measured; what is wrong with a table raises InputError.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..catalog.bundle import check_matrices
from ..catalog.fault import Fault, InputError
from ..catalog.names import name_problem, target_problem
from ..catalog.quantities import APERTURES, INSTRUMENT_BANDS, QUANTITIES, Matrix
from .fitsio import HDU, RowArrays

BACKGROUND = "background"
# Larger whole numbers cannot be told from their neighbours in double precision.
MAX_COUNTS = 2**53


class Properties(NamedTuple):
    """Components of a bundle and its counts by (band, aperture), background last."""

    components: tuple[str, ...]
    counts: dict[tuple[str, str], np.ndarray]


class Prep3Header(NamedTuple):
    """Where a prep3 file is and whose it is; exposure in s, None where the file does not say."""

    path: str
    stack: str
    obsid: str
    instrument: str
    exposure: float | None


def read_source_properties(
    hdu: HDU, header: Prep3Header, faults: list[Fault]
) -> dict[str, Properties]:
    """Components and counts of every usable bundle, in the order of the file.

    A block is the consecutive rows of one bundle, band and aperture.  A block
    that makes no sense costs the bundle this band and aperture; blocks that
    contradict each other cost the bundle.
    """
    text = ("bundle", "band", "aperture", "component")
    columns = hdu.columns({**dict.fromkeys(text, "text"), "counts": "number"})
    counts, usable = _whole_numbers(columns["counts"])
    names = _decoded(columns["component"])
    edges = _block_edges([columns[name] for name in text[:3]])
    blocks: dict[str, dict[tuple[str, str], slice]] = defaultdict(dict)
    components: dict[str, list[str]] = {}
    broken: set[str] = set()  # bundles that cannot be used at all

    def reject(row: int, bundle: str, what: str, band=None, aperture=None) -> None:
        message = f"{hdu.place}, row {row + 1}, bundle {bundle}: {what}"
        faults.append(Fault(message, header.path, "", bundle, band, aperture))
        if band is None:
            broken.add(bundle)

    starts = edges[:-1]
    labels = zip(*(_decoded(columns[name][starts]) for name in text[:3]))
    for (start, stop), (bundle, band, aperture) in zip(pairwise(edges), labels):
        block = names[start:stop]
        problem = _block_problem(bundle, band, aperture, block, header.instrument)
        costs = (band, aperture)
        too_long = target_problem(header.stack, header.obsid, bundle)
        if problem is None and too_long:
            problem, costs = too_long, ()
        elif problem is None and costs in blocks[bundle]:
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
        result[bundle] = Properties(tuple(components[bundle][:-1]), good)
    return result


def _decoded(names: np.ndarray) -> list[str]:
    """Names from a FITS file; bytes that are not ASCII stay visible, as escapes."""
    return [name.decode("ascii", "backslashreplace") for name in names.tolist()]


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
    bundle: str, band: str, aperture: str, block: list[str], instrument: str
) -> str | None:
    for column, name in (("bundle", bundle), *(("component", name) for name in block)):
        if problem := name_problem(name):
            return f"column {column}: the name {name!r} {problem}"
    if band not in INSTRUMENT_BANDS[instrument]:
        bands = ", ".join(INSTRUMENT_BANDS[instrument])
        return f"column band: {band!r}, expected one of {bands} for {instrument}"
    if aperture not in APERTURES:
        return f"column aperture: {aperture!r}, expected one of {', '.join(APERTURES)}"
    if block[-1] != BACKGROUND or len(block) == 1:
        return f"column component: expected sources and then {BACKGROUND!r}"
    if len(set(block)) < len(block):
        return "column component: the same name twice"
    return None


def is_psf(hdu: HDU) -> bool:
    """Whether the HDU holds matrices."""
    return hdu.name.startswith("PSF_")


class _Extension(NamedTuple):
    """A PSF extension: row of each bundle, its number of components and its matrix."""

    place: str
    rows: dict[str, int]
    n: list[float]
    F: RowArrays


class Matrices(Mapping[Matrix, np.ndarray]):
    """The matrices (n + 1, n + 1) of one bundle, each read and checked when it is asked for.

    Asking for one raises InputError if it cannot be used, KeyError if the
    bundle is not measured in this quantity, band and aperture.
    """

    def __init__(self, bundle: str, properties: Properties, extensions: dict[Matrix, _Extension]):
        self._bundle, self._properties, self.extensions = bundle, properties, extensions

    def __contains__(self, matrix: object) -> bool:
        return matrix in self.extensions and self._bundle in self.extensions[matrix].rows

    def __iter__(self) -> Iterator[Matrix]:
        return filter(self.__contains__, self.extensions)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, matrix: Matrix) -> np.ndarray:
        extension = self.extensions[matrix]
        row = extension.rows[self._bundle]
        try:
            return _checked(extension.n[row], extension.F, row, self._properties, matrix)
        except InputError as error:
            place = f"{extension.place}, row {row + 1}, bundle {self._bundle}"
            raise InputError(f"{place}: {error}") from None


def open_matrices(
    hdus: Iterator[HDU],
    path: str,
    instrument: str,
    properties: dict[str, Properties],
    faults: list[Fault],
) -> dict[str, Matrices]:
    """The matrices of every bundle, from the PSF extensions among the HDUs."""
    extensions: dict[Matrix, _Extension] = {}
    broken = {fault.bundle for fault in faults if fault.band is None}
    # Most extensions list the same bundles: one index serves them all.
    shared: dict[tuple[int, bytes], tuple[dict[str, int], list[tuple[int, str, str]]]] = {}
    wanted = {"bundle": "text", "n": "number", "F": "array"}
    for hdu, matrix, columns in _extensions(hdus, path, instrument, wanted, faults):
        names = columns["bundle"]
        key = names.itemsize, names.tobytes()
        if key not in shared:
            shared[key] = _index(_decoded(names), properties, broken)
        rows, problems = shared[key]
        for row, name, problem in problems:
            message = f"{hdu.place}, row {row + 1}, bundle {name}: {problem}"
            faults.append(Fault(message, path, "", name, *matrix))
        extensions[matrix] = _Extension(hdu.place, rows, columns["n"].tolist(), columns["F"])
    named = set().union(*(rows for rows, _ in shared.values()))
    named |= {name for _, problems in shared.values() for _, name, _ in problems}
    faults += _without_matrix(path, properties, named)
    return {name: Matrices(name, group, extensions) for name, group in properties.items()}


def _index(
    names: list[str], properties: dict[str, Properties], broken: set[str]
) -> tuple[dict[str, int], list[tuple[int, str, str]]]:
    """The row of every bundle, and (row, bundle, problem) of rows that cannot be used."""
    rows, problems, times = {}, [], Counter(names)
    for row, name in enumerate(names):
        if name in broken:
            continue
        if times[name] > 1:
            problems.append((row, name, "column bundle: the bundle has several rows; keep one"))
        elif name not in properties:
            problem = "column bundle: not in the source properties; add its counts"
            problems.append((row, name, problem))
        else:
            rows[name] = row
    return rows, problems


def scan_matrices(
    hdus: Iterator[HDU],
    path: str,
    instrument: str,
    properties: dict[str, Properties],
    faults: list[Fault],
) -> dict[str, frozenset[Matrix]]:
    """For which matrices every bundle has a row in the PSF extensions among the HDUs."""
    listed: dict[tuple[int, bytes], tuple[frozenset[str], list[Matrix]]] = {}
    for _, matrix, columns in _extensions(hdus, path, instrument, {"bundle": "text"}, faults):
        # Most extensions list the same bundles: one set serves them all.
        names = columns["bundle"]
        key = names.itemsize, names.tobytes()
        if key not in listed:
            listed[key] = frozenset(_decoded(names)), []
        listed[key][1].append(matrix)
    faults += _without_matrix(path, properties, frozenset().union(*(n for n, _ in listed.values())))
    found = dict.fromkeys(properties, frozenset())
    shared: dict[frozenset, frozenset] = {}
    for names, matrices in listed.values():
        for name in found.keys() & names:
            every = found[name].union(matrices)
            found[name] = shared.setdefault(every, every)
    return found


def _extensions(
    hdus: Iterator[HDU],
    path: str,
    instrument: str,
    wanted: dict[str, str],
    faults: list[Fault],
) -> Iterator[tuple[HDU, Matrix, dict[str, np.ndarray]]]:
    """Every usable PSF extension, which matrices it holds, and the wanted columns.

    Raises InputError if there is no PSF extension at all.
    """
    allowed = {
        "BAND": INSTRUMENT_BANDS[instrument],
        "APERTURE": APERTURES,
        "QUANTITY": tuple(QUANTITIES),
    }
    seen: set[Matrix] = set()
    hdu = None
    for hdu in filter(is_psf, hdus):
        try:
            matrix = Matrix(*(hdu.choice(keyword, names) for keyword, names in allowed.items()))
            if matrix in seen:
                raise InputError(
                    f"{hdu.place}: a second extension for {matrix.quantity}, band {matrix.band}, "
                    f"{matrix.aperture}, not used; keep one"
                )
            columns = hdu.columns(wanted)
        except InputError as error:
            faults.append(_extension_fault(hdu, path, error))
            continue
        seen.add(matrix)
        yield hdu, matrix, columns
    if hdu is None:
        raise InputError(f"{path}: no PSF extension (PSF_*); add the matrices")


def _extension_fault(hdu: HDU, path: str, error: InputError) -> Fault:
    """A whole PSF extension that cannot be used, and what is known of its matrices."""
    known = {}
    for field in Matrix._fields:
        with suppress(InputError):
            known[field] = hdu.keyword(field.upper())
    return Fault(str(error), path, **known)


def _without_matrix(
    path: str, properties: dict[str, Properties], named: Collection[str]
) -> list[Fault]:
    """Bundles of the source properties that no PSF extension names."""
    return [
        Fault(
            f"{path}, bundle {bundle}: in the source properties but in no PSF extension; add its "
            "matrices or remove its counts",
            path,
            bundle=bundle,
        )
        for bundle in properties
        if bundle not in named
    ]


def _checked(
    n: float, arrays: RowArrays, row: int, properties: Properties, matrix: Matrix
) -> np.ndarray:
    counts = properties.counts.get((matrix.band, matrix.aperture))
    if counts is None:
        raise InputError("column bundle: no usable counts for it in the source properties")
    n_components = len(properties.components)
    if n != n_components:
        raise InputError(f"column n is {n}, expected {n_components} as in the source properties")
    size = n_components + 1
    try:
        values = arrays[row]
        if values.size != size**2:
            raise InputError(f"{values.size} values, expected {size**2} for n = {n}")
        F = values.reshape(size, size)
        check_matrices(counts, F, n_components)
    except InputError as error:
        raise InputError(f"column F: {error}; correct the matrix") from None
    return F
