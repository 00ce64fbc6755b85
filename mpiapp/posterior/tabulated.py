"""A posterior density as a table: what is kept of it when the posterior itself is gone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Tabulated(NamedTuple):
    """The density of a parameter at equidistant points; of many, with axes before these.

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

    @classmethod
    def of(cls, ends: np.ndarray, values: np.ndarray) -> Tabulated:
        """From (…, 2) where densities begin and end and values (…, n) per half of that range."""
        low, high = ends[..., 0], ends[..., 1]
        return cls(low, high, values / (0.5 * (high - low))[..., None], 0.0)

    @property
    def x(self) -> np.ndarray:
        """(n,) the points."""
        return np.linspace(self.low, self.high, len(self.density))


def cubics(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Values (…, n) at equidistant points, between them at places (m,) from 0 to n − 1; (…, m)."""
    first = np.clip(np.floor(place).astype(int) - 1, 0, values.shape[-1] - 4)
    u = place - first
    weights = (
        (u - 1) * (u - 2) * (u - 3) / -6,
        u * (u - 2) * (u - 3) / 2,
        u * (u - 1) * (u - 3) / -2,
        u * (u - 1) * (u - 2) / 6,
    )
    return sum(w * values[..., first + i] for i, w in enumerate(weights))
