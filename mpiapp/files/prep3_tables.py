"""The tables of a prep3 file, checked: the rows of each bundle, and the faults of some.

What is wrong with one bundle is noted and costs nothing but the bundle, or its part in one
band and aperture, so that its neighbours can still be measured; what is wrong with the source
properties as a whole raises InputError.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..catalog.bundle import KNOWN
from ..catalog.fault import Fault, InputError
from ..catalog.instruments import band_problem
from ..catalog.names import name_problem, target_problem
from ..catalog.priors import Priors
from ..catalog.quantities import APERTURES, TABLE_1, Matrix
from .fits_read import HDU

BACKGROUND = "background"
# The table of what else is known of the sources, and what names its rows.
INFO, INFO_KEY = "SRCINFO", ("bundle", "component", "band", "aperture")
# Larger whole numbers cannot be told from their neighbours in double precision.
MAX_COUNTS = 2**53
_KEY = ("bundle", "band", "aperture")
_COLUMNS = {**dict.fromkeys((*_KEY, "component"), "text"), "counts": "number"}


class Prep3Header(NamedTuple):
    """Where a prep3 file is and whose it is; None where the file does not say.

    exposure in s, mjd the start of the observation
    """

    path: str
    stack: str
    obsid: str
    instrument: str
    exposure: float | None
    mjd: float | None = None


class BundleRows(NamedTuple):
    """Components of a bundle, and its rows by (band, aperture), background last."""

    components: tuple[str, ...]
    rows: dict[tuple[str, str], slice]


@dataclass(frozen=True, eq=False)
class Prep3Tables:
    """Source properties of a file and the matrices beside them, row by row.

    Attributes
    ----------
    header : Prep3Header
    bundles : dict of bundle name -> BundleRows
        Those that can be used, in the order of the file; rows that are at fault are among theirs,
        so that a run that needs them is told so.
    counts : (n_rows,) int64
    F : dict of quantity -> (n_rows, width) float64
        A row of a bundle's F in each, NaN beyond the background and where there is no F.
    places : dict of quantity -> how messages call its table
    priors : Gamma priors of its sources and backgrounds
    faults : list of Fault
    """

    header: Prep3Header
    bundles: dict[str, BundleRows]
    counts: np.ndarray
    F: dict[str, np.ndarray] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    priors: Priors = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def matrices(self) -> dict[str, frozenset[Matrix]]:
        """Which matrices every bundle has; a bundle without any is a further fault."""
        groups = [
            (name, pair, rows)
            for name, bundle in self.bundles.items()
            for pair, rows in bundle.rows.items()
        ]
        starts = np.array([rows.start for *_, rows in groups], dtype=np.int64)
        stops = np.array([rows.stop for *_, rows in groups], dtype=np.int64)
        has = []
        for values in self.F.values():
            before = np.cumsum(np.append(0, ~np.isnan(values).all(axis=1)))
            has.append(before[stops] > before[starts])
        given: dict[str, list] = {name: [] for name in self.bundles}
        for (name, pair, _), flags in zip(groups, zip(*has)):
            given[name].append((pair, flags))
        # Most bundles share one set.
        shared: dict[tuple, frozenset[Matrix]] = {}
        found = {}
        for bundle, pairs in given.items():
            key = tuple(pairs)
            if key not in shared:
                shared[key] = frozenset(
                    Matrix(*pair, quantity)
                    for pair, flags in pairs
                    for quantity, is_given in zip(self.F, flags)
                    if is_given
                )
            found[bundle] = shared[key]
            if not found[bundle]:
                message = f"{self.header.path}, bundle {bundle}: no matrix in any PSF extension"
                message += "; add its matrices or remove its counts"
                self.faults.append(Fault(message, self.header.path, bundle=bundle))
        return found


def read_source_properties(hdu: HDU, header: Prep3Header) -> Prep3Tables:
    """Components, rows and counts of every usable bundle.

    A group is the consecutive rows of one bundle, band and aperture.  A group that makes no sense
    costs the bundle this band and aperture; groups that contradict each other cost the bundle.
    """
    columns = hdu.columns(_COLUMNS)
    names = decoded(columns["component"])
    counts, usable = _whole_numbers(columns["counts"], np.array(names) == BACKGROUND)
    edges = _group_edges([columns[name] for name in _KEY])
    groups: dict[str, dict[tuple[str, str], slice]] = defaultdict(dict)
    components: dict[str, tuple[str, ...]] = {}
    broken: set[str] = set()  # bundles that cannot be used at all
    faults: list[Fault] = []
    # A bundle's groups have the same names, and are many.
    names_problem = lru_cache(maxsize=1024)(_names_problem)
    too_long = lru_cache(maxsize=1024)(partial(target_problem, header.stack, header.obsid))

    def reject(row: int, bundle: str, problem: str, band=None, aperture=None) -> None:
        message = f"{hdu.place}, row {row + 1}, bundle {bundle}: {problem}"
        faults.append(Fault(message, header.path, "", bundle, band, aperture))
        if band is None:
            broken.add(bundle)

    keys = zip(*(decoded(columns[name][edges[:-1]]) for name in _KEY))
    for (start, stop), (bundle, *pair) in zip(pairwise(edges), keys):
        group, pair = tuple(names[start:stop]), tuple(pair)
        band, aperture = pair
        problem = _pair_problem(*pair, header.instrument) or names_problem(bundle, group)
        costs = pair
        if not problem and (problem := too_long(bundle)):
            costs = ()
        elif not problem and pair in groups[bundle]:
            problem, costs = "the bundle has these rows a second time", ()
        elif not problem and components.setdefault(bundle, group) != group:
            problem = "column component: not the names, in the order, of the bundle's first rows"
            costs = ()
        if problem:
            where = f"rows {start + 1} to {stop} (band {band}, {aperture})"
            reject(start, bundle, f"{problem} in {where}; correct them", *costs)
        if not problem or (costs and not _pair_problem(*pair, header.instrument)):
            groups[bundle].setdefault(pair, slice(start, stop))
    for row in np.flatnonzero(~usable).tolist():
        bundle, band, aperture = (decoded(columns[name][row : row + 1])[0] for name in _KEY)
        problem = f"column counts is {columns['counts'][row]}, expected a whole number from 0 to "
        problem += f"2^53 of raw counts (band {band}, {aperture}); correct it"
        reject(row, bundle, problem, band, aperture)
    bundles = {
        bundle: BundleRows(components[bundle][:-1], rows)
        for bundle, rows in groups.items()
        if bundle in components and bundle not in broken
    }
    return Prep3Tables(header, bundles, counts, faults=faults)


def read_psf_tables(hdus: Sequence[HDU], tables: Prep3Tables) -> None:
    """Add the rows of F of the PSF extensions, PSF_<QUANTITY>, to the tables of their file.

    An extension that cannot be used costs its quantity.  Raises InputError if there is none.
    """
    by_name = {f"PSF_{quantity}".upper(): quantity for quantity in TABLE_1}
    n_extensions = 0
    for hdu in hdus:
        if not hdu.name.startswith("PSF_"):
            continue
        n_extensions += 1
        quantity = by_name.get(hdu.name)
        try:
            if quantity is None:
                raise InputError(f"{hdu.place}: expected one of {', '.join(by_name)}; rename it")
            if quantity in tables.places:
                raise InputError(f"{hdu.place}: a second extension of this name; keep one")
            F = hdu.columns({"F": "vector"})["F"]
            if len(F) != len(tables.counts):
                raise InputError(
                    f"{hdu.place}: {len(F)} rows, expected {len(tables.counts)}, those of the "
                    "source properties; write both anew from the same rows"
                )
        except InputError as error:
            named = quantity or hdu.name[4:].lower()
            tables.faults.append(Fault(str(error), tables.header.path, quantity=named))
            continue
        tables.places[quantity] = hdu.place
        tables.F[quantity] = F.astype(np.float64)
    if not n_extensions:
        raise InputError(f"{tables.header.path}: no PSF extension (PSF_*); add the matrices")


def decoded(names: np.ndarray) -> list[str]:
    """Names from a FITS file; bytes that are not ASCII stay visible, as escapes."""
    try:
        return names.astype(str).tolist()
    except UnicodeDecodeError:
        return [name.decode("ascii", "backslashreplace") for name in names.tolist()]


def _whole_numbers(raw: np.ndarray, is_background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts as int64, and where they are counts at all; backgrounds may be KNOWN."""
    with np.errstate(invalid="ignore"):
        usable = (raw >= 0) & (raw <= MAX_COUNTS) | (is_background & (raw == KNOWN))
    counts = np.where(usable, raw, 0).astype(np.int64)
    return counts, usable & (counts == raw)


