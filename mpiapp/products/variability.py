"""Variability between the observations of a master source, from the densities of each of them.

All observations that the associations tie to the source take part.  The densities of fluxes are
compared twice, as the catalog does (`var_inter_…`: smoothed, limits as exponentials) and as
likelihoods (`var_chance_…`, `var_spread_…`: not smoothed, limits as any other); those of the
hardness ratios as likelihoods (`constancy`).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc

from ..catalog.instruments import LONGEST_BAND
from ..catalog.masters import Associations
from ..files.results import Results
from ._compiled import hardness_tables
from .columns import (
    HARDNESS_FLAG,
    INDEX_STEPS,
    CatalogColumn,
    Compared,
    hardness_variability_columns,
    variability_columns,
)
from .constancy import constancy, farthest, of_those, source_of, spread
from .kept import catalog_densities, kept_fluxes, limits_of, smoothing_of
from .rows import RowsOf
from .tables import are_densities, gamma_tables

_ROWS = 10_000  # whose densities are in memory at a time
_FLAG_CHANCE = 1e-3  # as the description of HARDNESS_FLAG says

_NUMBERS = ("mean", "rms", "value", "half", "limit")  # half-width of the bounds; as of limits_of
_SEEN = np.dtype(
    [("row", "i8"), ("target", "u8"), ("band", f"S{LONGEST_BAND}"), ("place", "i8")]
    + [(name, "f8") for name in _NUMBERS]
)


class Observations(NamedTuple):
    """Measurements of master sources, in the order of the rows of the product.

    rows : (n,) row of the product
    bands : band to (n,) of _SEEN, with place, the row of /mpdf, −1 where there is none
    """

    rows: np.ndarray
    bands: dict[str, np.ndarray]


def variability(
    results: Results, associations: Associations, rows_of: RowsOf, compared: Compared
) -> Iterator[tuple[CatalogColumn, np.ndarray]]:
    """The columns of variability of a product of level master, (len(rows_of),) each; NaN for NULL.

    rows_of : the row of each master source, by name
    compared : the quantity whose observations are compared, and its hardness ratios
    """
    seen = observations(results, associations, rows_of, compared.quantity)
    smoothing = smoothing_of(results)
    for band, numbers in sorted(seen.bands.items()):
        found, ours = np.full((2, len(rows_of), 3), np.nan)
        for mine in _parts(seen, band):
            at = numbers[mine]
            kept = results.at("mpdf", at["place"])
            rows, first = np.unique(seen.rows[mine], return_index=True)
            first = np.append(first, len(mine))
            ours[rows] = flux_constancy(*_likelihoods(kept, at), first)
            densities = catalog_densities(kept, at["limit"], smoothing)
            found[rows] = catalog_constancy(*densities, at["value"], at["half"], at["limit"], first)
        chance = chances(found)
        columns = (1.0 - chance, index_of(found), found[:, 2], chances(ours), ours[:, 2])
        yield from zip(variability_columns(band, compared), columns, strict=True)
    least = []
    for pair, (harder, softer) in compared.hardness.items():
        if harder not in seen.bands or softer not in seen.bands:
            continue
        found = np.full((len(rows_of), 3), np.nan)
        for mine in _parts(seen, harder, softer):
            densities = []
            for numbers in (seen.bands[band][mine] for band in (harder, softer)):
                densities += _likelihoods(results.at("mpdf", numbers["place"]), numbers)
            rows, first = np.unique(seen.rows[mine], return_index=True)
            found[rows] = hardness_constancy(*densities, np.append(first, len(mine)))
        least.append(chances(found))
        columns = 1.0 - least[-1], found[:, 2]
        yield from zip(hardness_variability_columns(pair, compared), columns, strict=True)
    if least:
        chance = np.fmin.reduce(least)
        yield HARDNESS_FLAG, np.where(np.isnan(chance), np.nan, chance < _FLAG_CHANCE)


def observations(
    results: Results, associations: Associations, rows_of: RowsOf, quantity: str
) -> Observations:
    """What the results kept of the unique components of master sources, by observation."""
    found = [np.empty(0, _SEEN)]
    row_of: dict[tuple[bytes, bytes], int] = {}
    for rows, places in kept_fluxes(results, quantity):
        obsid = (rows["level"] == b"obsid") & np.isfinite(rows["mean"]) & (rows["rms"] > 0)
        rows, places = rows[obsid], places[obsid]
        names, which = np.unique(rows[["target", "component"]], return_inverse=True)
        of_names = np.zeros(len(names), _SEEN)
        for mine, (target, component) in zip(of_names, names.tolist()):
            key = target.split(b"/")[0], component
            if key not in row_of:
                label = associations.label(*(word.decode() for word in key))
                row_of[key] = rows_of.get((label,), -1)
            mine["row"] = row_of[key]
            mine["target"] = int.from_bytes(blake2b(target, digest_size=8).digest(), "little")
        part = of_names[which.reshape(-1)]
        part["band"], part["place"] = rows["band"], places
        for name in ("mean", "rms", "value"):
            part[name] = rows[name]
        part["half"] = 0.5 * (rows["hilim"] - rows["lolim"])
        part["limit"] = limits_of(rows)
        found.append(part[part["row"] >= 0])
    seen = np.concatenate(found)
    keys, which = np.unique(seen[["row", "target"]], return_inverse=True)
    which = which.reshape(-1)
    bands = {}
    for band in np.unique(seen["band"]).tolist():
        mine = seen["band"] == band
        column = bands[band.decode()] = np.zeros(len(keys), _SEEN)
        column["place"] = -1
        column[which[mine]] = seen[mine]
    return Observations(keys["row"], bands)


def _parts(seen: Observations, *bands: str) -> Iterator[np.ndarray]:
    """Indices of the observations with densities in all of the bands, of whole sources."""
    mine = np.flatnonzero(np.all([seen.bands[band]["place"] >= 0 for band in bands], axis=0))
    starts = np.unique(seen.rows[mine], return_index=True)[1]
    cuts = np.searchsorted(starts, np.arange(_ROWS, len(mine), _ROWS))
    for part in np.split(mine, np.unique(starts[cuts[cuts < len(starts)]])):
        if len(part):
            yield part


def _likelihoods(kept: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, ...]:
    """(low, high, density, mean, rms) of observations; of draws, the Gamma density of the last two.

    kept : (n,) rows of /mpdf; numbers : (n,) of _SEEN
    """
    low, high, density = (kept[name].astype(float) for name in ("low", "high", "density"))
    mean, rms = numbers["mean"], numbers["rms"]
    drawn = kept["kernel"] > 0
    tables = gamma_tables(mean[drawn], rms[drawn], density.shape[1])
    low[drawn], high[drawn], density[drawn] = tables
    return low, high, density, mean, rms


def index_of(found: np.ndarray) -> np.ndarray:
    """(n,) the catalog's index, from rows of (D, number of observations, …).

    A step function of D for each degree of freedom; 1 and 2 are never reached.
    """
    freedom = found[:, 1] - 1.0
    with np.errstate(invalid="ignore"):
        reduced = found[:, 0] / freedom
    steps = np.array([INDEX_STEPS[2], INDEX_STEPS[3]])[(freedom > 1.0).astype(int)]
    above = (reduced[:, None] >= steps).sum(axis=1)
    return np.where(np.isnan(reduced), np.nan, np.where(above > 0, above + 2, 0))


def chances(found: np.ndarray) -> np.ndarray:
    """(n,) chance of the statistics of constant sources, from rows of (D, observations, …)."""
    return chdtrc(found[:, 1] - 1.0, found[:, 0])


def flux_constancy(
    low: np.ndarray,
    high: np.ndarray,
    density: np.ndarray,
    mean: np.ndarray,
    rms: np.ndarray,
    first: np.ndarray,
) -> np.ndarray:
    """Rows of (D, number of observations, sigma) of the fluxes of sources.

    low, high, mean, rms : (n,), density : (n, points), the observations source by source;
    first : where those of each source begin, and n.  NaN for a single observation.
    """
    used = are_densities(low, high, density)
    low, high, density, mean, rms = (of[used] for of in (low, high, density, mean, rms))
    first = of_those(used, first)
    found = constancy(low, high, density, first)
    return _with(found, spread(mean, rms, first))


def catalog_constancy(
    low: np.ndarray,
    high: np.ndarray,
    density: np.ndarray,
    value: np.ndarray,
    half: np.ndarray,
    limit: np.ndarray,
    first: np.ndarray,
) -> np.ndarray:
    """As `flux_constancy`, but sigma is how far the farthest measurement is from the common flux.

    value, half : (n,) results and half-widths of their bounds; limit : (n,) upper limits, NaN for
    what is none.  NaN also where all observations of a source are limits.
    """
    used = are_densities(low, high, density)
    low, high, density = (of[used] for of in (low, high, density))
    value, half, limit = (of[used] for of in (value, half, limit))
    first = of_those(used, first)
    found = constancy(low, high, density, first)
    measured = np.bincount(source_of(first), ~(limit > 0.0), len(found))
    found[measured == 0] = np.nan
    return _with(found, farthest(value, half, limit, found[:, 2], first))


def hardness_constancy(
    x_low: np.ndarray,
    x_high: np.ndarray,
    x_density: np.ndarray,
    x_mean: np.ndarray,
    x_rms: np.ndarray,
    y_low: np.ndarray,
    y_high: np.ndarray,
    y_density: np.ndarray,
    y_mean: np.ndarray,
    y_rms: np.ndarray,
    first: np.ndarray,
) -> np.ndarray:
    """As `flux_constancy`, of the hardness ratios of two bands, x the harder one."""
    x, y = (x_low, x_high, x_density), (y_low, y_high, y_density)
    used = are_densities(*x) & are_densities(*y)
    x, y = (tuple(of[used] for of in band) for band in (x, y))
    first = of_those(used, first)
    source, n = source_of(first), len(first) - 1
    units = (
        np.bincount(source, mean[used], n) / np.maximum(np.diff(first), 1)
        for mean in (x_mean, y_mean)
    )
    *tables, mean, rms = hardness_tables(x, y, *(unit[source] for unit in units))
    return _with(constancy(*tables, first), spread(mean, rms, first))


def _with(found: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Rows of `constancy` with sigma (n,) in the place of the common value."""
    return np.column_stack([found[:, :2], np.where(np.isnan(found[:, 0]), np.nan, sigma)])
