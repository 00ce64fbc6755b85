"""Problems from the columns of a table of sources, alone or in bundles, for `measure_table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from astropy.table import QTable

from .api import plain
from .catalog.fault import InputError
from .catalog.quantities import QUANTITIES

_COUNTS = ("cnts", "cnts_bkg")
_FRACTIONS = ("psf_frac", "psf_frac_bkg")
_AREAS = ("area", "area_bkg")
# Rows that differ in one of these are of different bundles.
_PLACE = ("stack", "obsid", "bundle", "band", "aperture")


class Problems(NamedTuple):
    """Those with n sources each in one obsid.

    rows : (k, n) the sources' rows of the table
    counts : (k, n + 1) floats, F : (k, n_quantities, n + 1, n + 1), as in `Bundle`; NaN for what
    is no number
    """

    rows: np.ndarray
    counts: np.ndarray
    F: np.ndarray


def chosen_quantities(
    table: QTable, names: Mapping[str, str], quantities: Sequence[str] | None
) -> list[str]:
    """Those that are asked for, or all whose exposure the table has.

    Raises InputError if there is no such quantity, or a column is missing.
    """

    def has(name: str) -> bool:
        return names.get(name, name) in table.colnames

    required = [*_COUNTS, *_FRACTIONS, *_AREAS]
    if quantities is None:
        quantities = [q.name for q in QUANTITIES.values() if not q.exposure_unit] + [
            q.name for q in QUANTITIES.values() if q.exposure_unit and has(q.exposure_column)
        ]
    for quantity in quantities:
        if quantity not in QUANTITIES:
            raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
        if QUANTITIES[quantity].exposure_unit:
            required.append(QUANTITIES[quantity].exposure_column)
    if missing := [names.get(name, name) for name in required if not has(name)]:
        raise InputError(f"columns {', '.join(missing)} are missing; `columns` says their names")
    return list(dict.fromkeys(quantities))


def table_problems(
    table: QTable, names: Mapping[str, str], quantities: Sequence[str]
) -> list[Problems]:
    """The problems of a table, by their number of sources (Eq. 1).

    names : where a column has another name
    quantities : those of F, in its order

    Raises InputError if a column cannot be used.
    """

    def has(name: str) -> bool:
        return names.get(name, name) in table.colnames

    def column(name: str, unit: str = "") -> np.ndarray:
        own = names.get(name, name)
        values = _numbers(table[own], unit, own)
        if values.ndim > 1:
            raise InputError(f"column {own}: expected numbers, one in each row")
        return values

    counts, areas = [column(n, "count") for n in _COUNTS], [column(n, "pix") for n in _AREAS]
    own_fractions = names.get(_FRACTIONS[0], _FRACTIONS[0])
    inside, outside = _numbers(table[own_fractions], "", own_fractions), column(_FRACTIONS[1])
    inside = inside[:, None] if inside.ndim == 1 else inside
    for fractions in (inside, outside):
        fractions[fractions > 1] = np.nan
    exposures = []
    for own in (QUANTITIES[quantity] for quantity in quantities):
        pair = [np.ones(len(table))] * 2
        if own.exposure_unit:
            name = own.exposure_column
            pair = [column(name, own.exposure_unit)]
            pair.append(column(f"{name}_bkg", own.exposure_unit) if has(f"{name}_bkg") else pair[0])
        exposures.append(pair)

    found = []
    for rows in _bundles(table, names, inside.shape[1] > 1):
        n = rows.shape[1]
        if n > inside.shape[1]:
            raise InputError(
                f"column {own_fractions}, row {rows[0, 0]}: of {n} sources in a bundle each needs "
                f"{n} numbers, the fractions of all of them in its aperture, not {inside.shape[1]}"
            )
        C = np.stack([counts[0][rows[:, i]] for i in range(n)] + [_shared(counts[1], rows)], axis=1)
        plainly = np.empty((len(rows), n + 1, n + 1))
        plainly[:, :n, :n] = inside[rows][:, :, :n]
        plainly[:, :n, n], plainly[:, n, :n] = areas[0][rows], outside[rows]
        plainly[:, n, n] = _shared(areas[1], rows)
        # Beyond the bundle's own sources there is nothing.
        C[(np.nan_to_num(inside[rows][:, :, n:]) != 0).any(axis=(1, 2))] = np.nan
        F = np.empty((len(rows), len(quantities), n + 1, n + 1))
        for k, (exposure, of_background) in enumerate(exposures):
            E = np.concatenate([exposure[rows], _shared(of_background, rows)[:, None]], axis=1)
            F[:, k] = plainly * E[:, :, None]
        found.append(Problems(rows, C, F))
    return found


def _numbers(values, unit: str, what: str) -> np.ndarray:
    """A column as floats, NaN where masked; rows of different lengths are filled up with NaN."""
    is_masked = np.ma.getmaskarray(values) if hasattr(values, "mask") else False
    try:
        numbers = plain(getattr(values, "unmasked", values), unit, f"column {what}")
        if numbers.dtype == object and any(np.ndim(row) for row in numbers):
            filled = np.full((len(numbers), max(map(np.size, numbers))), np.nan)
            for row, given in zip(filled, numbers):
                row[: np.size(given)] = np.ma.filled(np.ma.asarray(given, dtype=float), np.nan)
            return filled
        return np.where(is_masked, np.nan, np.asarray(numbers, dtype=float))
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"column {what}: expected numbers, as many in each row") from None


def _shared(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(k,) what all rows of each bundle say; NaN where they do not agree."""
    first = values[rows[:, 0]]
    return np.where((values[rows] == first[:, None]).all(axis=1), first, np.nan)


def _bundles(table: QTable, names: Mapping[str, str], needed: bool) -> list[np.ndarray]:
    """The rows of the bundles, (k, n) for each number n of sources, in the order of the table."""
    name = names.get("bundle", "bundle")
    if name not in table.colnames:
        if needed:
            raise InputError(
                f"column {name} is missing: with several numbers in each row of psf_frac it must "
                "be told which rows are one bundle; `columns` says its name"
            )
        return [np.arange(len(table))[:, None]]
    if np.ma.getmaskarray(table[name]).any():
        row = int(np.argmax(np.ma.getmaskarray(table[name])))
        raise InputError(f"column {name}, row {row}: no value; each source needs its bundle")
    which = np.zeros(len(table), int)
    for place in (names.get(place, place) for place in _PLACE):
        if place in table.colnames:
            own = np.unique(np.asarray(table[place]).astype(str), return_inverse=True)[1]
            which = which * (int(own.max(initial=0)) + 1) + own
            which = np.unique(which, return_inverse=True)[1]
    order = np.argsort(which, kind="stable")
    sizes = np.bincount(which)
    starts = np.cumsum(sizes) - sizes
    found = []
    for size in np.unique(sizes):
        begins = starts[sizes == size]
        begins = begins[np.argsort(order[begins])]
        found.append(order[begins[:, None] + np.arange(size)])
    return found
