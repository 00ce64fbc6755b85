"""Marginal densities of several sources, by quadrature instead of draws.

Backgrounds are integrated out obsid by obsid (`background_integrals`).  The marginal of source j
is wanted at a few values t of s_j, and there the other sources are integrated out:
points of the unit cube become values of the other sources one after the other, each by
the inverse distribution function of a logistic density that is cut at the prior
bounds and has the slope and the curvature of the fitted conditional density.  Its
tails are those of an exponential, so that no posterior outruns it: log-concave densities
never fall more slowly, and a source without counts has just that density.
The same points serve all t, so that most of their error cancels in the shape.
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
from .background_integrals import log_likelihood, rules
from .centre import centre
from .compressed import Compressed
from .cubature import LEVELS, cubature
from .kernels import exp, log

ORDER = 96  # Chebyshev terms of a marginal
_DROP = 16.0  # logarithm of the peak density over that at the ends of the range
_CURVATURE = 2.4  # of the logistic at its peak would be 2; more makes the map narrower
_LANES = 128
_ORDERS = (16, 32, 64)  # Chebyshev nodes, tried until the density is resolved
_UNRESOLVED = 0.003  # in the logarithm of the density
_STEPS = np.array([0.0, 1.5, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 12.0, 16.0, 22.0, 30.0, 50.0, 100.0])


@njit(**OPTIONS)
def _fit_conditionals(precision, theta, upper, order, pulls, own, bend, side):
    """Fit the conditional density of each source given those before it in `order`.

    The quadratic at the centre, sources that come later integrated out with
    their barriers in place of the bounds, and its own barrier taken away.  Returns the
    standard deviation of the first source.
    """
    n = len(order)
    a = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a[i, j] = precision[order[i], order[j]]
    for i in range(n - 1, -1, -1):
        below, above = theta[order[i]], upper[order[i]] - theta[order[i]]
        barrier = 1.0 / (below * below) + 1.0 / (above * above)
        side[i] = 1.0 if below < above else -1.0
        bend[i] = max(a[i, i] - barrier, 1e-9 * a[i, i])
        own[i] = side[i] * (1.0 / below - 1.0 / above) - bend[i] * min(below, above)
        for p in range(i):
            pulls[i, p] = side[i] * a[i, p]
            for q in range(i):
                a[p, q] -= a[i, p] * a[i, q] / a[i, i]
    return 1.0 / np.sqrt(a[0, 0])


@njit(**OPTIONS)
def _map(theta, upper, order, pulls, own, bend, side, u, s, weight):
    """Fill sources order[1:] of s (n, lanes) from u (n − 1, lanes), given order[0].

    weight : (lanes,) the inverse density of the map.  Distances x are from that
    bound of the prior to which the centre is closer.
    """
    lanes = s.shape[1]
    b = np.empty(lanes)
    weight[:] = 1.0
    for n in range(1, len(order)):
        j = order[n]
        b[:] = own[n]
        for p in range(n):
            before, pull = order[p], pulls[n, p]
            for i in range(lanes):
                b[i] += pull * (s[before, i] - theta[before])
        a, top = bend[n], upper[j]
        for i in range(lanes):
            # where the fitted density times x peaks: its slope there is 1/x, its curvature a
            root = np.sqrt(b[i] * b[i] + 4.0 * a)
            x0 = 2.0 / (b[i] + root) if b[i] > 0.0 else 0.5 * (root - b[i]) / a
            x0 = min(x0, top)
            rate = np.sqrt(_CURVATURE * a + 1.0 / (x0 * x0))
            tilt = 1.0 / (rate * x0)
            odds = (1.0 + tilt) / (1.0 - tilt)
            low = exp(-x0 * rate) * odds
            high = exp((x0 - top) * rate) / odds
            low = low / (1.0 + low)
            high = high / (1.0 + high)
            mass = 1.0 - low - high
            left = low + u[n - 1, i] * mass
            right = high + (1.0 - u[n - 1, i]) * mass
            x = x0 + log(left / (right * odds)) / rate
            x = min(max(x, 1e-12 * x0), top)
            weight[i] *= mass / (left * right * rate)
            s[j, i] = x if side[n] > 0.0 else top - x


@njit(**OPTIONS)
def _log_density(model, rule, fit, t, points, out):
    """out (n_points, len(t)): log density at t and points times the map's weight."""
    counts, f, omega, offset, first, f_sum = model
    begins, nodes, logs = rule
    theta, upper, order, pulls, own, bend, side = fit
    n, many = len(order), len(t)
    group = min(max(_LANES // many, 1), len(points))
    lanes = group * many
    s = np.empty((n, lanes))
    u = np.empty((n, lanes))
    weight = np.empty(lanes)
    value = np.empty(lanes)
    mu = np.empty((len(counts) + 1, lanes))
    h = np.empty((2, lanes))
    for z in range(0, len(points), group):
        for g in range(group):
            point = min(z + g, len(points) - 1)
            for i in range(many):
                s[order[0], g * many + i] = t[i]
                for d in range(n - 1):
                    u[d, g * many + i] = points[point, d]
        _map(theta, upper, order, pulls, own, bend, side, u, s, weight)
        log_likelihood(counts, f, omega, offset, first, f_sum, begins, nodes, logs, s, mu, h, value)
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
def _integrate(model, rule, theta, precision, upper, column, points, weights, x, p):
    """Fill p (replicates, n_nodes), the density at nodes x in [−1, 1] of [lo, hi], returned."""
    n = len(precision)
    order = np.empty(n, dtype=np.int64)
    order[0] = column
    i = 1
    for j in range(n):
        if j != column:
            order[i] = j
            i += 1
    pulls, own, bend, side = np.zeros((n, n)), np.empty(n), np.empty(n), np.empty(n)
    sigma = _fit_conditionals(precision, theta, upper, order, pulls, own, bend, side)
    fit = (theta, upper, order, pulls, own, bend, side)
    ends = np.array([0.0, upper[column]])
    top = _find_ends(model, rule, fit, theta[column], sigma, ends)
    lo, hi = ends
    values = np.empty((len(points), len(x)))
    _log_density(model, rule, fit, lo + 0.5 * (hi - lo) * (1.0 + x), points, values)
    p[:] = 0.0
    for z in range(len(points)):
        for i in range(len(x)):
            values[z, i] = exp(min(values[z, i] - top, 600.0))
        for k in range(len(weights)):
            if weights[k, z] != 0.0:
                for i in range(len(x)):
                    p[k, i] += weights[k, z] * values[z, i]
    return lo, hi


@cache
def _chebyshev(order):
    """Nodes in [−1, 1]; matrices from values there to the last coefficients and to ORDER nodes."""
    x = nodes(order)
    to_coefficients = (2.0 / order) * chebyshev.chebvander(x, order - 1).T
    to_coefficients[0] *= 0.5
    finer = chebyshev.chebvander(nodes(ORDER), order - 1)
    return x, to_coefficients[-3:].copy(), np.ascontiguousarray((finer @ to_coefficients).T)


@cache
def _series():
    """Of ORDER nodes: Gauss–Chebyshev weights of integrals, and the matrix to coefficients."""
    x = nodes(ORDER)
    to_coefficients = (2.0 / ORDER) * chebyshev.chebvander(x, ORDER - 1)
    to_coefficients[:, 0] *= 0.5
    return x, np.sqrt(1.0 - x * x), to_coefficients


class Fit(NamedTuple):
    """A problem without its unseen sources, and what is known of its posterior beforehand.

    seen : (n_seen,) the sources that any aperture sees
    model, rule : arguments of `log_likelihood`
    theta : (n_seen + n_backgrounds,) centre; precision : (n_seen, n_seen) about it
    upper : (n_seen + n_backgrounds,) prior bounds
    reach : (n_columns,) twelve standard deviations beyond the centre, or the prior's bound
    """

    seen: np.ndarray
    model: tuple
    rule: tuple
    theta: np.ndarray
    precision: np.ndarray
    upper: np.ndarray
    reach: np.ndarray


def fit(c: Compressed) -> Fit:
    """Find the centre of a posterior and the rules for its backgrounds."""
    n = len(c.f_sum)
    seen = np.flatnonzero(c.f_sum > 0.0)
    kept = np.append(seen, np.arange(n, len(c.upper)))
    f = np.ascontiguousarray(c.f[:, seen])
    upper, f_sum = c.upper[kept], c.f_sum[seen]
    theta, precision, shift, spread = centre(
        c.counts, f, c.omega, c.offset, c.first, f_sum, c.omega_sum, upper
    )
    reach = c.upper.copy()
    reach[kept] = np.minimum(theta + 12.0 * spread, upper)
    own = upper[len(seen) :]
    rule = rules(c.counts, f, c.omega, c.offset, c.first, c.omega_sum, own, theta, shift)
    model = (c.counts, f, c.omega, c.offset, c.first, f_sum)
    return Fit(seen, model, rule, theta, precision, upper, reach)


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
    for level in range(last_level + 1):
        points, weights = cubature(len(p.seen) - 1, level, seed)
        lo, hi, density, error = _densities(p, index, points, weights)
        if error <= accuracy:
            break
    series = density @ _series()[2]
    upper = float(p.upper[index])
    return [Marginal(lo, hi, upper, s) for s in (series.mean(axis=0), *series)]


def _densities(p: Fit, index: int, points, weights):
    """(lo, hi, densities (replicates, ORDER) at the nodes, standard error of their moments)."""
    for order in _ORDERS:
        at, tail, finer = _chebyshev(order)
        values = np.empty((len(weights), order))
        lo, hi = _integrate(
            p.model, p.rule, p.theta, p.precision, p.upper, index, points, weights, at, values
        )
        if not (values > 0.0).all():
            raise SamplingError("the marginal density is not finite")
        logs = np.log(values)
        if np.abs(tail @ np.log(values.mean(axis=0))).max() < _UNRESOLVED:
            break
    density = np.exp(logs @ finer)
    x, weight, _ = _series()
    mass = density @ weight
    mean = density @ (weight * x) / mass
    std = np.sqrt(density @ (weight * x * x) / mass - mean**2)
    spread = (mean.var() + std.var()) / max(len(density) - 1, 1)
    return lo, hi, density, float(np.sqrt(spread) / std.mean())
