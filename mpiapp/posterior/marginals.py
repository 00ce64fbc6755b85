"""A posterior as the marginal densities of its parameters, free of Monte Carlo noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import Chebyshev

from ._compiled import (
    density_of_series,
    moments_of_series,
    smoothed_density_of_series,
    summary_of_series,
)
from .mpdf import Smoothing, Summary
from .tabulated import Tabulated


@dataclass(frozen=True, eq=False)
class Marginal:
    """Posterior density of one parameter, zero outside [lo, hi].

    Attributes
    ----------
    lo, hi : float
        Range, in the unit of the parameter.
    upper : float
        Upper bound of its prior, where the smoothed density ends.
    coefficients : (order,) float64
        Chebyshev series of the density on [lo, hi], not normalised.
    """

    lo: float
    hi: float
    upper: float
    coefficients: np.ndarray

    @property
    def _centre(self) -> tuple[float, float]:
        return 0.5 * (self.hi + self.lo), 0.5 * (self.hi - self.lo)

    @cached_property
    def _density(self) -> Chebyshev:
        density = Chebyshev(self.coefficients, [self.lo, self.hi])
        return density / density.integ(lbnd=self.lo)(self.hi)

    @cached_property
    def _integral(self) -> Chebyshev:
        return self._density.integ(lbnd=self.lo)

    def summary(self, smoothing: Smoothing) -> Summary:
        """Mode and bounds in the limit of infinitely many draws; without noise."""
        centre, half = self._centre
        mode, lolim, hilim, is_limit = summary_of_series(
            self.coefficients,
            -centre / half,
            (self.upper - centre) / half,
            smoothing.bandwidth,
            smoothing.level,
            smoothing.wants_quantile,
        )
        mode, hilim = centre + half * mode, centre + half * hilim
        if is_limit:
            return Summary(0.0, 0.0, hilim, mode, True, 0.0)
        return Summary(mode, max(centre + half * lolim, 0.0), hilim, mode, False, 0.0)

    def mpdf(self, x: np.ndarray, smoothing: Smoothing) -> np.ndarray:
        """The smoothed density at (m,) points x, per unit of x; zero outside the prior."""
        centre, half = self._centre
        t = (np.asarray(x, dtype=float) - centre) / half
        zero, top = -centre / half, (self.upper - centre) / half
        density = smoothed_density_of_series(self.coefficients, zero, top, smoothing.bandwidth, t)
        return density / half

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """Density at x, not smoothed."""
        x = np.asarray(x, dtype=float)
        inside = (x >= self.lo) & (x <= self.hi)
        return np.where(inside, self._density(np.clip(x, self.lo, self.hi)), 0.0)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Probability of values of at most x."""
        return np.clip(self._integral(np.clip(x, self.lo, self.hi)), 0.0, 1.0)

    def quantile(self, p: np.ndarray) -> np.ndarray:
        """x with cdf(x) = p, by bisection."""
        p = np.asarray(p, dtype=float)
        centre, half = self._centre
        pieces = np.array_split(p.ravel(), p.size // 1024 + 1)  # which bounds the memory
        places = np.concatenate([self._places(piece) for piece in pieces]).reshape(p.shape)
        return np.where(p > 0.0, centre + half * places, self.lo)

    def _places(self, p: np.ndarray) -> np.ndarray:
        series = self._integral.coef
        a, b = np.full(p.shape, -1.0), np.full(p.shape, 1.0)
        for _ in range(55):
            middle = 0.5 * (a + b)
            # T_n(cos α) = cos nα: a product of matrices, where Chebyshev's own sum has a step for
            # each n.
            below = np.cos(np.outer(np.arccos(middle), np.arange(len(series)))) @ series < p
            a, b = np.where(below, middle, a), np.where(below, b, middle)
        return 0.5 * (a + b)

    @cached_property
    def _moments(self) -> tuple[float, float]:
        return moments_of_series(self.coefficients)

    @property
    def mean(self) -> float:
        centre, half = self._centre
        return float(centre + half * self._moments[0])

    @property
    def std(self) -> float:
        return float(self._centre[1] * self._moments[1])


class MarginalAnswers:
    """The methods of a `Posterior` that follow from `marginal(column)` alone."""

    limited = False
    divergences = 0
    n_draws = 0

    def marginal(self, column: int) -> Marginal:
        """The marginal of a source or background."""
        raise NotImplementedError

    def mpdf(self, column: int, x: np.ndarray, smoothing: Smoothing) -> np.ndarray:
        """The smoothed density at x."""
        return self.marginal(column).mpdf(x, smoothing)

    def tabulated(self, column: int, n: int, smoothing: Smoothing) -> Tabulated:
        """The density itself at n points of its range."""
        m = self.marginal(column)
        values = density_of_series(m.coefficients, np.linspace(-1.0, 1.0, n))
        return Tabulated.of(np.array([m.lo, m.hi]), values)

    def pdf(self, column: int, x: np.ndarray) -> np.ndarray:
        """Density at x, not smoothed."""
        return self.marginal(column).pdf(x)

    def cdf(self, column: int, x: np.ndarray) -> np.ndarray:
        """Probability of values of at most x."""
        return self.marginal(column).cdf(x)

    def quantile(self, column: int, p: np.ndarray) -> np.ndarray:
        """x with cdf(x) = p."""
        return self.marginal(column).quantile(p)

    def mean(self, column: int) -> float:
        """Posterior mean."""
        return self.marginal(column).mean

    def std(self, column: int) -> float:
        """Posterior standard deviation."""
        return self.marginal(column).std
