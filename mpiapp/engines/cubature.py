"""Points of the unit cube that integrate smooth functions, and repeats that tell the error."""

from __future__ import annotations

from functools import cache

import numpy as np

_REPLICATES = 8
_SEGMENT = ((14, 10), (28, 20), (56, 40), (112, 80))  # Gauss–Legendre nodes, and of the repeat
_LATTICE = (16, 64, 256, 1024)  # points of a replicate
LEVELS = 4
MOST_SMOOTHED = 3  # dimensions


def cubature(
    dimensions: int, level: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, np.ndarray]:
    """(points, weights): points (n, dimensions), weights (1 + repeats, n) of the mean and repeats.

    A segment has two Gauss–Legendre rules, the finer of which is the mean and a repeat as well; the
    cube rank-1 lattices with random shifts, which integrate smooth functions with an
    error of N⁻² or so (Dick, Nuyens & Pillichshammer 2014, Numer. Math. 126, 259).  Logarithms
    at the ends, which maps of unbounded ranges make, are smoothed away by u = v² (3 − 2v); of many
    dimensions that costs more than it gains, and the tent map folds the lattices instead.
    Each of the LEVELS, counted from 0, has two (segment) or four times the points of that before.
    """
    if dimensions == 0:
        return np.empty((1, 0)), np.ones((2, 1))
    if dimensions == 1:
        return _segments(level)
    lattice, weights = _lattices(dimensions, level)
    shifts = seed.generate_state(_REPLICATES * dimensions, np.uint64) * 2.0**-64
    v = ((lattice + shifts.reshape(_REPLICATES, 1, dimensions)) % 1.0).reshape(-1, dimensions)
    if dimensions > MOST_SMOOTHED:
        return 1.0 - np.abs(2.0 * v - 1.0), weights
    u, density = _smoothed(v)
    return u, weights * density.prod(axis=1)


def _smoothed(v):
    """u = v² (3 − 2v), which leaves the ends of [0, 1] slowly, and du/dv."""
    return v * v * (3.0 - 2.0 * v), 6.0 * v * (1.0 - v)


@cache
def _segments(level):
    rules = [np.polynomial.legendre.leggauss(n) for n in _SEGMENT[level]]
    points, density = _smoothed(np.concatenate([0.5 * (1.0 + x) for x, _ in rules]))
    fine, coarse = (0.5 * w for _, w in rules)
    weights = np.zeros((3, len(points)))
    weights[:2, : len(fine)], weights[2, len(fine) :] = fine, coarse
    return points[:, None], weights * density


@cache
def _lattices(dimensions, level):
    """(lattice, weights) with the generators chosen component by component for the error P₂."""
    n = _LATTICE[level]
    k = np.arange(n)
    generators = np.arange(1, n // 2, 2)  # their mirrors n − g have the same error
    x = np.outer(k, generators) % n / n
    bernoulli = 2.0 * np.pi**2 * (x * x - x + 1.0 / 6.0)
    error = np.ones(n)
    lattice = np.empty((n, dimensions))
    is_free = np.ones(len(generators), bool)  # one taken twice would tie two dimensions together
    for d in range(dimensions):
        factors = 1.0 + 0.5**d * bernoulli
        is_free |= not is_free.any()
        best = np.argmin(np.where(is_free, error @ factors, np.inf))
        is_free[best] = False
        error *= factors[:, best]
        lattice[:, d] = x[:, best]
    each = np.kron(np.eye(_REPLICATES), np.full(n, 1.0 / n))
    return lattice, np.vstack([each.mean(axis=0), each])
