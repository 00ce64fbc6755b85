"""Variability between the observations of a master source, from the densities of each of them.

All observations that the associations tie to the source take part.  The densities of photon flux
are compared twice, as the catalog does (`var_inter_…`: smoothed, limits as exponentials) and as
likelihoods (`var_chance_…`, `var_spread_…`: not smoothed, limits as any other); those of the
hardness ratios as likelihoods (`constancy`).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numba import njit

from ..catalog.masters import Associations
from ..compiled import OPTIONS
from ..files.results import Results
from .columns import (
    HARDNESS,
    HARDNESS_FLAG,
    INDEX_STEPS,
    CatalogColumn,
    hardness_variability_columns,
    variability_columns,
)
from .constancy import chance_of, constancy, farthest, spread
from .hardness import POINTS, density_of_w, hardness_at, per_hardness
from .kept import catalog_densities, kept_fluxes, limits_of, smoothing_of
from .rows import RowsOf
from .tables import gamma_table, is_density

_ROWS = 10_000  # whose densities are in memory at a time
_FLAG_CHANCE = 1e-3  # as the description of HARDNESS_FLAG says

_NUMBERS = ("mean", "rms", "value", "half", "limit")  # half-width of the bounds; as of limits_of
_SEEN = np.dtype(
    [("row", "i8"), ("target", "u8"), ("band", "S1"), ("place", "i8")]
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
    results: Results, associations: Associations, rows_of: RowsOf
) -> Iterator[tuple[CatalogColumn, np.ndarray]]:
    """The columns of variability of a product of level master, (len(rows_of),) each; NaN for NULL.

    rows_of : the row of each master source, by name
    """
    seen, smoothing = observations(results, associations, rows_of), smoothing_of(results)
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
        yield from zip(variability_columns(band), columns, strict=True)
    least = []
    for pair, (harder, softer) in HARDNESS.items():
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
        yield from zip(hardness_variability_columns(pair), columns, strict=True)
    if least:
        chance = np.fmin.reduce(least)
        yield HARDNESS_FLAG, np.where(np.isnan(chance), np.nan, chance < _FLAG_CHANCE)


def observations(results: Results, associations: Associations, rows_of: RowsOf) -> Observations:
    """What the results kept of the unique components of master sources, by observation."""
    found = [np.empty(0, _SEEN)]
    row_of: dict[tuple[bytes, bytes], int] = {}
    for rows, places in kept_fluxes(results):
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
    mean, rms = numbers["mean"].copy(), numbers["rms"].copy()
    for i in np.flatnonzero(kept["kernel"] > 0):
        low[i], high[i] = gamma_table(mean[i], rms[i], density[i])
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


@njit(**OPTIONS)
def chances(found):
    """(n,) chance of the statistics of constant sources, from rows of (D, observations, …)."""
    out = np.full(len(found), np.nan)
    for i in range(len(found)):
        if found[i, 1] > 1.0:
            out[i] = chance_of(found[i, 0], found[i, 1] - 1.0)
    return out


@njit(**OPTIONS)
def flux_constancy(low, high, density, mean, rms, first):
    """Rows of (D, number of observations, sigma) of the fluxes of sources.

    low, high, mean, rms : (n,), density : (n, points), the observations source by source;
    first : where those of each source begin, and n.  NaN for a single observation.
    """
    out = np.full((len(first) - 1, 3), np.nan)
    for i in range(len(out)):
        used = np.empty(first[i + 1] - first[i], dtype=np.int64)
        n = 0
        for j in range(first[i], first[i + 1]):
            if is_density(low[j], high[j], density[j]):
                used[n] = j
                n += 1
        used = used[:n]
        if n > 1:
            tables = density[used]
            for table in tables:
                table /= table.max()
            statistic = constancy(low[used], high[used], tables)[0]
            out[i] = statistic, float(n), spread(mean[used], rms[used])
    return out


@njit(**OPTIONS)
def catalog_constancy(low, high, density, value, half, limit, first):
    """As `flux_constancy`, but sigma is how far the farthest measurement is from the common flux.

    value, half : (n,) results and half-widths of their bounds; limit : (n,) upper limits, NaN for
    what is none.  NaN also where all observations of a source are limits.
    """
    out = np.full((len(first) - 1, 3), np.nan)
    for i in range(len(out)):
        used = np.empty(first[i + 1] - first[i], dtype=np.int64)
        n, measured = 0, 0
        for j in range(first[i], first[i + 1]):
            if is_density(low[j], high[j], density[j]):
                used[n] = j
                n += 1
                measured += 0 if limit[j] > 0.0 else 1
        used = used[:n]
        if n > 1 and measured > 0:
            tables = density[used]
            for table in tables:
                table /= table.max()
            statistic, common = constancy(low[used], high[used], tables)
            sigma = farthest(value[used], half[used], limit[used], common)
            out[i] = statistic, float(n), sigma
    return out


@njit(**OPTIONS)
def hardness_constancy(
    x_low, x_high, x_density, x_mean, x_rms, y_low, y_high, y_density, y_mean, y_rms, first
):
    """As `flux_constancy`, of the hardness ratios of two bands, x the harder one."""
    out = np.full((len(first) - 1, 3), np.nan)
    for i in range(len(out)):
        most = first[i + 1] - first[i]
        low, high, tables = np.empty(most), np.empty(most), np.empty((most, POINTS))
        mean, rms = np.empty(most), np.empty(most)
        # the same for all observations, so that their w are
        x_unit = x_mean[first[i] : first[i + 1]].mean()
        y_unit = y_mean[first[i] : first[i + 1]].mean()
        n = 0
        for j in range(first[i], first[i + 1]):
            x, y = x_density[j], y_density[j]
            if is_density(x_low[j], x_high[j], x) and is_density(y_low[j], y_high[j], y):
                ends = x_low[j] / x_unit, x_high[j] / x_unit
                low[n], high[n] = density_of_w(
                    *ends, x, y_low[j] / y_unit, y_high[j] / y_unit, y, tables[n]
                )
                mean[n], rms[n] = _to_hardness(low[n], high[n], tables[n], x_unit, y_unit)
                n += 1
        if n > 1:
            statistic = constancy(low[:n], high[:n], tables[:n])[0]
            out[i] = statistic, float(n), spread(mean[:n], rms[:n])
    return out


@njit(**OPTIONS)
def _to_hardness(low, high, table, x_unit, y_unit):
    """Change a density of w into one of H at the same points, 1 at most; (mean, rms) of H."""
    m0 = m1 = m2 = 0.0
    for k in range(len(table)):
        w = low + (high - low) * k / (len(table) - 1)
        h = hardness_at(w, x_unit, y_unit)
        weight = table[k] * (0.5 if k == 0 or k == len(table) - 1 else 1.0)
        m0 += weight
        m1 += weight * h
        m2 += weight * h * h
        table[k] *= per_hardness(w, x_unit, y_unit)
    table /= table.max()
    mean = m1 / m0
    return mean, np.sqrt(m2 / m0 - mean * mean)
