"""The answer of an engine that does one problem at a time, as one for many would give it."""

from __future__ import annotations

import numpy as np

from ..catalog.problem import Problem
from ..posterior import Posterior, SamplingError, Smoothing, Solutions, Summary
from ..posterior.numbers import no_numbers
from .rules import eq11


def solution(problem: Problem, posterior: Posterior, smoothing: Smoothing) -> Solutions:
    """The numbers of one problem's posterior: a batch of one.

    Parameters whose Eq. 11 need not be known are left out: those that are not reported and
    cannot exceed their priors.
    """
    n = problem.n_sources
    numbers, limits = no_numbers(1, n), np.zeros((1, n), bool)
    reached = np.zeros((1, problem.n_columns))
    for i, label in enumerate(problem.labels):
        reached[0, i] = posterior.reach(i, smoothing)
        if i not in problem.wanted and reached[0, i] <= problem.upper[i]:
            continue
        try:
            s = posterior.summary(i, smoothing)
        except ValueError as error:
            raise SamplingError(f"{label}: {error}") from error
        reached[0, i] = eq11(s.mode, s.lolim, s.hilim)
        if i in problem.wanted:
            limits[0, i] = s.is_upper_limit
            numbers[0, i] = record(posterior, i, s)
    method = np.array([posterior.method.encode("ascii", "replace")])
    return Solutions(numbers, limits, reached, np.ones(1, bool), method)


def record(posterior: Posterior, column: int, s: Summary) -> tuple:
    """NUMBERS of a parameter from its summary; the rules set outcome and flags."""
    return (
        s.value, s.lolim, s.hilim, s.mode, posterior.mean(column), posterior.std(column), s.noise,
        posterior.n_draws, posterior.rhat[column], posterior.ess[column], 0, 0,
    )  # fmt: skip
