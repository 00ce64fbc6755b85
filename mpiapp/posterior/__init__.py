"""The posterior of a problem, which every engine answers with, and the questions to it.

`Draws` and `MarginalAnswers` both say mode, bounds, density and moments of every
parameter and how much noise is left in them; nobody asks which of the two it is.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .draws import Draws, SamplingError
from .mpdf import Smoothing, Summary
from .numbers import Solutions
from .tabulated import Tabulated

__all__ = ["Draws", "Posterior", "SamplingError", "Smoothing", "Solutions", "Summary"]


class Posterior(Protocol):
    """The posterior of one problem; columns and units are the problem's.

    Attributes
    ----------
    rhat, ess : (n_columns,) float64
        Convergence and effective sample size; NaN where nothing was drawn.
    n_draws : int
        Draws of all chains together; 0 where nothing was drawn.
    divergences : int
        Divergent transitions.
    method : str
        How it was found, e.g. "nuts" or "exact".
    limited : bool
        Whether a limit of the engine came before the accuracy that was asked for.
    seconds : dict of str to float
        Wall time of the phases (memo, Listing 4).
    """

    rhat: np.ndarray
    ess: np.ndarray
    n_draws: int
    divergences: int
    method: str
    limited: bool
    seconds: dict[str, float]

    def summary(self, column: int, smoothing: Smoothing) -> Summary:
        """Mode, bounds and noise of a parameter; ValueError if it has none."""
        ...

    def reach(self, column: int, smoothing: Smoothing) -> float:
        """An upper bound of mode + 3/2 (hilim − lolim) of a parameter (Eq. 11); cheap."""
        ...

    def mpdf(self, column: int, x: np.ndarray, smoothing: Smoothing) -> np.ndarray:
        """The catalog's smoothed density of a parameter at x, whose mode `summary` gives."""
        ...

    def tabulated(self, column: int, n: int, smoothing: Smoothing) -> Tabulated:
        """The density of a parameter at n points; smoothed only where it is known from draws."""
        ...

    def pdf(self, column: int, x: np.ndarray) -> np.ndarray:
        """Density of a parameter at x."""
        ...

    def cdf(self, column: int, x: np.ndarray) -> np.ndarray:
        """Probability that a parameter is at most x."""
        ...

    def quantile(self, column: int, p: np.ndarray) -> np.ndarray:
        """Where the distribution function of a parameter reaches p."""
        ...

    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, n_columns) values that stand for the joint posterior, and (n,) their shares."""
        ...

    def mean(self, column: int) -> float:
        """Expectation of a parameter."""
        ...

    def std(self, column: int) -> float:
        """Standard deviation of a parameter."""
        ...
