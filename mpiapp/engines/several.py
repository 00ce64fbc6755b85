"""Marginal densities of several sources, by quadrature instead of draws.

Backgrounds are integrated out obsid by obsid (`background_integrals`).  The marginal of source j
is wanted at a few values t of s_j, and there the other sources are integrated out: points of
the unit cube become their values (`conditional_map`).  The same points serve all t, so
that most of their error cancels in the shape.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev

from ..compiled import OPTIONS
from ..posterior.draws import SamplingError
from ..posterior.marginals import Marginal
from ..posterior.series import nodes
from .background_integrals import SCRATCH, Rule, log_likelihood, rules
from .centre import centre
from .compressed import Compressed
from .conditional_map import fit_conditionals, map_points
from .cubature import LEVELS, cubature
from .kernels import exp, log

_DROP = 16.0  # logarithm of the peak density over that at the ends of the range
_LANES = 128
_FOUND = 1e-3  # standard deviations that a centre may be off
_REACH = 13.0  # standard deviations that no density's Eq. 11 exceeds: docs/engine-exact.md
_ORDERS = (16, 32, 64)  # Chebyshev nodes for the logarithm of a density, tried one by one
_UNRESOLVED = 0.001  # in that logarithm
_FINER = (48, 96)  # Chebyshev terms of the density itself
_NEGLIGIBLE = 1e-8  # of the largest term, what the last ones may be
NOT_FOUND = "Newton's method has not found the middle of the posterior"
NOT_FINITE = "the marginal density is not finite"
_STEPS = np.array([0.0, 1.5, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 12.0, 16.0, 22.0, 30.0, 50.0, 100.0])


class Fit(NamedTuple):
    """A problem without its unseen sources, and what is known of its posterior beforehand.

    seen : (n_seen,) the sources that any aperture sees
    model : the problem with these alone; rule : of its backgrounds, as `rules` makes it
    theta : (n_seen + n_backgrounds,) centre; precision : (n_seen, n_seen) about it
    reach : (n_columns,) _REACH standard deviations beyond the centre, even where that is beyond the
        prior's bound; the bound itself of unseen sources
    is_found : whether the centre is one
    """

    seen: np.ndarray
    model: Compressed
    rule: Rule
    theta: np.ndarray
    precision: np.ndarray
    reach: np.ndarray
    is_found: bool


class Grids(NamedTuple):
    """What turns a density at few nodes into a series; for every order, one after the other.

    x : nodes in [−1, 1] for the logarithm of the density; last : matrices (order, 3) from values
    there to the last coefficients; finer : for each finer order the matrices (order, finer) to
    its nodes
    at, weight : nodes of the density and their Gauss–Chebyshev weights; series : matrices
    (finer, finer) from values there to coefficients
    """

    x: tuple
    last: tuple
    finer: tuple
    at: tuple
    weight: tuple
    series: tuple


@cache
def grids() -> Grids:
    """The grids, made once."""

    def to_series(n):
        matrix = (2.0 / n) * chebyshev.chebvander(nodes(n), n - 1)
        matrix[:, 0] *= 0.5
        return matrix

    def between(n, m):
        return np.ascontiguousarray(to_series(n) @ chebyshev.chebvander(nodes(m), n - 1).T)

    return Grids(
        tuple(nodes(n) for n in _ORDERS),
        tuple(np.ascontiguousarray(to_series(n)[:, -3:]) for n in _ORDERS),
        tuple(tuple(between(n, m) for n in _ORDERS) for m in _FINER),
        tuple(nodes(m) for m in _FINER),
        tuple(np.sqrt(1.0 - nodes(m) ** 2) for m in _FINER),
        tuple(to_series(m) for m in _FINER),
    )


@njit(**OPTIONS)
def fit_posterior(c):
    """The `Fit` of a problem, `Compressed`, every source of which some aperture sees."""
    at = centre(c)
    reach = at.theta + _REACH * at.spread
    is_found = at.decrement < _FOUND
    return Fit(np.arange(len(c.f_sum)), c, rules(c, at), at.theta, at.precision, reach, is_found)


@njit(**OPTIONS)
def _log_density(model, rule, fit, t, points, out):
    """out (n_points, len(t)): log density at t and points times the map's weight."""
    order = fit[2]
    n, many = len(order), len(t)
    group = min(max(_LANES // many, 1), len(points))
    lanes = group * many
    s = np.empty((n, lanes))
    u = np.empty((n, lanes))
    weight = np.empty(lanes)
    value = np.empty(lanes)
    mu = np.empty((len(model.counts), lanes))
    h = np.empty((SCRATCH, lanes))
    for z in range(0, len(points), group):
        for g in range(group):
            point = min(z + g, len(points) - 1)
            for i in range(many):
                s[order[0], g * many + i] = t[i]
                for d in range(n - 1):
                    u[d, g * many + i] = points[point, d]
        map_points(*fit, u, s, weight)
        log_likelihood(model, rule, s, mu, h, value)
        for g in range(min(group, len(points) - z)):
            for i in range(many):
                out[z + g, i] = value[g * many + i] + log(weight[g * many + i])


@njit(**OPTIONS)
def _find_ends(model, rule, fit, peak, sigma, ends):
    """Narrow the prior's bounds `ends` to where the density has fallen by _DROP; the log peak.

    The density is that at the middle of the cube: steps of growing length from the
    centre find an interval on either side, equal steps narrow it.
    """
    steps = len(_STEPS)
    t = np.empty(2 * steps)
    rough = np.empty((1, 2 * steps))
    middle = np.full((1, len(fit[0])), 0.5)
    for i in range(steps):
        t[i] = max(peak - sigma * _STEPS[i], ends[0])
        t[steps + i] = min(peak + sigma * _STEPS[i], ends[1])
    top = -np.inf
    for _ in range(2):
        _log_density(model, rule, fit, t, middle, rough)
        top = max(top, rough.max())
        for k in range(2):
            begin, end = k * steps, (k + 1) * steps
            inner, outer = t[begin], t[end - 1]
            for i in range(begin + 1, end):
                if rough[0, i] < top - _DROP:
                    inner, outer = t[i - 1], t[i]
                    break
            ends[k] = outer
            for i in range(steps):
                t[begin + i] = inner + (outer - inner) * (i / (steps - 1))
    return top


@njit(**OPTIONS)
def _integrate(p, column, points, weights, x, values):
    """Fill values (1 + repeats, n_nodes), the density at nodes x of [lo, hi], which is returned."""
    n = len(p.precision)
    order = np.empty(n, dtype=np.int64)
    order[0] = column
    i = 1
    for j in range(n):
        if j != column:
            order[i] = j
            i += 1
    pulls, own, bend, side = np.zeros((n, n)), np.empty(n), np.empty(n), np.empty(n)
    fitted = (p.theta, p.model.upper, order, pulls, own, bend, side)
    sigma = fit_conditionals(p.precision, *fitted)
    ends = np.array([0.0, p.model.upper[column]])
    top = _find_ends(p.model, p.rule, fitted, p.theta[column], sigma, ends)
    lo, hi = ends
    logs = np.empty((len(points), len(x)))
    _log_density(p.model, p.rule, fitted, lo + 0.5 * (hi - lo) * (1.0 + x), points, logs)
    values[:] = 0.0
    for z in range(len(points)):
        for i in range(len(x)):
            logs[z, i] = exp(min(logs[z, i] - top, 600.0))
        for k in range(len(weights)):
            if weights[k, z] != 0.0:
                for i in range(len(x)):
                    values[k, i] += weights[k, z] * logs[z, i]
    return lo, hi


@njit(**OPTIONS)
def product(a, b):
    """a (n, m) times b (m, k)."""
    out = np.zeros((len(a), b.shape[1]))
    for i in range(len(a)):
        for j in range(len(b)):
            for k in range(b.shape[1]):
                out[i, k] += a[i, j] * b[j, k]
    return out


@njit(**OPTIONS)
def repeats(p, column, points, weights, g):
    """(lo, hi, series, error, ripple): a density and its repeats, from one set of points.

    series : (1 + repeats, order) the density, and its repeats; none where it is not finite
    error : the standard error of mean and standard deviation, in standard deviations
    ripple : the largest of the last coefficients of the logarithm, which is about how many
        half-widths its series is off
    """
    lo, hi, ripple, o = 0.0, 0.0, 0.0, 0
    values = np.empty((0, 0))
    for o in range(len(g.x)):
        values = np.empty((len(weights), len(g.x[o])))
        lo, hi = _integrate(p, column, points, weights, g.x[o], values)
        for k in range(len(weights)):
            for i in range(len(g.x[o])):
                if not 0.0 < values[k, i] < np.inf:
                    return lo, hi, np.empty((0, 0)), np.inf, np.inf
        ripple = np.abs(product(np.log(values[:1]), g.last[o])).max()
        if ripple < _UNRESOLVED:
            break
    logs = np.log(values)
    order = 0
    series = np.empty((0, 0))
    density = np.empty((0, 0))
    for m in range(len(g.at)):
        order = m
        density = np.exp(product(logs, g.finer[m][o]))
        series = product(density, g.series[m])
        if np.abs(series[0, -3:]).max() < _NEGLIGIBLE * np.abs(series[0]).max():
            break
    n = len(density) - 1
    sums = np.zeros(4)
    for k in range(1, n + 1):
        m0, m1, m2 = 0.0, 0.0, 0.0
        for i in range(density.shape[1]):
            x, w = g.at[order][i], g.weight[order][i] * density[k, i]
            m0 += w
            m1 += w * x
            m2 += w * x * x
        mean = m1 / m0
        std = np.sqrt(max(m2 / m0 - mean * mean, 0.0))
        sums += np.array([mean, mean * mean, std, std * std])
    sums /= n
    scatter = max(sums[1] - sums[0] ** 2, 0.0) + max(sums[3] - sums[2] ** 2, 0.0)
    return lo, hi, series, np.sqrt(scatter / max(n - 1, 1)) / sums[2], ripple


@cache
def _levels(dimensions: int, entropy: int) -> tuple[tuple, tuple]:
    seed = np.random.SeedSequence(entropy)
    return tuple(zip(*(cubature(dimensions, level, seed) for level in range(LEVELS))))


def levels(n_sources: int, seed: np.random.SeedSequence) -> tuple[tuple, tuple]:
    """Points and weights of every level of `cubature` for the marginals of so many sources."""
    return _levels(n_sources - 1, seed.entropy)


def fit(c: Compressed) -> Fit:
    """Find the centre of a posterior and the rules for its backgrounds.

    Raises SamplingError where the centre is not found.
    """
    seen = np.flatnonzero(c.f_sum > 0.0)
    column = np.append(seen, np.arange(len(c.f_sum), len(c.upper)))
    f, f_sum, upper = c.f.take(seen, axis=1), c.f_sum[seen], c.upper[column]
    p = fit_posterior(c._replace(f=f, f_sum=f_sum, upper=upper))
    if not p.is_found:
        raise SamplingError(NOT_FOUND)
    reach = c.upper.copy()
    reach[column] = p.reach
    return p._replace(seen=seen, reach=reach)


def with_background_as_source(c: Compressed, k: int) -> Compressed:
    """The same posterior with background k as the last source; nothing is left in its own place."""
    n = len(c.f_sum)
    rows = slice(c.first[k], c.first[k + 1])
    column, omega, omega_sum = np.zeros(len(c.omega)), c.omega.copy(), c.omega_sum.copy()
    column[rows], omega[rows], omega_sum[k] = c.omega[rows], 0.0, 0.0
    return c._replace(
        f=np.column_stack([c.f, column]),
        f_sum=np.append(c.f_sum, c.omega_sum[k]),
        omega=omega,
        omega_sum=omega_sum,
        upper=np.insert(c.upper, n, c.upper[n + k]),
    )


def marginals(
    p: Fit,
    column: int,
    accuracy: float,
    seed: np.random.SeedSequence,
    last_level: int = LEVELS - 1,
) -> list[Marginal]:
    """The marginal of a source, and after it those of the repeats of which it is the mean.

    accuracy : standard error asked for, in standard deviations of the marginal; points are
        added until the repeats agree so well, or `last_level` of `cubature` is reached
    seed : of the shifts of the lattices

    Raises SamplingError where the density has no finite values.
    """
    index = np.searchsorted(p.seen, column)
    if index == len(p.seen) or p.seen[index] != column:
        upper = float(p.reach[column])
        return [Marginal(0.0, upper, upper, np.ones(1))]
    for points, weights in tuple(zip(*levels(len(p.seen), seed)))[: last_level + 1]:
        lo, hi, series, error, _ = repeats(p, index, points, weights, grids())
        if not len(series):
            raise SamplingError(NOT_FINITE)
        if error <= accuracy:
            break
    upper = float(p.model.upper[index])
    return [Marginal(lo, hi, upper, s) for s in series]
