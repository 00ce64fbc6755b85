"""Further numbers of a result, beside mode and bounds: those that [extras] asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..catalog.outcome import Outcome
from ..catalog.problem import Problem
from ..posterior import Posterior, SamplingError, Smoothing
from ..posterior.intervals import highest_density
from ..posterior.numbers import no_numbers
from .detection import Detection, WithoutSource, own_apertures
from .solution import record

# What may be asked for, and the columns of EXTRA_NUMBERS that it fills; of the last two there are
# tables.
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
_OF_POSTERIOR = {"hdi", "backgrounds", "correlations"}


@dataclass(frozen=True)
class Extras:
    """Which numbers are wanted beside mode and bounds: names of ASKED."""

    numbers: tuple[str, ...] = ()
    detection: Detection = field(default_factory=Detection)

    @property
    def need_posteriors(self) -> bool:
        """Whether any comes from the posterior, and not from C and F alone."""
        return not _OF_POSTERIOR.isdisjoint(self.numbers)


@dataclass(frozen=True)
class Further:
    """What was asked for of one problem.

    Attributes
    ----------
    numbers : (n_sources,) EXTRA_NUMBERS
        Of all sources of the problem; NaN where not asked for, or not to be had.
    backgrounds : (n_backgrounds,) NUMBERS, or none
        Of the backgrounds, per pixel.
    background_ml : (n_backgrounds, 2)
        Maximum-likelihood solution of the backgrounds, and its σ (Eq. 8).
    correlations : (n_sources, n_sources) array, or None
    """

    numbers: np.ndarray
    backgrounds: np.ndarray
    background_ml: np.ndarray
    correlations: np.ndarray | None


def further(
    problem: Problem, posterior: Posterior | None, extras: Extras, smoothing: Smoothing
) -> Further:
    """The further numbers of a problem and its posterior."""
    n = problem.n_sources
    numbers = np.full(n, np.nan, EXTRA_NUMBERS)
    backgrounds, background_ml, matrix = no_numbers(0), np.zeros((0, 2)), None
    if "ml" in extras.numbers:
        best, sigma = problem.maximum_likelihood()
        numbers["ml"], numbers["ml_sigma"] = best[:n], sigma[:n]
    if {"no_source", "detection_limit"} & set(extras.numbers):
        for j, own in enumerate(own_apertures(problem)):
            if j in problem.wanted and len(own):
                _of_detection(numbers[j : j + 1], problem, j, own, extras)
    if posterior is not None:
        if "hdi" in extras.numbers:
            for j in problem.wanted:
                bounds = highest_density(lambda p, j=j: posterior.quantile(j, p), smoothing.level)
                numbers["hdi_lo"][j], numbers["hdi_hi"][j] = bounds
        if "backgrounds" in extras.numbers:
            backgrounds = background_numbers(problem, posterior, smoothing)
            background_ml = np.stack(problem.maximum_likelihood(), axis=1)[n:]
        if "correlations" in extras.numbers and n > 1:
            matrix = correlations(posterior)[:n, :n]
    return Further(numbers, backgrounds, background_ml, matrix)


def _of_detection(row: np.ndarray, problem: Problem, j: int, own: np.ndarray, extras: Extras):
    try:
        without = WithoutSource(problem, j, own)
        if "no_source" in extras.numbers:
            row["no_source"] = without.chance
        if "detection_limit" in extras.numbers:
            row["threshold"] = without.threshold(extras.detection.false_alarm)
            row["detection_limit"] = without.limit(extras.detection)
    except SamplingError:
        pass  # an extreme posterior of the neighbours: NaN, as every number that is not known


def background_numbers(problem: Problem, posterior: Posterior, smoothing: Smoothing) -> np.ndarray:
    """(n_backgrounds,) NUMBERS of the backgrounds, per pixel; none where they are not fitted."""
    numbers = no_numbers(len(problem.backgrounds))
    for k in range(len(problem.backgrounds)):
        column = problem.n_sources + k
        found = posterior.summary(column, smoothing)
        numbers[k] = record(posterior, column, found)
        numbers["outcome"][k] = Outcome.UPPER_LIMIT if found.is_upper_limit else Outcome.MEASURED
    return numbers


def correlations(posterior: Posterior) -> np.ndarray:
    """(n_columns, n_columns) correlation coefficients of the joint posterior."""
    theta, share = posterior.joint()
    apart = theta - share @ theta
    covariance = apart.T @ (apart * share[:, None])
    spread = np.sqrt(covariance.diagonal())
    return covariance / np.outer(spread, spread)
