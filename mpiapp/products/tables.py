"""Densities as tables of equidistant points, as /mpdf keeps them, and those of Gammas."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

_DEPTH = 24.0  # a table ends where e⁻²⁴ of the peak is left


def are_densities(low: np.ndarray, high: np.ndarray, density: np.ndarray) -> np.ndarray:
    """(n,) whether tables are of non-negative quantities; what a damaged file holds may not be.

    low, high : (n,) ends; density : (n, points)
    """
    with np.errstate(invalid="ignore", over="ignore"):
        total = density.sum(axis=1)
        ends = (low >= 0.0) & (low < high) & (high < np.inf)
        return ends & (density >= 0.0).all(axis=1) & (total > 0.0) & (total < np.inf)


def exponential_tables(
    limit: np.ndarray, level: float, points: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(low, high, density) of exponentials of which `level` lies below limit (n,).

    density : (n, points), whose peak is 1
    """
    density = np.exp(np.linspace(0.0, -_DEPTH, points))
    high = -_DEPTH * limit / np.log1p(-level)
    return np.zeros(len(limit)), high, np.tile(density, (len(limit), 1))


def gamma_tables(
    mean: np.ndarray, rms: np.ndarray, points: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(low, high, density) of the Gamma densities of a mean and rms (n,), whose peak is 1.

    A flux has no density that is infinite at 0: a rms larger than the mean is the noise of draws of
    an exponential one.
    """
    power = np.maximum((mean / rms) ** 2, 1.0) - 1.0
    rate = (power + 1.0) / mean
    mode = power / rate

    def log(x):
        return xlogy(power, x) - rate * x

    floor = log(mode) - _DEPTH
    ends = []
    for outer in (np.zeros(len(mean)), mode + (24.0 + 7.0 * np.sqrt(power + 1.0)) / rate):
        inner = mode
        for _ in range(60):
            x = 0.5 * (inner + outer)
            is_inside = log(x) > floor
            inner, outer = np.where(is_inside, x, inner), np.where(is_inside, outer, x)
        ends.append(inner)
    low, high = ends
    return low, high, np.exp(log(np.linspace(low, high, points)) - log(mode)).T
