"""Marginal densities of several sources, by quadrature instead of draws.

Backgrounds are integrated out obsid by obsid (`collapsed`).  For the marginal of
source j the others are integrated out at each of a few values t of s_j: points of
the unit cube are mapped one coordinate after the other to the other sources by
the inverse distribution function of a logistic density, cut at the prior bounds,
that has the slope and curvature of the fitted conditional density.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev

from .centre import centre
from .collapsed import log_likelihood, rules
from .compressed import Compressed
from .kernels import OPTIONS, exp, log

_DROP = 12.0
_WIDEN = 2.4
_LANES = 128
_TRIALS = np.array([0.0, 1.5, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 12.0, 16.0, 22.0, 30.0, 45.0, 70.0, 100.0, 200.0])


@njit(**OPTIONS)
def _conditionals(precision, theta, upper, order, pulls, own, bend, side):
    """The fitted conditional density of each source given those before it in `order`."""
    n = len(order)
    a = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a[i, j] = precision[order[i], order[j]]
    for i in range(n - 1, -1, -1):
        j = order[i]
        m, room = theta[j], upper[j] - theta[j]
        site = 1.0 / (m * m) + 1.0 / (room * room)
        bend[i] = max(a[i, i] - site, 1e-9 * a[i, i])
        slope = 1.0 / m - 1.0 / room
        side[i] = 1.0 if m < room else -1.0
        own[i] = side[i] * slope - bend[i] * min(m, room)
        for p in range(i):
            pulls[i, p] = side[i] * a[i, p]
        for p in range(i):
            for q in range(i):
                a[p, q] -= a[i, p] * a[i, q] / a[i, i]
    return a[0, 0]


@njit(**OPTIONS)
def _map(theta, upper, order, pulls, own, bend, side, u, s, weight):
    """Sources order[1:] from u (n − 1, lanes) given s[order[0]]; weight: 1/density of the map."""
    lanes = s.shape[1]
    for i in range(lanes):
        weight[i] = 1.0
    b = np.empty(lanes)
    for n in range(1, len(order)):
        j = order[n]
        for i in range(lanes):
            b[i] = own[n]
        for p in range(n):
            jp, pull = order[p], pulls[n, p]
            for i in range(lanes):
                b[i] += pull * (s[jp, i] - theta[jp])
        a, top = bend[n], upper[j]
        for i in range(lanes):
            root = np.sqrt(b[i] * b[i] + 4.0 * a)
            x0 = 2.0 / (b[i] + root) if b[i] > 0.0 else (root - b[i]) / (2.0 * a)
            x0 = min(x0, top)
            rate = np.sqrt(_WIDEN * a + 1.0 / (x0 * x0))
            tilt = 1.0 / (rate * x0)
            odds = (1.0 + tilt) / (1.0 - tilt)
            low = exp(-x0 * rate) * odds
            high = exp((x0 - top) * rate) / odds
            below = low / (1.0 + low)
            above = high / (1.0 + high)
            mass = 1.0 - below - above
            left = below + u[n - 1, i] * mass
            right = above + (1.0 - u[n - 1, i]) * mass
            x = x0 + log(left / (right * odds)) / rate
            x = min(max(x, 1e-12 * x0), top)
            weight[i] *= mass / (left * right * rate)
            s[j, i] = x if side[n] > 0.0 else top - x


@njit(**OPTIONS)
def _density(model, rule, theta, upper, order, pulls, own, bend, side, t, points, top, p):
    """p (points, len(t)): density at t times weight of each of points (n_points, n − 1)."""
    counts, f, omega, offset, first, f_sum = model
    begins, nodes, logs = rule
    n, many = len(order), len(t)
    group = max(_LANES // many, 1)
    lanes = group * many
    s = np.empty((n, lanes))
    u = np.empty((max(n - 1, 1), lanes))
    weight = np.empty(lanes)
    out = np.empty(lanes)
    mu = np.empty((len(counts) + 1, lanes))
    h = np.empty((2, lanes))
    for z in range(0, len(points), group):
        for g in range(group):
            use = min(z + g, len(points) - 1)
            for i in range(many):
                s[order[0], g * many + i] = t[i]
                for d in range(n - 1):
                    u[d, g * many + i] = points[use, d]
        _map(theta, upper, order, pulls, own, bend, side, u, s, weight)
        log_likelihood(counts, f, omega, offset, first, f_sum, begins, nodes, logs, s, mu, h, out)
        for g in range(min(group, len(points) - z)):
            for i in range(many):
                p[z + g, i] = exp(min(out[g * many + i] - top, 600.0)) * weight[g * many + i]


@njit(**OPTIONS)
def _sources(model, rule, theta, precision, upper, points, x, ends, p):
    """Fill ends (n, 2) and p (n, n_points, n_nodes)."""
    n = len(precision)
    order = np.empty(n, dtype=np.int64)
    pulls = np.zeros((n, n))
    own = np.empty(n)
    bend = np.empty(n)
    side = np.empty(n)
    middle = np.full((1, max(n - 1, 1)), 0.5)
    trials = len(_TRIALS)
    t = np.empty(2 * trials)
    rough = np.empty((1, 2 * trials))
    for j in range(n):
        order[0] = j
        i = 1
        for other in range(n):
            if other != j:
                order[i] = other
                i += 1
        sigma = 1.0 / np.sqrt(_conditionals(precision, theta, upper, order, pulls, own, bend, side))
        for i in range(trials):
            t[i] = max(theta[j] - sigma * _TRIALS[i], 0.0)
            t[trials + i] = min(theta[j] + sigma * _TRIALS[i], upper[j])
        fit = (theta, upper, order, pulls, own, bend, side)
        _density(model, rule, *fit, t, middle, 0.0, rough)
        # TODO top
        lg = np.empty(2 * trials)
        _log_rough(model, rule, *fit, t, middle, lg)
        top = lg.max()
        for k in range(2):
            ends[j, k] = 0.0 if k == 0 else upper[j]
            for i in range(1, trials):
                a, b = lg[k * trials + i - 1], lg[k * trials + i]
                if b < top - _DROP and b < a:
                    ta, tb = t[k * trials + i - 1], t[k * trials + i]
                    ends[j, k] = ta + (tb - ta) * min(max((a - top + _DROP) / (a - b), 0.0), 1.0)
                    break
        lo, hi = ends[j, 0], ends[j, 1]
        tt = lo + 0.5 * (hi - lo) * (1.0 + x)
        _density(model, rule, *fit, tt, points, top, p[j])


@njit(**OPTIONS)
def _log_rough(model, rule, theta, upper, order, pulls, own, bend, side, t, points, out):
    counts, f, omega, offset, first, f_sum = model
    begins, nodes, logs = rule
    n, lanes = len(order), len(t)
    s = np.empty((n, lanes))
    u = np.empty((max(n - 1, 1), lanes))
    weight = np.empty(lanes)
    mu = np.empty((len(counts) + 1, lanes))
    h = np.empty((2, lanes))
    s[order[0]] = t
    u[:] = 0.5
    _map(theta, upper, order, pulls, own, bend, side, u, s, weight)
    log_likelihood(counts, f, omega, offset, first, f_sum, begins, nodes, logs, s, mu, h, out)
    for i in range(lanes):
        out[i] += log(weight[i])


@cache
def _chebyshev(order, cells):
    nodes = np.cos(np.pi * (np.arange(order) + 0.5) / order)[::-1]
    to_coefficients = (2.0 / order) * chebyshev.chebvander(nodes, order - 1).T
    to_coefficients[0] *= 0.5
    table = chebyshev.chebvander(np.linspace(-1.0, 1.0, cells + 1), order - 1)
    return np.ascontiguousarray(nodes), np.ascontiguousarray(table @ to_coefficients)


@cache
def lattice(n, dimensions):
    """Rank-1 lattice found component by component for the worst-case error of P_2."""
    k = np.arange(n)
    product = np.ones(n)
    z = []
    for d in range(dimensions):
        best = None
        for g in range(1, n, 2 if n % 2 == 0 else 1):
            x = (k * g % n) / n
            e = (product * (1.0 + 2 * np.pi**2 * 0.5 ** d * (x * x - x + 1 / 6))).sum()
            if best is None or e < best[0] - 1e-12:
                best = (e, g, x)
            if d == 0:
                break
        z.append(best[1])
        product = product * (1.0 + 2 * np.pi**2 * 0.5 ** d * (best[2] ** 2 - best[2] + 1 / 6))
    return (k[:, None] * np.array(z, dtype=int)[None, :] % n) / n


class Result(NamedTuple):
    lo: np.ndarray
    hi: np.ndarray
    p: np.ndarray


def setup(c: Compressed):
    theta, precision, shift = centre(c.counts, c.f, c.omega, c.offset, c.first, c.f_sum, c.omega_sum, c.upper)
    rule = rules(c.counts, c.f, c.omega, c.offset, c.first, c.omega_sum, c.upper[len(c.f_sum):], theta, shift)
    return theta, precision, shift, rule


def marginals(c: Compressed, points, replicates, order=16, cells=256):
    """points : (replicates * per, n-1), weights folded"""
    n = len(c.f_sum)
    theta, precision, shift, rule = setup(c)
    x, to_table = _chebyshev(order, cells)
    ends = np.empty((n, 2))
    p = np.empty((n, len(points), order))
    _sources((c.counts, c.f, c.omega, c.offset, c.first, c.f_sum), rule, theta, precision, c.upper[:n].copy(), points, x, ends, p)
    return theta, ends, p, to_table
