"""Where a posterior stands inside its box: a centre close to the mean, and the precision there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .kernels import TINY
from .lines import gains

_EM_ROUNDS = 15
_NEWTON_ROUNDS = 200
_CONVERGED = 1e-5  # standard deviations
_SEARCH_ROUNDS = 30
_SEARCHED = 0.1  # of the slope along a step at its beginning


@njit(**OPTIONS)
def cholesky_solve(a, x):
    """Solve a·y = x for the positive definite a (n, n); a is overwritten by its factor, x by y."""
    n = len(x)
    for i in range(n):
        for j in range(i + 1):
            total = a[i, j]
            for m in range(j):
                total -= a[i, m] * a[j, m]
            a[i, j] = np.sqrt(max(total, TINY)) if i == j else total / a[j, j]
        for m in range(i):
            x[i] -= a[i, m] * x[m]
        x[i] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for m in range(i + 1, n):
            x[i] -= a[m, i] * x[m]
        x[i] /= a[i, i]


@njit(**OPTIONS)
def _expand(p, totals, theta, gradient, ss, sb, bb):
    """Gradient of the centred density at theta, and the blocks of its negative Hessian."""
    counts, f, omega, offset = p.counts, p.f, p.omega, p.offset
    upper, sources, blocks = p.upper, len(p.f_sum), len(p.omega_sum)
    for j, total in enumerate(totals):
        below, above = 1.0 / theta[j], 1.0 / (upper[j] - theta[j])
        gradient[j] = below - above - total
        bend = below * below + above * above
        if j < sources:
            for i in range(sources):
                ss[j, i] = 0.0
            ss[j, j] = bend
        else:
            bb[j - sources] = bend
            for i in range(sources):
                sb[i, j - sources] = 0.0
    for k in range(max(blocks, 1)):
        begin, end = (p.first[k], p.first[k + 1]) if blocks else (0, len(counts))
        b = theta[sources + k] if blocks else 0.0
        for r in range(begin, end):
            mu = offset[r] + omega[r] * b
            for j in range(sources):
                mu += f[r, j] * theta[j]
            ratio = counts[r] / mu
            bend = ratio / mu
            for j in range(sources):
                gradient[j] += f[r, j] * ratio
                for i in range(j + 1):
                    ss[j, i] += f[r, j] * f[r, i] * bend
            if blocks:
                gradient[sources + k] += omega[r] * ratio
                bb[k] += omega[r] * omega[r] * bend
                for j in range(sources):
                    sb[j, k] += f[r, j] * omega[r] * bend


@njit(**OPTIONS)
def _longest(p, theta, step):
    """How many times the step leads from theta to the first bound of the box."""
    most = np.inf
    for j in range(len(theta)):
        if step[j] < 0.0:
            most = min(most, theta[j] / -step[j])
        elif step[j] > 0.0:
            most = min(most, (p.upper[j] - theta[j]) / step[j])
    return most


@njit(**OPTIONS)
def _along(p, totals, theta, step, t):
    """Slope and curvature of the centred density at theta + t step, along the step."""
    counts, f, omega, offset = p.counts, p.f, p.omega, p.offset
    sources, blocks = len(p.f_sum), len(p.omega_sum)
    slope, bend = 0.0, 0.0
    for j in range(len(theta)):
        below = step[j] / (theta[j] + t * step[j])
        above = step[j] / (p.upper[j] - theta[j] - t * step[j])
        slope += below - above - totals[j] * step[j]
        bend += below * below + above * above
    for k in range(max(blocks, 1)):
        begin, end = (p.first[k], p.first[k + 1]) if blocks else (0, len(counts))
        b, db = (theta[sources + k], step[sources + k]) if blocks else (0.0, 0.0)
        for r in range(begin, end):
            mu, move = offset[r] + omega[r] * b, omega[r] * db
            for j in range(sources):
                mu += f[r, j] * theta[j]
                move += f[r, j] * step[j]
            ratio = move / (mu + t * move)
            slope += counts[r] * ratio
            bend += counts[r] * ratio * ratio
    return slope, bend


@njit(**OPTIONS)
def _length(p, totals, theta, step, decrement):
    """How many times a Newton step of this decrement to go for the peak along it.

    The first guess stays inside the box since the density is self-concordant.
    """
    low, high = 0.0, _longest(p, theta, step)
    t = 1.0 / (1.0 + decrement)
    for _ in range(_SEARCH_ROUNDS):
        slope, bend = _along(p, totals, theta, step, t)
        if abs(slope) < _SEARCHED * decrement * decrement:
            break
        if slope > 0.0:
            low = t
        else:
            high = t
        t += slope / bend
        if t <= low or t >= high:
            t = 0.5 * (low + high) if high < np.inf else 4.0 * low
    return t


class Centre(NamedTuple):
    """Where a posterior of n_sources and n_backgrounds stands.

    theta : (n_columns,) the peak of p(θ | C) Π θ (U − θ), which for one source without background,
        s^C e^{−fs}, is the mean (C + 1)/f
    precision : (n_sources, n_sources) the negative Hessian there, backgrounds integrated out
    spread : (n_columns,) standard deviations of all columns about theta
    shift : (n_backgrounds,) standard deviation with which each background follows the sources, in
        units of its own with the sources given
    way : (n_sources, n_backgrounds) the step of the sources, one standard deviation long, along
        which that background follows them so far
    pull : (n_sources, n_backgrounds) by how much each background follows each source
    decrement : the Newton decrement that is left: how many standard deviations theta is off
    """

    theta: np.ndarray
    precision: np.ndarray
    spread: np.ndarray
    shift: np.ndarray
    way: np.ndarray
    pull: np.ndarray
    decrement: float


@njit(**OPTIONS)
def centre(p):
    """The `Centre` of a problem, `Compressed`.

    The factors θ (U − θ) are the logarithmic barrier of interior-point methods: with them the peak
    lies inside the box however a bound cuts the posterior.  All terms are logarithms with
    weights of at least one, so that Newton's method, damped by a search along each step, leads
    there from anywhere and its decrement says how far it is (Nesterov & Nemirovskii 1994).
    """
    upper, totals = p.upper, np.append(p.f_sum, p.omega_sum)
    sources, columns = len(p.f_sum), len(totals)
    blocks = columns - sources
    theta = np.empty(columns)
    gain = np.empty(columns)
    for j, total in enumerate(totals):
        theta[j] = 0.5 * upper[j]
        if total > 0.0:
            theta[j] = min(theta[j], (1.0 + p.counts.sum() / columns) / total)
    for _ in range(_EM_ROUNDS):
        gains(p, theta, gain)
        for j, total in enumerate(totals):
            if total > 0.0:
                theta[j] = min((theta[j] * gain[j] + 1.0) / total, 0.5 * (theta[j] + upper[j]))
    gradient = np.empty(columns)
    ss = np.empty((sources, sources))
    sb = np.empty((sources, blocks))
    bb = np.empty(blocks)
    step = np.empty(columns)
    factor = np.empty((sources, sources))
    decrement = np.inf
    for _ in range(_NEWTON_ROUNDS):
        _expand(p, totals, theta, gradient, ss, sb, bb)
        for j in range(sources):
            step[j] = gradient[j]
            for k in range(blocks):
                step[j] -= sb[j, k] * gradient[sources + k] / bb[k]
            for i in range(j + 1):
                for k in range(blocks):
                    ss[j, i] -= sb[j, k] * sb[i, k] / bb[k]
                ss[i, j] = ss[j, i]
                factor[j, i] = ss[j, i]
        cholesky_solve(factor, step[:sources])
        for k in range(blocks):
            rest = gradient[sources + k]
            for j in range(sources):
                rest -= sb[j, k] * step[j]
            step[sources + k] = rest / bb[k]
        square = 0.0
        for j in range(columns):
            square += gradient[j] * step[j]
        decrement = np.sqrt(abs(square))
        if decrement < _CONVERGED:
            break
        length = _length(p, totals, theta, step, decrement) if decrement > 0.3 else 1.0
        for j in range(columns):
            theta[j] += length * step[j]
    shift = np.zeros(blocks)
    way = np.zeros((sources, blocks))
    pull = np.empty((sources, blocks))
    spread = np.empty(columns)
    column = np.empty(sources)
    for j in range(columns):
        for i in range(sources):
            column[i] = sb[i, j - sources] if j >= sources else (1.0 if i == j else 0.0)
            for m in range(sources):
                factor[i, m] = ss[i, m]
        cholesky_solve(factor, column)
        if j < sources:
            spread[j] = np.sqrt(column[j])
        else:
            k = j - sources
            follows = 0.0
            for i in range(sources):
                follows += column[i] * sb[i, k]
                pull[i, k] = -sb[i, k] / bb[k]
            follows = max(follows, 0.0)
            if follows > 0.0:
                for i in range(sources):
                    way[i, k] = column[i] / np.sqrt(follows)
            shift[k] = np.sqrt(follows / bb[k])
            spread[j] = np.sqrt((1.0 + follows / bb[k]) / bb[k])
    return Centre(theta, ss, spread, shift, way, pull, decrement)
