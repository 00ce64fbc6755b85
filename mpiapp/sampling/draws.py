"""What an engine returns, and what can go wrong while it samples."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


class SamplingError(RuntimeError):
    """The engine could not sample this problem; the ladder of section 7 decides what follows."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws from the posterior of one problem.

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

    def of(self, column: int) -> np.ndarray:
        """(n_chains · n_draws,) draws of one column, chains one after the other."""
        return self.values[:, :, column].reshape(-1)
