"""The priors of a problem's parameters: uniform (memo, Table 1), or Gamma within these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .fault import InputError
from .instruments import instrument_problem
from .quantities import QUANTITIES, Matrix


def prior_bounds(
    quantities: Sequence[str],
    instruments: Sequence[str],
    n_sources: int,
    prior_upper: Mapping[str, float] | None = None,
) -> np.ndarray:
    """P_upper of each quantity's problem, (n_quantities, n_sources + n_obsids); from 0 to there.

    instruments : that of each obsid; others than HRC have the bounds of ACIS
    prior_upper : bounds that replace Table 1's, {"source": …, "background": …}

    Raises InputError for an unknown quantity, instrument or key.
    """
    given = dict(prior_upper or {})
    if unknown := given.keys() - {"source", "background"}:
        raise InputError(f"prior_upper: unknown key {unknown.pop()!r}")
    for instrument in dict.fromkeys(instruments):
        if problem := instrument_problem(instrument):
            raise InputError(f"instrument {instrument!r} {problem}")
    bounds = []
    for quantity in quantities:
        if quantity not in QUANTITIES:
            raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
        table = [QUANTITIES[quantity].prior_upper(instrument) for instrument in instruments]
        source = given.get("source", QUANTITIES[quantity].source_upper)
        backgrounds = [given.get("background", background) for _, background in table]
        bounds.append([*[source] * n_sources, *backgrounds])
    return np.array(bounds, float)


class Gamma(NamedTuple):
    """The prior density p(θ) ∝ θ^(α − 1) e^(−βθ) of an intensity θ, β in the unit of 1/θ.

    It is the posterior of α − 1 counts in an aperture that sees θ alone, with exposure β, and this
    is how it enters a problem: α is at least 1, but need not be a whole number.
    """

    alpha: float
    beta: float

    @classmethod
    def of_moments(cls, mean: float, rms: float) -> Gamma:
        """That of a mean and a standard deviation: α = mean²/rms², β = mean/rms²."""
        return cls((mean / rms) ** 2, mean / rms**2)


def column_gamma(priors: Mapping[int, Gamma], n_columns: int) -> np.ndarray:
    """(n_columns, 2) α − 1 and β by column of F; InputError for a prior that cannot be used."""
    found = np.zeros((n_columns, 2))
    for column, (alpha, beta) in priors.items():
        if not 0 <= column < n_columns:
            raise InputError(f"priors: column {column}, expected 0 to {n_columns - 1}")
        if problem := gamma_problem(alpha, beta).item():
            raise InputError(f"priors: column {column}: {problem}")
        found[column] = alpha - 1.0, beta
    return found


# α − 1 and β by source, band, aperture and quantity; of all bands or apertures where that is None.
SourcePriors = dict[tuple[str, str | None, str | None, str], tuple[float, float]]


def source_gamma(
    priors: SourcePriors, sources: Sequence[str], matrices: Sequence[Matrix], n_columns: int
) -> np.ndarray:
    """(n_matrices, n_columns, 2) α − 1 and β of these sources; zeros where there is no prior."""
    found = np.zeros((len(matrices), n_columns, 2))
    for i, (band, aperture, quantity) in enumerate(matrices):
        for j, source in enumerate(sources):
            for key in ((band, aperture), (band, None), (None, aperture), (None, None)):
                if gamma := priors.get((source, *key, quantity)):
                    found[i, j] = gamma
                    break
    return found


def gamma_problem(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """For each α and β why they are no prior that can be used; empty where they are."""
    alpha, beta = np.broadcast_arrays(alpha, beta)
    problem = np.full(alpha.shape, "", dtype=object)
    is_bad = ~(np.isfinite(alpha) & np.isfinite(beta) & (beta > 0))
    problem[(alpha < 1) & ~is_bad] = (
        "a Gamma prior with α = (mean/rms)² below 1 has no largest value but grows without end "
        "towards 0; give one whose rms is at most its mean, or none"
    )
    problem[is_bad] = "a Gamma prior needs a positive mean and rms, or a positive α and β"
    return problem


def prior_rows(
    counts: np.ndarray,
    F: np.ndarray,
    offset: np.ndarray,
    row_obsid: np.ndarray,
    gamma: np.ndarray,
    n_sources: int,
) -> tuple[np.ndarray, ...]:
    """(counts, F, offset, row_obsid) with a row for each Gamma prior: α − 1 counts, exposure β.

    All but row_obsid may have a leading axis; a column has its row if any problem has its prior.
    Rows of sources come first, those of backgrounds before their obsids' own.
    """
    columns = np.flatnonzero(gamma[..., 1].reshape(-1, gamma.shape[-2]).any(axis=0))
    last = np.append(np.flatnonzero(np.diff(row_obsid)), len(row_obsid) - 1)
    obsids = np.maximum(columns - n_sources, 0)
    at = np.where(columns < n_sources, 0, last[obsids])
    rows = np.zeros((*gamma.shape[:-2], len(columns), F.shape[-1]))
    rows[..., np.arange(len(columns)), columns] = gamma[..., columns, 1]
    return (
        np.insert(counts.astype(float), at, gamma[..., columns, 0], axis=-1),
        np.insert(F, at, rows, axis=-2),
        np.insert(offset, at, 0.0, axis=-1),
        np.insert(row_obsid, at, obsids),
    )
