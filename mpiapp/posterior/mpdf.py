"""The smoothed marginal of one parameter (MPDF): its mode, 68 % bounds and upper limit.

The density of the draws is estimated with an Epanechnikov kernel whose
half-width is the rms of the draws about their mean (memo, section 3.1), without
reflection at zero, on the range of the draws.  `cpp/smoothed_draws.hpp` has how
that is done without a grid, so that mode and bounds carry no quantisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ._compiled import density_of_draws, summary_of_draws

# Of the kernel's half-width, in units of the rms.
NARROWEST = 0.01


@dataclass(frozen=True)
class Smoothing:
    """How a posterior becomes a mode and bounds.

    Attributes
    ----------
    bandwidth : float
        Half-width of the kernel in units of the rms of the posterior, at least
        `NARROWEST`: `exact` cannot resolve a narrower one.
    level : float
        Probability that the bounds enclose.
    upper_limit : str
        Where the interval meets zero, the limit is twice the mode ("catalog", as CSC
        publishes) or the `level` quantile ("quantile").

    Raises ValueError for a value outside these ranges.
    """

    bandwidth: float = 1.0
    level: float = 0.68
    upper_limit: str = "catalog"

    def __post_init__(self):
        if not self.bandwidth >= NARROWEST:
            raise ValueError(f"bandwidth = {self.bandwidth}: it must be at least {NARROWEST}")
        if not 0 < self.level < 1:
            raise ValueError(f"level = {self.level}: it must lie between 0 and 1")
        if self.upper_limit not in ("catalog", "quantile"):
            raise ValueError(f"upper_limit = {self.upper_limit!r}: it is 'catalog' or 'quantile'")

    @property
    def wants_quantile(self) -> bool:
        return self.upper_limit == "quantile"


class Summary(NamedTuple):
    """Mode and bounds of one marginal, in the unit of the parameter.

    `mode` is the mode of the smoothed density even where `value` is 0 because
    the result is an upper limit.  `noise` is the standard deviation that chance
    leaves in the mode or a bound, whichever is larger, in units of half of
    hilim − lolim: 0 where there is none, NaN where it is not known.  That of a
    quadrature is meant to be above what the numbers are off.
    """

    value: float
    lolim: float
    hilim: float
    mode: float
    is_upper_limit: bool
    noise: float = np.nan


def summarise(
    draws: np.ndarray, smoothing: Smoothing = Smoothing(), ess: float | None = None
) -> Summary:
    """Mode and bounds of (n,) draws of a non-negative intensity.

    The interval grows symmetrically about the mode until it encloses `level`
    of the smoothed density.  Where it reaches zero first the result is an upper
    limit: value and lower bound are 0, and `upper_limit` says what the upper bound is.
    ess : effective number of the draws, as many as there are by default.

    Raises
    ------
    ValueError
        If the draws are constant, not finite, or negative.
    """
    mode, lolim, hilim, is_limit, noise = summary_of_draws(
        draws, smoothing.bandwidth, smoothing.level, smoothing.wants_quantile
    )
    noise /= np.sqrt(ess or len(draws))
    return Summary(0.0 if is_limit else mode, lolim, hilim, mode, is_limit, noise)


def density(draws: np.ndarray, x: np.ndarray, bandwidth: float = 1.0) -> np.ndarray:
    """The smoothed density at (m,) points x, per unit of x; zero outside the range of the draws."""
    return density_of_draws(draws, x, bandwidth)
