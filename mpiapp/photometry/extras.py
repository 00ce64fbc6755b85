"""Further numbers of a result, beside mode and bounds: those that [extras] asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ..catalog.outcome import Outcome
from ..catalog.problem import Problem
from ..engines.canonical import canonical
from ..posterior import Posterior, SamplingError, Smoothing
from ..posterior.intervals import highest_density
from ..posterior.numbers import no_numbers
from .detection import Detection, WithoutSource, own_apertures
from .solution import record

# What may be asked for, and the columns of EXTRA_NUMBERS that it fills; the last two fill tables.
ASKED = {
    "ml": ("ml", "ml_sigma"),
    "no_source": ("no_source",),
    "detection_limit": ("threshold", "detection_limit"),
    "hdi": ("hdi_lo", "hdi_hi"),
    "backgrounds": (),
    "correlations": (),
}
# Of a source: maximum-likelihood solution and its σ (Eq. 8), the chance that there is no source,
# the counts that a detection exceeds, the detection limit, and the interval of highest density.
EXTRA_NUMBERS = np.dtype([(name, "f8") for names in ASKED.values() for name in names])
_OF_DETECTION = {"no_source", "detection_limit"}
_OF_POSTERIOR = {"hdi", "backgrounds", "correlations"}
# A posterior that has no peak or density makes these, where it has given mode and bounds.
_NOT_TO_BE_HAD = (SamplingError, ValueError, np.linalg.LinAlgError)


@dataclass(frozen=True)
class Extras:
    """Which numbers are wanted beside mode and bounds: names of ASKED."""

    numbers: tuple[str, ...] = ()
    detection: Detection = field(default_factory=Detection)

    @property
    def need_posteriors(self) -> bool:
        """Whether any comes from the posterior, and not from C and F alone."""
        return not _OF_POSTERIOR.isdisjoint(self.numbers)


class Further(NamedTuple):
    """What was asked for of one problem.

    Attributes
    ----------
    numbers : (n_results,) EXTRA_NUMBERS
        NaN where not asked for, or not to be had.
    backgrounds : list of tuples
        Label, NUMBERS per pixel, maximum-likelihood solution and its σ.
    correlations : list of tuples
        Place of a result, label of another source, and their correlation.
    """

    numbers: np.ndarray
    backgrounds: list[tuple]
    correlations: list[tuple]


def further(
    problem: Problem,
    posterior: Posterior | None,
    sources: Sequence[str],
    extras: Extras,
    smoothing: Smoothing,
) -> Further:
    """The further numbers of a problem and its posterior.

    sources : the results, of which some may not be in the problem
    """
    found = Further(np.full(len(sources), np.nan, EXTRA_NUMBERS), [], [])
    asked = set(extras.numbers)
    places = [(i, problem.sources.index(s)) for i, s in enumerate(sources) if s in problem.sources]
    if asked & {"ml", "backgrounds"}:
        best, sigma = problem.maximum_likelihood()
    if asked & _OF_DETECTION:
        detected = _detected(problem, extras)
    for i, j in places:
        row = found.numbers[i]
        if "ml" in asked:
            row["ml"], row["ml_sigma"] = best[j], sigma[j]
        if asked & _OF_DETECTION:
            row["no_source"], row["threshold"], row["detection_limit"] = detected[j]
        if "hdi" in asked and posterior is not None:
            with contextlib.suppress(*_NOT_TO_BE_HAD):
                quantile = partial(posterior.quantile, j)
                row["hdi_lo"], row["hdi_hi"] = highest_density(quantile, smoothing.level)
    if "backgrounds" in asked and posterior is not None:
        with contextlib.suppress(*_NOT_TO_BE_HAD):
            numbers = background_numbers(problem, posterior, smoothing)
            n = problem.n_sources
            found.backgrounds.extend(
                (problem.backgrounds[k], numbers[k], best[n + k], sigma[n + k])
                for k in fitted_backgrounds(problem)
            )
    if "correlations" in asked and posterior is not None and problem.n_sources > 1:
        with contextlib.suppress(*_NOT_TO_BE_HAD):
            matrix = correlations(posterior)
            found.correlations.extend(
                (i, other, matrix[j, k])
                for i, j in places
                for k, other in enumerate(problem.sources)
                if k != j
            )
    return found


def _detected(problem: Problem, extras: Extras) -> np.ndarray:
    """(n_sources, 3) chance that there is no source, threshold and detection limit; or NaN."""
    if problem.gamma is not None:  # known in the problem's own unit alone
        return _integrated(_SameData(b"", problem), extras)
    own = canonical(problem)
    found = _integrated_once(_SameData(own.digest, own.problem), extras).copy()
    found[:, 2] /= own.units[: problem.n_sources]
    return found


@dataclass(frozen=True)
class _SameData:
    """A problem that equals others of the same data, such as other quantities in own units."""

    digest: bytes
    problem: Problem = field(compare=False)


def _integrated(data: _SameData, extras: Extras) -> np.ndarray:
    problem = data.problem
    found, own = np.full((problem.n_sources, 3), np.nan), own_apertures(problem)
    for j in problem.wanted:
        if not len(own[j]):
            continue
        with contextlib.suppress(*_NOT_TO_BE_HAD):
            without = WithoutSource(problem, j, own[j])
            if "no_source" in extras.numbers:
                found[j, 0] = without.chance
            if "detection_limit" in extras.numbers:
                found[j, 1] = without.threshold(extras.detection.false_alarm)
                found[j, 2] = without.limit(extras.detection)
    return found


_integrated_once = lru_cache(maxsize=16)(_integrated)


def background_numbers(problem: Problem, posterior: Posterior, smoothing: Smoothing) -> np.ndarray:
    """(n_backgrounds,) NUMBERS of the backgrounds, per pixel; of those that are fitted."""
    numbers = no_numbers(len(problem.backgrounds))
    for k in fitted_backgrounds(problem):
        column = problem.n_sources + k
        found = posterior.summary(column, smoothing)
        numbers[k] = record(posterior, column, found)
        numbers["outcome"][k] = Outcome.UPPER_LIMIT if found.is_upper_limit else Outcome.MEASURED
    return numbers


def fitted_backgrounds(problem: Problem) -> np.ndarray:
    """Those that are not known exactly: which more than their own row of F sees."""
    return np.flatnonzero((problem.F[:, problem.n_sources :] > 0).sum(axis=0) > 1)


def correlations(posterior: Posterior) -> np.ndarray:
    """(n_columns, n_columns) correlation coefficients of the joint posterior."""
    theta, share = posterior.joint()
    apart = theta - share @ theta
    covariance = apart.T @ (apart * share[:, None])
    spread = np.sqrt(covariance.diagonal())
    return covariance / np.outer(spread, spread)
