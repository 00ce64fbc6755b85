"""Published rows recomputed: the memo's Table 3 on real rows, with a band's own numbers or without.

The net counts of a detection share f and r between its bands (`effective`), and count rates the
exposure time as well.  Photon and energy fluxes have an exposure of their own in each band, fitted
to the numbers of that band; of an upper limit, which is one number, nothing is then left to test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..catalog.outcome import Outcome
from ..catalog.quantities import BANDS, TABLE_1
from ..files.schema import PHOTOMETRY_DTYPE
from ..report.compare import Comparison, compare
from ..report.matching import Side, signed_distance
from .effective import Responses, fit_rows, fit_scale, solve
from .real_rows import RealRows

CNTS = list(TABLE_1).index("cnts")
CLASSES = ("value", "value, lolim 0", "limit, C > 0", "limit, C = 0")


class Recomputed(NamedTuple):
    """Numbers of all quantities of published rows.

    ratios : (n, bands) r that was used in each
    exposure : (n, quantities, bands) what intensities were multiplied with, of F
    numbers : (n, quantities, bands, 5) value, lolim, hilim, mode and outcome; NaN for NULL
    is_trivial : (n, quantities, bands) upper limits that their own exposure was fitted to
    """

    ratios: np.ndarray
    exposure: np.ndarray
    numbers: np.ndarray
    is_trivial: np.ndarray


def recompute(
    rows: RealRows, responses: Responses, engine: str, seed: int = 0, left_out: bool = False
) -> Recomputed:
    """Measure the counts of published rows by an engine.

    left_out : fit f and r of a band to the other bands of its row, of which two are needed
    """
    counts, published = rows.counts, rows.published
    n, n_bands = counts.shape[:2]
    use = responses.known
    of_bands = fit_rows(responses, published[:, CNTS], use)[:, None].repeat(n_bands, axis=1)
    if left_out:
        for band in range(n_bands):
            others = use & np.isfinite(published[:, CNTS, :, 0])
            others[:, band] = False
            of_bands[:, band] = fit_rows(responses, published[:, CNTS], others)
            of_bands[others.sum(axis=1) < 2, band] = np.nan
    known = use & np.isfinite(of_bands).all(axis=-1)
    found = np.full((n, n_bands, 5), np.nan)
    if known.any():
        found[known] = solve(engine, counts[known], of_bands[known][:, 1], seed)
    numbers = np.repeat(found[:, None], len(TABLE_1), axis=1)
    scale = np.ones((n, len(TABLE_1), n_bands))
    limit = published[..., 0] == 0
    trivial = np.zeros(limit.shape, bool)
    of_numbers = found[..., [3, 1, 2]]
    for k, quantity in enumerate(TABLE_1):
        if quantity == "cnts":
            scale[:, k] = of_bands[..., 0]
        elif quantity == "rate" and np.isfinite(rows.livetime).any():
            scale[:, k] = of_bands[..., 0] / rows.livetime[:, None]
        else:
            scale[:, k] = fit_scale(of_numbers, published[:, k])
            trivial[:, k] = limit[:, k]
    numbers[..., :4] *= scale[..., None]
    numbers[~(np.isfinite(scale) & (scale > 0))] = np.nan
    return Recomputed(of_bands[..., 1], 1 / scale, numbers, trivial)


def as_comparison(rows: RealRows, found: Recomputed, sample: str) -> Comparison:
    """Table 3 and the largest f, by Eqs. 9 and 10."""
    theirs, ours = _photometry(rows, rows.published, False), _photometry(rows, found.numbers, True)
    # without a bound there is no f
    theirs["hilim"][found.is_trivial[_there(rows)]] = np.nan
    here, there = (
        Side(rows.path, len(part), lambda part=part: iter([part])) for part in (ours, theirs)
    )
    return compare(here, there, sample)


def _there(rows: RealRows) -> np.ndarray:
    """(n, quantities, bands) what has counts."""
    known = np.isfinite(rows.counts).all(axis=-1)
    return np.repeat(known[:, None], len(TABLE_1), axis=1)


def _photometry(rows: RealRows, numbers: np.ndarray, has_outcome: bool) -> np.ndarray:
    """Rows of /photometry of everything that has counts."""
    there = _there(rows)
    i, quantity, band = np.nonzero(there)
    out = np.zeros(len(i), PHOTOMETRY_DTYPE)
    out["run_id"] = np.arange(len(i))
    out["level"], out["component"] = b"obsid", b""
    out["target"] = np.char.encode(rows.label[i].astype(str), "utf-8")
    out["aperture"] = np.char.encode(rows.aperture[i], "ascii")
    out["quantity"] = np.array(list(TABLE_1), "S8")[quantity]
    out["band"] = np.array(list(BANDS), "S1")[band]
    own = numbers[there]
    for k, name in enumerate(("value", "lolim", "hilim")):
        out[name] = own[:, k]
    out["mode"] = own[:, 3] if has_outcome else own[:, 0]
    out["ess"] = out["rhat"] = np.nan
    limit = own[:, 4] == Outcome.UPPER_LIMIT if has_outcome else own[:, 0] == 0
    out["outcome"] = np.select(
        [np.isnan(own[:, 2]), limit], [Outcome.NULL_FAILED, Outcome.UPPER_LIMIT], Outcome.MEASURED
    )
    return out


def class_of(rows: RealRows) -> np.ndarray:
    """(n, bands) which of CLASSES published net counts are; −1 for NULL."""
    value, lolim, _ = np.moveaxis(rows.published[:, CNTS], -1, 0)
    source = rows.counts[..., 0]
    known = np.isfinite(value) & np.isfinite(source)
    kinds = [known & (value > 0) & (lolim > 0), known & (value > 0), known & (source > 0), known]
    return np.select(kinds, range(4), -1)


def distances(rows: RealRows, found: Recomputed) -> np.ndarray:
    """(n, bands) f of net counts, by Eq. 9, of limits by Eq. 10; NaN where either is NULL."""
    ours, theirs = (np.moveaxis(x[:, CNTS], -1, 0) for x in (found.numbers, rows.published))
    return np.abs(signed_distance(ours[3], ours[2], *theirs))
