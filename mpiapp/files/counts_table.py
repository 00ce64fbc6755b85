"""Counts of aperture pairs from any table: this project's columns, checked and in its units.

The one place where columns become numbers, for `mpiapp measure`, `mpiapp import` and
`mpiapp.measure_table`.  A value that cannot be used costs its row, one that is missing in a column
that is not needed costs its quantity.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from astropy.table import Column

from ..catalog.fault import InputError
from ..catalog.instruments import band_problem, instrument_problem
from ..catalog.quantities import MODEL_FLUXES, TABLE_1
from . import conversion_factors
from .aperture_counts import Counts, add_gamma, check_backgrounds
from .catalog_tables import CatalogTable
from .column_map import Given
from .column_numbers import floats, shown, wrong
from .column_units import factor, inverse, is_convertible
from .fields import RowError, missing, name_of, unexpected
from .known_tables import RECIPROCAL
from .layouts import find_layout, own_layout
from .own_columns import MEASURED, NAMES, NUMBERS, OPTIONAL, PRIORS

ERG_PER_KEV = 1.602176634e-9
# Side of a pixel in arcsec.
PIXEL = {"ACIS": 0.492, "HRC": 0.13175}
UNITS = {"cnts": "count", "psf_frac": "", "area": "pix", "exposure_s": "s", "mjd": "d"}
UNITS |= {"photon_energy_kev": "keV", "bkg": "count", "bkg_err": "count"} | PRIORS
UNITS |= {q.exposure_column: q.exposure_unit for q in TABLE_1.values() if q.exposure_column}
UNITS |= {q.conversion: conversion_factors.UNIT for q in MODEL_FLUXES.values()}
# A fraction that rounding has made larger than 1 by less is 1.
_ROUNDING = 1e-5
_SHORTEST = -(2**15)  # counts that 16 bits do not hold come back as numbers from here to −1


def find_counts(
    source: CatalogTable,
    given: Given | None = None,
    required: Collection[str] = tuple(NUMBERS),
    of_names: Collection[str] = (),
) -> Counts:
    """The aperture pairs of a table.

    required : own columns without which the table is refused
    of_names : columns of names that must be there in each row; others may be missing

    Raises InputError if a column is missing, is there twice, or has a unit that cannot be
    converted.
    """
    layout = find_layout(source, given or Given(), required)
    n, n_pairs = len(source.table), len(layout.pairs)
    counts = Counts(source, layout, np.repeat(np.arange(n), n_pairs))
    for pair, row in enumerate(counts.rows.tolist()):
        if row in source.spoiled:
            counts.problems[pair] = source.spoiled[row]
    # Names first: the size of a pixel depends on the instrument.
    for own in (*NAMES, "bundle"):
        if own in layout.has:
            counts.names[own] = _names(counts, own, own in of_names)
    _check_instruments(counts)
    for own in (*NUMBERS, *OPTIONAL):
        if own in layout.has:
            counts.numbers[own] = _numbers(counts, own)
        elif own in MEASURED:
            counts.numbers[own] = np.full(len(counts), np.nan)
    check_backgrounds(counts)
    for quantity in TABLE_1:
        add_gamma(counts, quantity)
    _multiply_by_seconds(counts)
    _add_ergs(counts)
    counts.numbers["cnts"][list(counts.problems)] = np.nan
    return _without_other_bands(counts) if layout.is_wide else counts


def find_priors(source: CatalogTable) -> Counts:
    """The Gamma priors of a table of sources: rows with a component, no counts.

    Raises InputError as `find_counts` does.
    """
    layout = own_layout(source, ("component",))
    counts = Counts(source, layout, np.arange(len(source.table)))
    counts.problems |= source.spoiled
    for own in ("stack", "obsid", "component", "band", "aperture"):
        if own in layout.has:
            counts.names[own] = _names(counts, own, own == "component")
    for own in PRIORS:
        if own in layout.has:
            counts.numbers[own] = _numbers(counts, own)
    for quantity in TABLE_1:
        add_gamma(counts, quantity)
    return counts


def _parts(counts: Counts, own: str):
    """(pairs, column or value in all rows) for each aperture pair that a row describes."""
    layout = counts.layout
    for k, (columns, values) in enumerate(zip(layout.pairs, layout.values)):
        pairs = slice(k, None, len(layout.pairs))
        if own in columns:
            yield pairs, columns[own], counts.source.table[columns[own]]
        elif own in values:
            yield pairs, own, values[own]


def _blame(counts: Counts, pairs: slice, row: int, error: RowError) -> None:
    """Let an error of a row of one part be its pair's, unless that has one."""
    counts.problems.setdefault(range(len(counts))[pairs][row], error)


def _names(counts: Counts, own: str, is_needed: bool) -> list[str | None]:
    found: list[str | None] = [None] * len(counts)
    for pairs, name, column in _parts(counts, own):
        is_column = isinstance(column, Column)
        cells = column.tolist() if is_column else [column] * len(counts.source.table)
        names = []
        for row, cell in enumerate(cells):
            is_there = cell is not None and cell == cell and cell != ""
            if not is_needed:
                names.append(str(cell).strip() if is_there else None)
                continue
            try:
                names.append(name_of(cell if is_there else None, name))
            except RowError as error:
                names.append(None)
                _blame(counts, pairs, row, error)
        found[pairs] = names
    return found


def _check_instruments(counts: Counts) -> None:
    for pair, name in enumerate(counts.names.get("instrument", ())):
        if name is not None and (problem := instrument_problem(name)):
            said = f"column {counts.called('instrument')}: {name!r} {problem}; correct it"
            counts.problems.setdefault(pair, RowError(said, "instrument"))


