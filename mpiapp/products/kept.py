"""The posterior densities that a results file keeps, as the products read them: a few at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np

from ..catalog.outcome import Outcome
from ..catalog.quantities import HARDNESS
from ..files.results import Results, readable
from ..posterior import Smoothing
from ._compiled import smoothed
from .columns import Compared
from .rows import RowsOf, is_of, row_numbers
from .tables import are_densities, exponential_tables

KEPT = np.dtype([("place", "i8"), ("limit", "f8")])  # of no density: -1 and NaN
_CONFIG = "/jobs, column config"
APERTURE = b"aper"  # that of hardness and variability


def smoothing_of(results: Results) -> Smoothing:
    """How the last job smoothed its posteriors."""
    with readable(results.path, _CONFIG):
        return Smoothing(**_config_of(results).get("summary", {}))


def compared_of(results: Results) -> Compared:
    """What the last job's configuration says of bands and products."""
    with readable(results.path, _CONFIG):
        config = _config_of(results)
        return comparison(config.get("products", {}), config.get("bands", {}))


def comparison(products: Mapping, bands: Mapping) -> Compared:
    """What the sections [products] and [bands] of a configuration say; the catalog's otherwise."""
    hardness = products.get("hardness") or HARDNESS
    return Compared(
        products.get("quantity", "photflux"),
        {name: tuple(pair) for name, pair in hardness.items()},
        {name: tuple(kev) for name, kev in bands.items()},
    )


def _config_of(results: Results) -> dict:
    jobs = results.table("jobs")
    return json.loads(jobs["config"][-1]) if len(jobs) else {}


def kept_rows(results: Results) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of /photometry whose densities are kept, and where each stands in /mpdf; in pieces."""
    kept = results.mpdf_rows()
    start = 0
    for rows in results.chunks("photometry") if len(kept) else ():
        first, last = np.searchsorted(kept, (start, start + len(rows)))
        mine = rows[kept[first:last] - start]
        start += len(rows)
        yield mine, np.arange(first, last)


def kept_fluxes(results: Results, quantity: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Those of a quantity in the source aperture."""
    for rows, places in kept_rows(results):
        wanted = (rows["quantity"] == quantity.encode()) & (rows["aperture"] == APERTURE)
        yield rows[wanted], places[wanted]


def nothing_kept(n: int) -> np.ndarray:
    """(n,) of KEPT."""
    return np.array([(-1, np.nan)] * n, KEPT)


def limits_of(rows: np.ndarray) -> np.ndarray:
    """(n,) the upper bounds of upper limits, NaN of all other results."""
    return np.where(rows["outcome"] == Outcome.UPPER_LIMIT, rows["hilim"], np.nan)


def catalog_densities(
    kept: np.ndarray, limits: np.ndarray, smoothing: Smoothing
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The densities that the catalog makes its products from: (low, high, density).

    kept : (n,) rows of /mpdf; limits : (n,) as of `limits_of`

    Smoothed by the catalog's kernel as the value is; an upper limit is the exponential of
    which its bound encloses 68 % (docs/hardness.md has the evidence).
    """
    tables = [kept[name].astype(float) for name in ("low", "high", "density")]
    is_limit = limits > 0.0
    rough = ~is_limit & (kept["kernel"] == 0) & are_densities(*tables)
    smooth = smoothed([column[rough] for column in tables], smoothing.bandwidth)
    points = kept["density"].shape[1]
    exponential = exponential_tables(limits[is_limit], smoothing.level, points)
    for column, of_rough, of_limits in zip(tables, smooth, exponential, strict=True):
        column[rough], column[is_limit] = of_rough, of_limits
    return tuple(tables)


def kept_by_band(
    results: Results, level: str, average: bool, rows_of: RowsOf, quantity: str
) -> dict[str, np.ndarray]:
    """For each band that has any, (len(rows_of),) of KEPT: where the rows' densities stand."""
    found: dict[str, np.ndarray] = {}
    for rows, places in kept_fluxes(results, quantity):
        mine = is_of(rows, level, average)
        rows, places = rows[mine], places[mine]
        at = row_numbers(rows, level, rows_of)
        for band in np.unique(rows["band"]).tolist():
            column = found.setdefault(band.decode(), nothing_kept(len(rows_of)))
            mine = rows["band"] == band
            column["place"][at[mine]] = places[mine]
            column["limit"][at[mine]] = limits_of(rows[mine])
    return found
