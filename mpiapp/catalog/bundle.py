"""What one obsid says of one bundle: components, raw counts and PSF matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .fault import InputError
from .quantities import Matrix

# In place of the counts of a background aperture where there is none: the background is known.
KNOWN = -1


class ObsidBundle(NamedTuple):
    """Which bundle of which obsid of which stack."""

    stack: str
    obsid: str
    bundle: str

    def __str__(self) -> str:
        return f"{self.stack}/{self.obsid}/{self.bundle}"


@dataclass(frozen=True, eq=False)
class Bundle:
    """The part of a bundle that one obsid sees, for all bands, apertures and quantities.

    Attributes
    ----------
    key : ObsidBundle
    instrument : "ACIS" or "HRC"
    components : tuple of str
        Sources in the order of the rows and columns; those outside the
        obsid's valid field are absent.
    counts : dict (band, aperture) -> (n + 1,) int64
        Raw counts of the n source apertures, background last (Eq. 1, C); KNOWN instead of the
        background's where that is known.
    F : dict Matrix -> (n + 1, n + 1) float64
        Rows are apertures, columns are components; background last in both
        (Eq. 1, F).  Of a known background the last column has the counts to be expected from it in
        each aperture, the last row nothing but its relative error, 0 if it is known exactly.
    """

    key: ObsidBundle
    instrument: str
    components: tuple[str, ...]
    counts: dict[tuple[str, str], np.ndarray]
    F: dict[Matrix, np.ndarray]


def with_known_background(
    counts: np.ndarray, F: np.ndarray, expected: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray]:
    """(n + 1,) C and (n + 1, n + 1) F, as in `Bundle`, of n sources before a known background.

    counts, expected : (n,) of each source's aperture; F : (n, n); error : relative

    Raises InputError if they do not fit or cannot be used.
    """
    n = len(F)
    if F.shape != (n, n) or counts.shape != (n,) or expected.shape != (n,):
        raise InputError(
            f"counts {counts.shape}, F {F.shape} and background {expected.shape} do not fit: with "
            "a known background they are (sources,), (sources, sources) and (sources,)"
        )
    whole = np.zeros((n + 1, n + 1))
    whole[:n, :n], whole[:n, n], whole[n, n] = F, expected, error
    C = np.append(counts, KNOWN)
    check_values(C, whole)
    return C, whole


def check_matrices(counts: np.ndarray, F: np.ndarray, n_components: int) -> None:
    """Raise InputError unless counts and F can be one obsid's C and F of `n_components` sources.

    F must have shape (n + 1, n + 1); the rest as in `check_values`.
    """
    n_rows = n_components + 1
    if counts.shape != (n_rows,):
        raise InputError(
            f"counts have shape {counts.shape}, expected ({n_rows},) for {n_components} components "
            "and the background"
        )
    if F.shape != (n_rows, n_rows):
        raise InputError(f"F has shape {F.shape}, expected ({n_rows}, {n_rows})")
    check_values(counts, F)


def check_values(counts: np.ndarray, F: np.ndarray) -> None:
    """Raise InputError unless one obsid's counts and F, background last, make sense.

    Both may have a leading axis, with an obsid each.
    Counts must be non-negative whole numbers, F finite and non-negative, and the
    background must reach its own aperture: without it B says nothing and B/Ω_b
    does not exist (Listing 5).  One that is KNOWN needs a relative error of at most 1, beyond
    which no Gamma density with a mode has it.
    """
    if are_sensible(counts, F).all():
        return
    if F.ndim == 2:
        raise InputError(_first_fault(counts, F))
    for one_counts, one_F in zip(counts, F):
        check_values(one_counts, one_F)


def are_sensible(counts: np.ndarray, F: np.ndarray) -> np.ndarray:
    """Whether each obsid's counts and F pass `check_values`: () or (n, …) bool."""
    usable = np.isfinite(F) & (F >= 0)
    whole = (counts >= 0) & (counts < np.inf) & (counts == np.floor(counts))
    known = counts[..., -1] == KNOWN
    whole[..., -1] |= known
    empty = (F == 0).all(axis=-1)
    rows = whole & usable.all(axis=-1) & ~(empty & (counts > 0))
    error = F[..., -1, -1]
    of_known = (error <= 1) & (F[..., -1, :-1] == 0).all(axis=-1)
    return rows.all(axis=-1) & np.where(known, of_known, error > 0)


def _first_fault(counts: np.ndarray, F: np.ndarray) -> str:
    is_known = counts[-1] == KNOWN
    counts = np.append(counts[:-1], 0) if is_known else counts
    for name, array in (("counts", counts), ("F", F)):
        bad = ~(np.isfinite(array) & (array >= 0))
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            return f"{name}{list(where)} is {array[where]}, expected a finite number of 0 or more"
    fractional = np.flatnonzero(counts != np.floor(counts))
    if fractional.size:
        i = int(fractional[0])
        return f"counts[{i}] is {counts[i]}, expected a whole number of raw counts"
    if is_known and not (F[-1, -1] <= 1 and (F[-1, :-1] == 0).all()):
        return (
            f"the background is known, with the relative error {F[-1, -1]}: expected at most 1, "
            "beyond which it has no Gamma density with a mode, and zeros before it"
        )
    if not is_known and F[-1, -1] <= 0:
        i = len(F) - 1
        return f"F[{i}, {F.shape[1] - 1}] is 0: the background aperture needs an area"
    i = int(np.flatnonzero((F == 0).all(axis=1) & (counts > 0))[0])
    return f"row {i} of F is all zero but its aperture holds {counts[i]} counts"