def _group_edges(columns: Sequence[np.ndarray]) -> list[int]:
    """Row numbers where any of the columns changes, and both ends."""
    n_rows = len(columns[0])
    if n_rows == 0:
        return [0]
    new = np.ones(n_rows + 1, dtype=bool)
    new[1:-1] = False
    for column in columns:
        new[1:-1] |= column[1:] != column[:-1]
    return np.flatnonzero(new).tolist()


def _pair_problem(band: str, aperture: str, instrument: str) -> str:
    """Why nothing is measured in this band and aperture; empty if it is."""
    if problem := band_problem(band, instrument):
        return f"column band: {band!r} {problem}"
    if aperture not in APERTURES:
        return f"column aperture: {aperture!r}, expected one of {', '.join(APERTURES)}"
    return ""


def _names_problem(bundle: str, group: tuple[str, ...]) -> str:
    """The fault of the names of a group's rows; empty if there is none."""
    for column, name in (("bundle", bundle), *(("component", name) for name in group)):
        if problem := name_problem(name):
            return f"column {column}: the name {name!r} {problem}"
    if group[-1] != BACKGROUND or len(group) == 1:
        return f"column component: expected sources and then {BACKGROUND!r}"
    if len(set(group)) < len(group):
        return "column component: the same name twice"
    return ""
