"""Where a posterior stands inside its box: a centre close to the mean, and the precision there."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .kernels import TINY
from .lines import gains

_EM_ROUNDS = 15
_NEWTON_ROUNDS = 200


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
def centre(p):
    """(theta, precision of the sources, shift of the backgrounds, spread).

    theta : (n_columns,) the peak of p(θ | C) Π θ (U − θ), which for one source
    without background, s^C e^{−fs}, is the mean (C + 1)/f.  The two factors are
    the logarithmic barrier of interior-point methods: with them the peak
    lies inside the box however a bound cuts the posterior, and Newton's damped
    steps lead there (Nesterov & Nemirovskii 1994).
    precision : (n_sources, n_sources) the negative Hessian there, backgrounds
    integrated out.
    shift : (n_backgrounds,) standard deviation with which each background follows
    the sources, in units of its own with the sources given.
    spread : (n_columns,) standard deviations of all columns about theta.
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
        decrement = 0.0
        for j in range(columns):
            decrement += gradient[j] * step[j]
        decrement = np.sqrt(max(decrement, 0.0))
        damping = 1.0 if decrement < 0.3 else 1.0 / (1.0 + decrement)
        for j in range(columns):
            theta[j] += damping * step[j]
        if decrement < 1e-4:
            break
    shift = np.zeros(blocks)
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
            follows = 0.0
            for i in range(sources):
                follows += column[i] * sb[i, j - sources] / bb[j - sources]
            shift[j - sources] = np.sqrt(max(follows, 0.0))
            spread[j] = np.sqrt((1.0 + max(follows, 0.0)) / bb[j - sources])
    return theta, ss, shift, spread
