"""Points of the unit cube that integrate smooth functions, in replicates that tell the error."""

from __future__ import annotations

from functools import cache

import numpy as np

_REPLICATES = 8
_SEGMENT = ((12, 11), (24, 23), (48, 47), (96, 95))  # Gauss–Legendre nodes
_LATTICE = (16, 64, 256, 1024)  # points of a replicate
LEVELS = 4


def cubature(
    dimensions: int, level: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, np.ndarray]:
    """(points, weights): points (n, dimensions) and weights (replicates, n) of the means.

    A segment has two Gauss–Legendre rules, the cube rank-1 lattices with random
    shifts that the tent map folds, which integrate smooth functions with an
    error of N⁻² or so (Dick, Nuyens & Pillichshammer 2014, Numer. Math. 126, 259).
    Each of the LEVELS, counted from 0, has two (segment) or four times the points of that before.
    """
    if dimensions == 0:
        return np.empty((1, 0)), np.ones((1, 1))
    if dimensions == 1:
        return _segments(level)
    lattice, weights = _lattices(dimensions, level)
    shifts = seed.generate_state(_REPLICATES * dimensions, np.uint64) * 2.0**-64
    u = (lattice + shifts.reshape(_REPLICATES, 1, dimensions)) % 1.0
    return (1.0 - np.abs(2.0 * u - 1.0)).reshape(-1, dimensions), weights


@cache
def _segments(level):
    rules = [np.polynomial.legendre.leggauss(n) for n in _SEGMENT[level]]
    points = np.concatenate([0.5 * (1.0 + x) for x, _ in rules])[:, None]
    weights = np.zeros((len(rules), len(points)))
    begin = 0
    for replicate, (_, w) in zip(weights, rules):
        replicate[begin : begin + len(w)] = 0.5 * w
        begin += len(w)
    return points, weights


@cache
def _lattices(dimensions, level):
    """(lattice, weights) with the generators chosen component by component for the error P₂."""
    n = _LATTICE[level]
    k = np.arange(n)
    generators = np.arange(1, n, 2)
    x = np.outer(k, generators) % n / n
    bernoulli = 2.0 * np.pi**2 * (x * x - x + 1.0 / 6.0)
    error = np.ones(n)
    lattice = np.empty((n, dimensions))
    for d in range(dimensions):
        factors = 1.0 + 0.5**d * bernoulli
        best = np.argmin(error @ factors)
        error *= factors[:, best]
        lattice[:, d] = x[:, best]
    return lattice, np.kron(np.eye(_REPLICATES), np.full(n, 1.0 / n))