def _numbers(counts: Counts, own: str) -> np.ndarray:
    """Values of one column in our unit, checked; unusable ones are NaN, and told."""
    base, is_inverse = own.removesuffix("_bkg"), own in counts.layout.inverse
    found = np.full(len(counts), np.nan)
    for pairs, name, column in _parts(counts, own):
        n_rows = len(counts.source.table)
        if isinstance(column, (str, int, float)):  # what all rows share
            column = Column([column] * n_rows, unit=_unit(own) or None)
        values, bad = floats(column, f"{counts.source.name}: column {name}", own == "psf_frac")
        if values.ndim > 1:
            found = np.full((len(counts), values.shape[1]), np.nan)
        unit = getattr(column, "unit", None)
        with np.errstate(over="ignore", divide="ignore"):  # what is infinite is refused below
            if is_inverse:
                values, unit, name = values**-1.0, inverse(unit), f"{RECIPROCAL}{name}"
            values = values * _factors(counts, pairs, name, own, unit)
        if base == "psf_frac":
            values[(values > 1) & (values < 1 + _ROUNDING)] = 1.0
        for rows, expected in wrong(own, values):
            for row in np.flatnonzero(rows):
                error = unexpected(name, shown(values if is_inverse else column, row), expected)
                if base == "cnts" and _SHORTEST <= values[row].min() < -1:
                    error = RowError(f"{error} (overflow of 16 bits?)", f"{name}: overflow?")
                _blame(counts, pairs, int(row), error)
        for row in bad:
            _blame(counts, pairs, row, unexpected(name, shown(column, row), "a number"))
        if own in NUMBERS and own not in MEASURED and values.ndim == 1:
            for row in np.flatnonzero(np.isnan(values)):
                _blame(counts, pairs, int(row), missing(name))
        found[pairs] = values
    return found


def _factors(counts: Counts, pairs: slice, name: str, own: str, unit: object) -> float | np.ndarray:
    """Factor from the unit of a column to ours; one for each row if it differs."""
    base = own.removesuffix("_bkg")
    what = f"{counts.source.name}: column {name}"
    if base == "area":
        unit = unit or counts.layout.area_unit
        if is_convertible(unit, "arcsec2"):
            instruments = counts.names.get("instrument")
            if instruments is None:
                raise InputError(
                    f"{what}: unit {unit}, expected pix; the pixel is known once the instrument "
                    "is: a column instrument, or --set instrument=ACIS"
                )
            # The areas of others stay in square arcseconds.
            sides = np.array([PIXEL.get(i, 1.0) for i in instruments[pairs]])
            return factor(unit, "arcsec2", what) * sides**-2.0
    if base == "exposure_photflux" and _lacks_seconds(counts, unit):
        return factor(unit, "cm2", what)
    return factor(unit, _unit(own), what)


def _unit(own: str) -> str:
    """The unit of one of this project's columns."""
    return UNITS[own] if own in UNITS else UNITS[own.removesuffix("_bkg")]


def _lacks_seconds(counts: Counts, unit: object) -> bool:
    """Whether a mean exposure is an area alone, to be multiplied by the exposure."""
    is_area = unit is not None and str(unit).strip() and is_convertible(unit, "cm2")
    return bool(is_area) and "exposure_rate" in counts.layout.has


def _multiply_by_seconds(counts: Counts) -> None:
    """A mean exposure in cm2 times the exposure; s first, for the columns are read in order."""
    for own in ("exposure_photflux", "exposure_photflux_bkg"):
        column = counts.layout.pairs[0].get(own)
        unit = column and counts.source.table[column].unit
        if column and _lacks_seconds(counts, unit):
            counts.numbers[own] = counts.numbers[own] * counts.numbers["exposure_rate"]


def _add_ergs(counts: Counts) -> None:
    """The exposure for energy flux, where the mean energy of a photon is known."""
    energy = counts.numbers.get("photon_energy_kev")
    for end in ("", "_bkg"):
        photons = counts.numbers.get(f"exposure_photflux{end}")
        if energy is None or photons is None:
            continue
        ergs = photons * energy**-1.0 * (1 / ERG_PER_KEV)
        own = counts.numbers.get(f"exposure_flux{end}", np.full(len(counts), np.nan))
        counts.numbers[f"exposure_flux{end}"] = np.where(np.isnan(own), ergs, own)


def _without_other_bands(counts: Counts) -> Counts:
    """Without bands of the other instrument and without counts, in wide tables."""
    keep = np.ones(len(counts), bool)
    instruments = counts.names.get("instrument", [None] * len(counts))
    for k, (columns, values) in enumerate(zip(counts.layout.pairs, counts.layout.values)):
        is_gone = np.ma.getmaskarray(counts.source.table[columns["cnts"]])
        band = values["band"]
        for row, pair in enumerate(range(k, len(counts), len(counts.layout.pairs))):
            instrument = instruments[pair]
            keep[pair] = not is_gone[row] and not (instrument and band_problem(band, instrument))
    keep |= np.isin(counts.rows, list(counts.source.spoiled))
    number = np.cumsum(keep) - 1
    return Counts(
        counts.source,
        counts.layout,
        counts.rows[keep],
        {own: values[keep] for own, values in counts.numbers.items()},
        {own: [v for v, k in zip(values, keep) if k] for own, values in counts.names.items()},
        {quantity: values[keep] for quantity, values in counts.gamma.items()},
        {int(number[p]): e for p, e in counts.problems.items() if keep[p]},
    )
