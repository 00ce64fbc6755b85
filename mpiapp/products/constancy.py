"""Whether densities that are known as tables have a value in common: the ratio of likelihoods.

With flat priors the density of what one observation measures is its likelihood.  Of n observations

    D = −2 ln [max_s Π p_j(s) / Π max p_j]

is near χ² with n − 1 degrees of freedom if all measured the same s (Wilks).

Here the observations of m sources are one after the other: first (m + 1,) is where those of each
begin, and their number.
"""

from __future__ import annotations

import numpy as np

from ._compiled import common_values


def constancy(
    low: np.ndarray, high: np.ndarray, density: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """(m, 3) of D, number of observations and common value; NaN for fewer than two observations.

    low, high : (n,) ends, and density : (n, points) values at equidistant points, of any norm
    """
    statistic, common = common_values((low, high, density), first).T
    number = np.where(np.isnan(statistic), np.nan, np.diff(first))
    return np.column_stack([statistic, number, common])


def source_of(first: np.ndarray) -> np.ndarray:
    """(n,) the source of each observation."""
    return np.repeat(np.arange(len(first) - 1), np.diff(first))


def of_those(used: np.ndarray, first: np.ndarray) -> np.ndarray:
    """`first` if only the observations are left that are used (n,)."""
    return np.append(0, np.cumsum(used))[first]


def farthest(
    value: np.ndarray, half: np.ndarray, limit: np.ndarray, common: np.ndarray, first: np.ndarray
) -> np.ndarray:
    """(m,) how far from a common value (m,) the measurement is that differs by most half-widths.

    value, half, limit : (n,) of observations; of limits, where `limit` is a number, nothing is
    asked, and sources that have no other observations have 0.
    """
    source = source_of(first)
    away = np.where(limit > 0.0, 0.0, np.abs(value - common[source]))
    order = np.lexsort((away / half, source))
    found = np.zeros(len(common))
    found[source[order]] = away[order]  # the last one of each source
    return found


def spread(mean: np.ndarray, rms: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(m,) standard deviations about their means of values (n,), both weighted with 1/rms²."""
    source, n = source_of(first), len(first) - 1
    weight = 1.0 / rms**2
    total = np.bincount(source, weight, n)
    with np.errstate(invalid="ignore"):  # of no observations
        centre = np.bincount(source, weight * mean, n) / total
        return np.sqrt(np.bincount(source, weight * (mean - centre[source]) ** 2, n) / total)
