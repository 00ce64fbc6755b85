"""A posterior density as a table: what is kept of it when the posterior itself is gone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Tabulated(NamedTuple):
    """The density of one parameter at equidistant points.

    Attributes
    ----------
    low, high : float
        First and last point, in the unit of the parameter; the density is 0 beyond both.
    density : (n,) float64
        Per unit of the parameter.
    kernel : float
        Half-width of the Epanechnikov kernel that it was smoothed with, in rms of the
        posterior; 0 where it is the posterior itself.
    """

    low: float
    high: float
    density: np.ndarray
    kernel: float

    @property
    def x(self) -> np.ndarray:
        """(n,) the points."""
        return np.linspace(self.low, self.high, len(self.density))
