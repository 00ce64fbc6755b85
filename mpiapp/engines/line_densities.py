"""Marginal densities of several sources, as averages of exact densities along lines.

Through every draw θ goes a line in the direction in which the other parameters follow
one of them, d = Cov(θ, θ_j)/Var(θ_j).  The density along it is known exactly,

    ψ(t) = Σ_r C_r log(μ_r + t v_r) − t V,   v = F·d,  V = Σ v,

within the box of the priors, and its average over the draws is the marginal of θ_j: a
Rao–Blackwell estimate.  For a Gaussian posterior the rest is independent of θ_j along
this line, so that a single draw would give the whole marginal; what noise is left comes
from the posterior's not being one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from ..posterior.series import interpolate, nodes
from .kernels import exp, log

_COMMON = nodes(48)
_X, _W = np.polynomial.legendre.leggauss(24)
_REACH = 6.5  # standard deviations beyond which a density is not looked at


def line_densities(problem, values: np.ndarray, column: int, groups: int):
    """(lo, hi, coefficients (groups, order)) of the marginal of a column.

    values : (n_chains, n_draws, n_columns) draws; a group is every groups-th chain.
    """
    draws = values.reshape(-1, values.shape[2])
    centred = draws - draws.mean(axis=0)
    own = centred[:, column]
    direction = own @ centred / (own @ own)
    direction[column] = 1.0
    rows = np.flatnonzero(problem.counts)
    move = problem.F @ direction
    sigma = own.std()
    lo = max(0.0, draws[:, column].min() - 0.5 * _REACH * sigma)
    hi = min(problem.upper[column], draws[:, column].max() + 0.5 * _REACH * sigma)
    group = np.repeat(np.arange(values.shape[0]) % groups, values.shape[1])
    density = np.zeros((groups, len(_COMMON)))
    _average(
        problem.counts[rows].astype(float),
        np.ascontiguousarray(problem.F[rows]),
        problem.offset[rows].astype(float),
        move[rows],
        move.sum(),
        direction,
        np.ascontiguousarray(problem.upper, dtype=float),
        np.ascontiguousarray(draws),
        column,
        lo,
        hi,
        _COMMON,
        _X,
        _W,
        group,
        density,
    )
    coefficients = np.empty_like(density)
    for i in range(groups):
        interpolate(_COMMON, density[i], coefficients[i])
    return lo, hi, coefficients


@njit(**OPTIONS)
def _average(
    counts, F, offset, move, total, direction, upper, draws, column, lo, hi, common, x, w,
    group, density,
):  # fmt: skip
    """Add to density (groups, order) at the common nodes that of the line through every draw."""
    rows, columns = F.shape
    order, inner = len(common), len(x)
    n = order + inner
    t = np.empty(n)
    height = np.empty(n)
    mu = np.empty(rows)
    for i in range(len(draws)):
        here = draws[i, column]
        a, b = lo - here, hi - here
        for j in range(columns):
            if direction[j] != 0.0:
                down = -draws[i, j] / direction[j]
                up = (upper[j] - draws[i, j]) / direction[j]
                a = max(a, min(down, up))
                b = min(b, max(down, up))
        a, b = min(a, 0.0), max(b, 0.0)
        if not b > a:
            continue
        for r in range(rows):
            mu[r] = offset[r]
            for j in range(columns):
                mu[r] += F[r, j] * draws[i, j]
        half = 0.5 * (b - a)
        for q in range(inner):
            t[q] = a + half * (1.0 + x[q])
        for g in range(order):
            t[inner + g] = lo + 0.5 * (hi - lo) * (1.0 + common[g]) - here
        for q in range(n):
            t[q] = min(max(t[q], a), b)
            height[q] = -total * t[q]
        for r in range(rows):
            c, m, v = counts[r], mu[r], move[r]
            for q in range(n):
                height[q] += c * log((m + t[q] * v) / m)
        top = height.max()
        mass = 0.0
        for q in range(inner):
            mass += w[q] * exp(height[q] - top)
        scale = 1.0 / (mass * half)
        for g in range(order):
            s = lo + 0.5 * (hi - lo) * (1.0 + common[g]) - here
            if a <= s <= b:
                density[group[i], g] += scale * exp(height[inner + g] - top)
