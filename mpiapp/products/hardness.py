"""Hardness ratios H = (x − y)/(x + y) of two bands, from the densities of their fluxes.

The bands of a source are measured independently, so that the density of H is an integral over the
sum of both, which cpp/hardness.hpp takes without noise (CSC, "Spectral Properties").
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..files.results import Results
from . import _compiled
from .columns import HARDNESS_FIELDS, CatalogColumn, Compared, hardness_column
from .kept import catalog_densities, kept_by_band, smoothing_of
from .rows import RowsOf
from .tables import are_densities

_ROWS = 10_000  # whose densities are in memory at a time


def hardness_columns(
    results: Results, level: str, average: bool, rows_of: RowsOf, compared: Compared
) -> Iterator[tuple[CatalogColumn, np.ndarray]]:
    """The columns of every hardness ratio that a product has, (len(rows_of),) each, NaN for NULL.

    rows_of : the row of each source, by name; compared : which ratios of which quantity

    From the densities in the source aperture that `catalog_densities` gives.
    """
    smoothing = smoothing_of(results)
    kept = kept_by_band(results, level, average, rows_of, compared.quantity)
    for pair, (harder, softer) in compared.hardness.items():
        if harder not in kept or softer not in kept:
            continue
        found = np.full((len(rows_of), len(HARDNESS_FIELDS)), np.nan)
        both = np.flatnonzero((kept[harder]["place"] >= 0) & (kept[softer]["place"] >= 0))
        both = both[np.argsort(kept[harder]["place"][both])]
        for part in np.split(both, range(_ROWS, len(both), _ROWS)):
            densities = []
            for mine in (kept[band][part] for band in (harder, softer)):
                tables = results.at("mpdf", mine["place"])
                densities += catalog_densities(tables, mine["limit"], smoothing)
            found[part] = hardness_ratios(*densities, smoothing.level)
        for field, values in zip(HARDNESS_FIELDS, found.T, strict=True):
            yield hardness_column(pair, field, average, compared), values


def hardness_ratios(
    x_low: np.ndarray,
    x_high: np.ndarray,
    x_density: np.ndarray,
    y_low: np.ndarray,
    y_high: np.ndarray,
    y_density: np.ndarray,
    level: float,
) -> np.ndarray:
    """Mode and bounds of n hardness ratios; (n, 3) of mode, lolim, hilim.

    x_low, x_high : (n,) ends, and x_density : (n, points) the density at equidistant points, of
    the flux in the harder band; y_… those of the softer one
    level : probability that the bounds enclose

    The mode is that of p(H), and the bounds are those that, growing symmetrically about it,
    enclose `level`; one that reaches −1 or 1 stays there.  NaN where there is no density.
    """
    x, y = (x_low, x_high, x_density), (y_low, y_high, y_density)
    known = are_densities(*x) & are_densities(*y)
    found = np.full((len(known), 3), np.nan)
    x, y = (tuple(column[known] for column in table) for table in (x, y))
    found[known] = _compiled.hardness_ratios(x, y, level)
    return found
