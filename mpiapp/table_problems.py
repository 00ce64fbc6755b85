"""Problems from the columns of a table of sources, alone or in bundles, for `measure_table`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .catalog.bundle import KNOWN
from .catalog.fault import InputError
from .catalog.model_fluxes import model_matrices
from .files.aperture_counts import Counts

# Rows that differ in one of these are of different bundles.
_PLACE = ("stack", "obsid", "bundle", "band", "aperture")


class Problems(NamedTuple):
    """Those with n sources each in one obsid.

    rows : (k, n) the sources' rows of the table
    counts : (k, n + 1) floats, F : (k, n_quantities, n + 1, n + 1), as in `Bundle`; NaN for what
    is no number
    gamma : (k, n_quantities, n + 1, 2), as in `Problem`
    """

    rows: np.ndarray
    counts: np.ndarray
    F: np.ndarray
    gamma: np.ndarray


def table_problems(counts: Counts, quantities: Sequence[str]) -> list[Problems]:
    """The problems of a table, by their number of sources (Eq. 1).

    quantities : those of F, in its order; each has its exposures and conversion factors

    Raises InputError if the table does not tell its bundles.
    """
    numbers, called = counts.numbers, counts.called("psf_frac")
    inside = numbers["psf_frac"]
    inside = inside[:, None] if inside.ndim == 1 else inside
    exposures = [counts.exposures(quantity).T for quantity in quantities]
    factors = [counts.conversion(quantity) for quantity in quantities]
    found = []
    for rows in _bundles(counts, inside.shape[1] > 1):
        n = rows.shape[1]
        if n > inside.shape[1]:
            raise InputError(
                f"{counts.source.name}: column {called}, {counts.where(rows[0, 0])}: of {n} "
                f"sources in a bundle each needs {n} numbers, the fractions of all of them in its "
                f"aperture, not {inside.shape[1]}"
            )
        of_sources = [numbers["cnts"][rows[:, i]] for i in range(n)]
        C = np.stack([*of_sources, _shared(numbers["cnts_bkg"], rows)], axis=1)
        plainly = np.empty((len(rows), n + 1, n + 1))
        plainly[:, :n, :n] = inside[rows][:, :, :n]
        plainly[:, :n, n], plainly[:, n, :n] = numbers["area"][rows], numbers["psf_frac_bkg"][rows]
        plainly[:, n, n] = _shared(numbers["area_bkg"], rows)
        # Beyond the bundle's own sources there is nothing.
        C[(np.nan_to_num(inside[rows][:, :, n:]) != 0).any(axis=(1, 2))] = np.nan
        F = np.empty((len(rows), len(quantities), n + 1, n + 1))
        for k, (exposure, of_background) in enumerate(exposures):
            E = np.concatenate([exposure[rows], _shared(of_background, rows)[:, None]], axis=1)
            F[:, k] = plainly * E[:, :, None]
            if factors[k] is not None:
                F[:, k] = model_matrices(F[:, k], factors[k][rows])
        is_known = counts.is_known[rows]
        C[:, n] = np.where(is_known.all(axis=1), KNOWN, C[:, n])
        if is_known.any():
            _expect(counts, rows, is_known, F)
        gamma = np.zeros((len(rows), len(quantities), n + 1, 2))
        for k, quantity in enumerate(quantities):
            if quantity in counts.gamma:
                own, of_background = counts.gamma[quantity][rows].transpose(2, 0, 1, 3)
                gamma[:, k, :n], gamma[:, k, n] = own, of_background[:, 0]
                C[(of_background != of_background[:, :1]).any(axis=(1, 2))] = np.nan
        found.append(Problems(rows, C, F, gamma))
    return found


def _expect(counts: Counts, rows: np.ndarray, is_known: np.ndarray, F: np.ndarray) -> None:
    """Write the backgrounds of bundles that are known into F, as in `Bundle`.

    NaN where they are not in all rows, or their relative errors differ: they are one background.
    """
    n, which = rows.shape[1], is_known.any(axis=1)
    errors = counts.relative_errors()[rows[which]]
    agree = is_known[which].all(axis=1) & (np.ptp(errors, axis=1) <= 1e-6 * errors[:, 0])
    F[which, :, n, :n] = 0.0
    F[which, :, :n, n] = counts.numbers["bkg"][rows[which]][:, None]
    F[which, :, n, n] = np.where(agree, errors[:, 0], np.nan)[:, None]


def _shared(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(k,) what all rows of each bundle say; NaN where they do not agree."""
    first = values[rows[:, 0]]
    return np.where((values[rows] == first[:, None]).all(axis=1), first, np.nan)


def _bundles(counts: Counts, needed: bool) -> list[np.ndarray]:
    """The rows of the bundles, (k, n) for each number n of sources, in the order of the table."""
    if "bundle" not in counts.names:
        if needed:
            raise InputError(
                f"{counts.source.name}: column bundle is missing: with several numbers in each row "
                f"of {counts.called('psf_frac')} it must be told which rows are one bundle; "
                "`columns` says its name"
            )
        return [np.arange(len(counts))[:, None]]
    if None in counts.names["bundle"]:
        where = counts.where(counts.names["bundle"].index(None))
        raise InputError(
            f"{counts.source.name}: column {counts.called('bundle')}, {where}: no value; each "
            "source needs its bundle"
        )
    which = np.zeros(len(counts), int)
    for place in _PLACE:
        if place in counts.names:
            own = np.unique([name or "" for name in counts.names[place]], return_inverse=True)[1]
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
