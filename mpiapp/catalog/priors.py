"""The priors of a problem's parameters: uniform (memo, Table 1), or Gamma within these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from .fault import InputError
from .instruments import instrument_problem
from .quantities import QUANTITIES, Matrix

# Upper bounds of uniform priors of source and background, by instrument and quantity.
UpperBounds = Mapping[str, Mapping[str, tuple[float, float]]]


def prior_bounds(
    quantities: Sequence[str],
    instruments: Sequence[str],
    n_sources: int,
    prior_upper: Mapping[str, float] | None = None,
    of_instruments: UpperBounds | None = None,
) -> np.ndarray:
    """P_upper of each quantity's problem, (n_quantities, n_sources + n_obsids); from 0 to there.

    instruments : that of each obsid; others than HRC have the bounds of ACIS
    prior_upper : bounds that replace Table 1's, {"source": …, "background": …}
    of_instruments : bounds that replace Table 1's; a source has the largest of its instruments

    Raises InputError for an unknown quantity, instrument or key.
    """
    given, of_instruments = dict(prior_upper or {}), of_instruments or {}
    if unknown := given.keys() - {"source", "background"}:
        raise InputError(f"prior_upper: unknown key {unknown.pop()!r}")
    for instrument in dict.fromkeys(instruments):
        if problem := instrument_problem(instrument):
            raise InputError(f"instrument {instrument!r} {problem}")
    bounds = []
    for quantity in quantities:
        if quantity not in QUANTITIES:
            raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
        table = [
            of_instruments.get(instrument, {}).get(quantity)
            or QUANTITIES[quantity].prior_upper(instrument)
            for instrument in instruments
        ]
        largest = max((source for source, _ in table), default=QUANTITIES[quantity].source_upper)
        source = given.get("source", largest)
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


class PriorKey(NamedTuple):
    """Whose Gamma prior it is; None where it holds for all.

    Without stack and obsid the source is called as at the level that is measured, by its component
    or its master source; with one of them by its component.

    is_background : of the background of its bundle
    """

    stack: str | None
    obsid: str | None
    source: str
    band: str | None
    aperture: str | None
    quantity: str
    is_background: bool = False


Priors = dict[PriorKey, tuple[float, float]]  # to α − 1 and β


class ObsidPriors(NamedTuple):
    """The components of a bundle in an obsid, their labels in the problem, and their own priors."""

    stack: str
    obsid: str
    components: Sequence[str]
    labels: Sequence[str]
    own: Priors


def problem_gamma(
    priors: Priors, sources: Sequence[str], obsids: Sequence[ObsidPriors], matrix: Matrix
) -> np.ndarray:
    """(n_sources + n_obsids, 2) α − 1 and β of a problem; zeros where there is no prior.

    priors : of the job, which come before those of the obsids' own

    Raises InputError if two obsids or components contradict each other.
    """
    found = np.zeros((len(sources) + len(obsids), 2))
    told: dict[int, str] = {}
    for k, obsid in enumerate(obsids):
        for component, label in zip(obsid.components, obsid.labels):
            for column, is_background in (
                (sources.index(label), False),
                (len(sources) + k, True),
            ):
                gamma = None
                for given in filter(None, (priors, obsid.own)):
                    gamma = gamma or _find(given, obsid, component, label, matrix, is_background)
                if gamma is None:
                    continue
                place = f"obsid {obsid.obsid}, component {component}"
                if column in told and gamma != tuple(found[column].tolist()):
                    what = "the background" if is_background else f"source {label}"
                    raise InputError(
                        f"{' '.join(matrix)}: {what} has one Gamma prior in {told[column]} and "
                        f"another in {place}; give it one"
                    )
                found[column], told[column] = gamma, place
    return found


def _find(
    priors: Priors,
    obsid: ObsidPriors,
    component: str,
    label: str,
    matrix: Matrix,
    is_background: bool,
) -> tuple[float, float] | None:
    """The prior that says most of whom it is for."""
    band, aperture, quantity = matrix
    for stack, of_obsid, *pair in product(
        (obsid.stack, None), (obsid.obsid, None), (band, None), (aperture, None)
    ):
        name = label if stack is of_obsid is None else component
        if gamma := priors.get(PriorKey(stack, of_obsid, name, *pair, quantity, is_background)):
            return gamma
    return None


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
