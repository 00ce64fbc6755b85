"""The posterior densities that a results file keeps, as the products read them: a few at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from ..files.results import Results, readable
from ..posterior import Smoothing
from .rows import RowsOf, is_of, row_numbers

QUANTITY, APERTURE = b"photflux", b"aper"  # what hardness and variability are made of


def smoothing_of(results: Results) -> Smoothing:
    """How the last job smoothed its posteriors."""
    jobs = results.table("jobs")
    with readable(results.path, "/jobs, column config"):
        return Smoothing(**json.loads(jobs["config"][-1])["summary"]) if len(jobs) else Smoothing()


def kept_rows(results: Results) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of /photometry whose densities are kept, and where each stands in /mpdf; in pieces."""
    kept = results.mpdf_rows()
    start = 0
    for rows in results.chunks("photometry") if len(kept) else ():
        first, last = np.searchsorted(kept, (start, start + len(rows)))
        mine = rows[kept[first:last] - start]
        start += len(rows)
        yield mine, np.arange(first, last)


def kept_fluxes(results: Results) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Those of photon fluxes in the source aperture."""
    for rows, places in kept_rows(results):
        wanted = (rows["quantity"] == QUANTITY) & (rows["aperture"] == APERTURE)
        yield rows[wanted], places[wanted]


def places_by_band(
    results: Results, level: str, average: bool, rows_of: RowsOf
) -> dict[str, np.ndarray]:
    """For each band that has any, (len(rows_of),) where the rows' densities stand; −1 for none."""
    found: dict[str, np.ndarray] = {}
    for rows, places in kept_fluxes(results):
        mine = is_of(rows, level, average)
        rows, places = rows[mine], places[mine]
        at = row_numbers(rows, level, rows_of)
        for band in np.unique(rows["band"]).tolist():
            column = found.setdefault(band.decode(), np.full(len(rows_of), -1))
            column[at[rows["band"] == band]] = places[rows["band"] == band]
    return found
