"""A posterior as draws from it, and what can go wrong while it is sampled."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .mpdf import Smoothing, Summary, density, summarise
from .tabulated import Tabulated


class SamplingError(RuntimeError):
    """The engine could not sample this problem; the ladder of section 7 decides what follows."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws from the posterior of one problem; a `Posterior`.

    Attributes
    ----------
    values : (n_chains, n_draws, n_columns) float64
        θ in the problem's column order and units.
    rhat, ess : (n_columns,) float64
        Rank-normalised split r-hat and bulk effective sample size
        (Vehtari et al. 2021).
    divergences : int
        Divergent transitions after tuning; 0 where the method knows none.
    method : str
        How the draws were made, e.g. "nuts" or "exact".
    limited : bool
        True if the engine's limit of draws came before the effective sample
        size that was asked for.
    seconds : dict of str to float
        Wall time of the phases prior, likelihood, compile, init and sample
        (memo, Listing 4).
    """

    values: np.ndarray
    rhat: np.ndarray
    ess: np.ndarray
    divergences: int = 0
    method: str = ""
    limited: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def n_draws(self) -> int:
        return self.values.shape[0] * self.values.shape[1]

    def of(self, column: int) -> np.ndarray:
        """(n_draws,) draws of one column, chains one after the other."""
        return self.values[:, :, column].reshape(-1)

    def summary(self, column: int, smoothing: Smoothing) -> Summary:
        """Mode, bounds and noise of the smoothed draws; ValueError if they are useless."""
        return summarise(self.of(column), smoothing, self.ess[column])

    def reach(self, column: int, smoothing: Smoothing) -> float:
        """An upper bound of Eq. 11: the mode is at most the largest draw, hilim twice as much."""
        return 4.0 * self.values[:, :, column].max()

    def mpdf(self, column: int, x: np.ndarray, smoothing: Smoothing) -> np.ndarray:
        """The smoothed density at x."""
        return density(self.of(column), x, smoothing.bandwidth)

    def tabulated(self, column: int, n: int, smoothing: Smoothing) -> Tabulated:
        """The smoothed density at n points between the smallest and the largest draw."""
        draws = self.of(column)
        x = np.linspace(draws.min(), draws.max(), n)
        values = density(draws, x, smoothing.bandwidth)
        return Tabulated(x[0], x[-1], values, smoothing.bandwidth)

    def pdf(self, column: int, x: np.ndarray) -> np.ndarray:
        """The density at x, smoothed by the catalog's kernel."""
        return self.mpdf(column, x, Smoothing())

    def cdf(self, column: int, x: np.ndarray) -> np.ndarray:
        """The share of the draws that are at most x."""
        return np.searchsorted(np.sort(self.of(column)), x, side="right") / self.n_draws

    def quantile(self, column: int, p: np.ndarray) -> np.ndarray:
        """The quantiles of the draws."""
        return np.quantile(self.of(column), p)

    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """All draws, with equal shares."""
        n = self.n_draws
        return self.values.reshape(n, -1), np.full(n, 1.0 / n)

    def mean(self, column: int) -> float:
        """Mean of the draws."""
        return float(self.of(column).mean())

    def std(self, column: int) -> float:
        """Standard deviation of the draws."""
        return float(self.of(column).std())
