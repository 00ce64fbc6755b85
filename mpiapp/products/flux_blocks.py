"""Bayesian Blocks: which observations of a source have one flux in common.

As Scargle et al. 2013 (ApJ 764, 167), with the flux posterior of an observation as cell and the
cells in the order of flux, or of time.  Blocks of neighbours in that order are found exactly, by
dynamic programming.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..posterior.tabulated import cubics

# Of each density, and of a product of densities over the range of its narrowest factor: of 1000
# equal ones the product is still twice as wide as their distance.
POINTS = 1024
_DEPTH = 24.0  # a table of a Gamma density ends where it is e^-24 of its peak
_FLOOR = np.exp(-40.0)  # of the peak; what is taken for a density of 0
_TAIL = 0.001  # probability beyond each end of the range that an observation allows

# Measured by tests/benchmarks/bench_blocks.py: the penalty per block with which 5 % of constant
# sources with so many observations get more than one block.
_N = np.array([1, 2, 3, 4, 5, 8, 12, 20, 40, 80])
_PENALTY = {
    1: np.array([0.0, 0.40, 0.60, 0.85, 0.98, 1.37, 1.86, 2.70, 5.12, 10.0]),
    4: np.array([0.0, 0.80, 1.05, 1.25, 1.42, 1.95, 2.54, 3.45, 6.51, 11.6]),
}
# The same in the order of time, where a constant source is never sorted apart.
_TIME_PENALTY = {
    1: np.array([0.0, 0.43, 0.50, 0.57, 0.57, 0.57, 0.68, 0.68, 0.68, 0.93]),
    4: np.array([0.0, 0.82, 0.93, 1.03, 1.05, 1.09, 1.10, 1.28, 1.28, 1.28]),
}


class Cells(NamedTuple):
    """The posteriors of the flux of one source, one for each of n observations, in any unit.

    low, high : (n,) first and last point of each table, low ≥ 0
    log_p : (n, m) natural logarithm of the density at m equidistant points
    """

    low: np.ndarray
    high: np.ndarray
    log_p: np.ndarray

    def __len__(self) -> int:
        return len(self.low)

    def log_density(self, j: int, x: np.ndarray) -> np.ndarray:
        """That of observation j at x (n_points,): lines between the points and beyond them."""
        table = self.log_p[j]
        step = (self.high[j] - self.low[j]) / (len(table) - 1)
        inside = np.interp(x, np.linspace(self.low[j], self.high[j], len(table)), table)
        rising, falling = max(table[1] - table[0], 0.0), min(table[-1] - table[-2], 0.0)
        below, beyond = np.minimum(x - self.low[j], 0.0), np.maximum(x - self.high[j], 0.0)
        return inside + (rising * below + falling * beyond) / step

    def spread(self) -> float:
        """The range of fluxes that the observations allow, each but for its outer 0.1 %."""
        p = np.exp(self.log_p - self.log_p.max(axis=1, keepdims=True))
        steps = np.cumsum((p[:, 1:] + p[:, :-1]), axis=1)
        share = np.insert(steps / steps[:, -1:], 0, 0.0, axis=1)
        places = np.linspace(0.0, 1.0, p.shape[1])
        ends = np.array([np.interp((_TAIL, 1.0 - _TAIL), s, places) for s in share])
        ends = self.low[:, None] + ends * (self.high - self.low)[:, None]
        return float(ends[:, 1].max() - ends[:, 0].min())


def tabulated_cells(low: np.ndarray, high: np.ndarray, density: np.ndarray) -> Cells:
    """Log-concave densities (n, m) tabulated from low to high (n,), on POINTS points."""
    places = np.linspace(0.0, density.shape[1] - 1.0, POINTS)
    density = np.asarray(density, dtype=float)
    density = density / density.max(axis=1, keepdims=True)
    scale = 2.0 / (density[:, 1:] + density[:, :-1]).sum(axis=1) * (density.shape[1] - 1)
    scale = np.log(scale / (high - low))
    log_p = np.log(np.maximum(density, _FLOOR))
    first = np.minimum(places.astype(int), density.shape[1] - 2)
    # the chord, which a log-concave density is nowhere below, guards the cubics where it is steep
    chord = log_p[:, first] + (places - first) * (log_p[:, first + 1] - log_p[:, first])
    log_p = np.maximum(np.log(np.maximum(cubics(density, places), _FLOOR)), chord)
    return Cells(low, high, log_p + scale[:, None])


def gamma_cells(mean: np.ndarray, rms: np.ndarray) -> Cells:
    """Gamma distributions of those means and standard deviations (n,)."""
    shape = np.maximum((mean / rms) ** 2, 1.0)
    rate, a = shape / mean, np.maximum(shape - 1.0, 1e-9)
    low = np.maximum(a - np.sqrt(2.0 * _DEPTH * a), 0.0)
    above = _DEPTH + np.sqrt(_DEPTH**2 + 2.0 * _DEPTH * a)
    for _ in range(6):  # Newton for where the logarithm has fallen by _DEPTH
        above -= (above - a * np.log1p(above / a) - _DEPTH) * (a + above) / above
    high = a + above
    x = np.linspace(low, high, POINTS, axis=1)
    x[:, 0] = np.maximum(x[:, 0], 1e-3 * x[:, 1])
    log_p = a[:, None] * np.log(x) - x
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    mass = 0.5 * (p[:, 1:] + p[:, :-1]).sum(axis=1) * (high - low) / rate / (POINTS - 1)
    log_p -= log_p.max(axis=1, keepdims=True) + np.log(mass)[:, None]
    return Cells(low / rate, high / rate, log_p)


def fitness(cells: Cells) -> np.ndarray:
    """(n, n): [r, R] is log10 of ∫ Π p_j(s) ds / S, j from r to R; -inf where r > R.

    S is `cells.spread()`: the evidence for a flux that all the observations have in common, with
    a uniform prior over what any of them allows.
    """
    n = len(cells)
    found = np.full((n, n), -np.inf)
    np.fill_diagonal(found, 0.0)
    width = cells.high - cells.low
    for k in range(n):
        # every product is integrated where its narrowest factor is not small
        left = max((j + 1 for j in range(k) if width[j] <= width[k]), default=0)
        right = min((j for j in range(k + 1, n) if width[j] < width[k]), default=n)
        if right - left < 2:
            continue
        x = np.linspace(cells.low[k], cells.high[k], POINTS)
        logs = np.array([cells.log_density(j, x) for j in range(left, right)])
        before = np.cumsum(logs[: k - left + 1][::-1], axis=0)[::-1]
        after = np.cumsum(logs[k - left :], axis=0) - logs[k - left]
        top_before, top_after = before.max(axis=1), after.max(axis=1)
        weights = np.full(POINTS, x[1] - x[0])
        weights[[0, -1]] *= 0.5
        product = np.exp(before - top_before[:, None]) * weights
        with np.errstate(divide="ignore"):
            value = np.log(product @ np.exp(after - top_after[:, None]).T)
        value += top_before[:, None] + top_after
        found[left : k + 1, k:right] = value / np.log(10.0)
    np.fill_diagonal(found, 0.0)
    return found - np.log10(cells.spread())


def partition(fitness: np.ndarray, penalty: float) -> np.ndarray:
    """(n,) number of the block of each cell, from 0, ascending.

    The blocks whose fitness less the penalty of each has the largest sum, of all 2^(n-1) ways.
    """
    n = len(fitness)
    best, first = np.zeros(n + 1), np.zeros(n, dtype=int)
    for last in range(n):
        total = best[: last + 1] + fitness[: last + 1, last] - penalty
        first[last] = total.argmax()
        best[last + 1] = total[first[last]]
    starts = np.zeros(n, dtype=int)
    last = n - 1
    while last >= 0:
        starts[first[last]] = 1
        last = first[last] - 1
    return np.cumsum(starts) - 1


def default_penalty(n: int, n_bands: int, in_time: bool = False) -> float:
    """Penalty per block, in log10, with which 5 % of constant sources are split.

    n : observations of the source; n_bands : bands that can split it
    in_time : whether the observations are in the order of time, not of flux
    """
    penalty = _TIME_PENALTY if in_time else _PENALTY
    table = penalty[1] + (penalty[4] - penalty[1]) * np.log(n_bands) / np.log(4.0)
    if n > _N[-1]:
        return float(table[-1] + (n - _N[-1]) * (table[-1] - table[-2]) / (_N[-1] - _N[-2]))
    return float(np.interp(n, _N, table))


def intersection(of_bands: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) number of the block of each observation, from 0: one if it is one in every band.

    of_bands : for each band (n,) block in this band, -1 where it has no number of the
        observation, which then goes with the largest block that it may belong to.
    """
    names = list(zip(*(band.tolist() for band in of_bands)))
    sizes = Counter(name for name in names if -1 not in name)
    for i in sorted(range(len(names)), key=lambda i: names[i].count(-1)):
        if -1 in names[i]:
            allowed = [name for name in sizes if all(a in (-1, b) for a, b in zip(names[i], name))]
            names[i] = max(allowed, key=lambda name: sizes[name], default=names[i])
            sizes[names[i]] += 1
    number = {name: i for i, name in enumerate(sorted(sizes))}
    return np.array([number[name] for name in names], dtype=int)
