"""Variability between the observations of a master source, from the densities of each of them.

All observations that the associations tie to the source take part, limits as any other: what is
compared are the densities of photon flux, and those of the hardness ratios (`constancy`).
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
    CatalogColumn,
    hardness_variability_columns,
    variability_columns,
)
from .constancy import chance_of, constancy, spread
from .hardness import POINTS, density_of_w, hardness_at, per_hardness
from .kept import kept_fluxes
from .rows import RowsOf
from .tables import gamma_table, is_density

_ROWS = 10_000  # whose densities are in memory at a time
_HIGHEST_INDEX = 8
_FLAG_CHANCE = 1e-3  # as the description of HARDNESS_FLAG says

_SEEN = np.dtype(
    [
        ("row", "i8"),
        ("target", "u8"),
        ("band", "S1"),
        ("place", "i8"),
        ("mean", "f8"),
        ("rms", "f8"),
    ]
)


class Observations(NamedTuple):
    """Measurements of master sources, in the order of the rows of the product.

    rows : (n,) row of the product; places : band to (n,) row of /mpdf, −1 for none
    means, rms : band to (n,) of the posterior
    """

    rows: np.ndarray
    places: dict[str, np.ndarray]
    means: dict[str, np.ndarray]
    rms: dict[str, np.ndarray]


def variability(
    results: Results, associations: Associations, rows_of: RowsOf
) -> Iterator[tuple[CatalogColumn, np.ndarray]]:
    """The columns of variability of a product of level master, (len(rows_of),) each; NaN for NULL.

    rows_of : the row of each master source, by name
    """
    seen = observations(results, associations, rows_of)
    for band in sorted(seen.places):
        found = np.full((len(rows_of), 3), np.nan)
        for mine in _parts(seen, band):
            of = _densities(results, seen, band, mine)
            rows, first = np.unique(seen.rows[mine], return_index=True)
            found[rows] = flux_constancy(*of, np.append(first, len(mine)))
        yield from zip(variability_columns(band), _numbers(found), strict=True)
    least = []
    for pair, (harder, softer) in HARDNESS.items():
        if harder not in seen.places or softer not in seen.places:
            continue
        found = np.full((len(rows_of), 3), np.nan)
        for mine in _parts(seen, harder, softer):
            x, y = (_densities(results, seen, band, mine) for band in (harder, softer))
            rows, first = np.unique(seen.rows[mine], return_index=True)
            found[rows] = hardness_constancy(*x, *y, np.append(first, len(mine)))
        probability, _, sigma = _numbers(found)
        least.append(chances(found))
        yield from zip(hardness_variability_columns(pair), (probability, sigma), strict=True)
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
        part["mean"], part["rms"] = rows["mean"], rows["rms"]
        found.append(part[part["row"] >= 0])
    seen = np.concatenate(found)
    keys, which = np.unique(seen[["row", "target"]], return_inverse=True)
    which = which.reshape(-1)
    wide = Observations(keys["row"], {}, {}, {})
    for band in np.unique(seen["band"]).tolist():
        mine = seen["band"] == band
        for columns, name, none in zip(wide[1:], ("place", "mean", "rms"), (-1, np.nan, np.nan)):
            column = columns[band.decode()] = np.full(len(keys), none)
            column[which[mine]] = seen[name][mine]
    return wide


def _parts(seen: Observations, *bands: str) -> Iterator[np.ndarray]:
    """Indices of the observations with densities in all of the bands, of whole sources."""
    mine = np.flatnonzero(np.all([seen.places[band] >= 0 for band in bands], axis=0))
    starts = np.unique(seen.rows[mine], return_index=True)[1]
    cuts = np.searchsorted(starts, np.arange(_ROWS, len(mine), _ROWS))
    for part in np.split(mine, np.unique(starts[cuts[cuts < len(starts)]])):
        if len(part):
            yield part


def _densities(results: Results, seen: Observations, band: str, mine: np.ndarray) -> tuple:
    """(low, high, density) of observations; of draws, the Gamma density of their mean and rms."""
    kept = results.at("mpdf", seen.places[band][mine])
    low, high, density = kept["low"], kept["high"], kept["density"].astype(float)
    mean, rms = seen.means[band][mine], seen.rms[band][mine]
    for i in np.flatnonzero(kept["kernel"] > 0):
        low[i], high[i] = gamma_table(mean[i], rms[i], density[i])
    return low, high, density, mean, rms


def _numbers(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probability, index, sigma) from rows of (D, number of observations, sigma)."""
    chance = chances(found)
    with np.errstate(divide="ignore"):
        index = np.minimum(np.floor(-np.log10(chance)), _HIGHEST_INDEX)
    return 1.0 - chance, index, found[:, 2]


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
            out[i] = (
                constancy(low[used], high[used], tables),
                float(n),
                spread(mean[used], rms[used]),
            )
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
            out[i] = constancy(low[:n], high[:n], tables[:n]), float(n), spread(mean[:n], rms[:n])
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
