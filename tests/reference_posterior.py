"""Marginals of several sources by means of their own: the reference for the engine `exact`.

Nothing of mpiapp is imported.  Each background is integrated out at each point by two Gauss–
Legendre panels on either side of its conditional mode.  Of two sources the other is integrated
out by two panels around its own conditional mode; more are sampled by randomised quasi-Monte Carlo
with importance weights, and sixteen scrambles tell the error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.stats import qmc

_X, _W = np.polynomial.legendre.leggauss(20)
_OUTER = 64
_GRID = 200_000
_FALL = 25.0
_SCRAMBLES = 16
_KNOWN = 2e-3  # half-widths, of mean and rms; four times as many points follow, twice


class Reference(NamedTuple):
    """The catalog's numbers of one source, and the standard error of each.

    numbers, error : (5,) mode, lower bound, upper bound, mean and rms; the bounds are those of a
        measured value, or 0 and twice the mode of an upper limit
    share : of the smoothed density between 0 and twice the mode; an upper limit where it is
        less than 0.68
    """

    numbers: np.ndarray
    error: np.ndarray
    share: float


@njit(cache=True)
def _slopes(counts, mu, omega, begin, end, total, b):
    """First and second derivative of Σ C log(μ + Ω b) − b total."""
    slope, bend = -total, 0.0
    for r in range(begin, end):
        ratio = omega[r] / (mu[r] + omega[r] * b)
        slope += counts[r] * ratio
        bend -= counts[r] * ratio * ratio
    return slope, bend


@njit(cache=True)
def _fall(counts, mu, omega, begin, end, total, top, b):
    """Logarithm of the density of the background at b over that at top."""
    change = -total * (b - top)
    for r in range(begin, end):
        change += counts[r] * np.log((mu[r] + omega[r] * b) / (mu[r] + omega[r] * top))
    return change


@njit(cache=True)
def _end(counts, mu, omega, begin, end, total, top, bound, step):
    """Between top and bound, where the density has fallen by e^_FALL; bound if it does not."""
    inner, outer, reach = 0.0, np.inf, abs(bound - top)
    for _ in range(200):
        step = min(step, reach)
        b = top + step if bound > top else top - step
        fall = -_fall(counts, mu, omega, begin, end, total, top, b)
        if fall < _FALL:
            if step == reach:
                return bound
            inner = step
            step = 2.0 * step if outer == np.inf else 0.5 * (inner + outer)
        elif fall < 1.3 * _FALL:
            return b
        else:
            outer = step
            step = 0.5 * (inner + outer)
    return b


@njit(cache=True)
def collapsed(data, s):
    """Log-likelihood of sources s, every background integrated out over its prior."""
    counts, f, omega, first, omega_sum, upper = data
    n = len(s)
    out = 0.0
    mu = np.empty(len(counts))
    for r in range(len(counts)):
        mu[r] = 0.0
        for j in range(n):
            mu[r] += f[r, j] * s[j]
            out -= f[r, j] * s[j]
    for k in range(len(omega_sum)):
        args = counts, mu, omega, first[k], first[k + 1], omega_sum[k]
        bound = upper[n + k]
        low, high, b = 0.0, bound, 0.0
        seen = 1.0
        for r in range(first[k], first[k + 1]):
            seen += counts[r]
        b = min(0.5 * bound, seen / omega_sum[k])
        for _ in range(80):
            slope, bend = _slopes(*args, b)
            if abs(slope) < 0.05 * np.sqrt(-bend) or high - low < 1e-9 * high:
                break
            if slope > 0.0:
                low = b
            else:
                high = b
            b -= slope / bend if bend < 0.0 else 0.0
            if not low < b < high:
                b = 0.5 * (low + high)
                if low == 0.0:
                    b = 0.1 * high
        slope, bend = _slopes(*args, b)
        root = np.sqrt(slope * slope - 2.0 * _FALL * bend)
        left = _end(*args, b, 0.0, 2.0 * _FALL / max(root + slope, 1e-300))
        right = _end(*args, b, bound, 2.0 * _FALL / max(root - slope, 1e-300))
        mass = 0.0
        for begin, end in ((left, b), (b, right)):
            half = 0.5 * (end - begin)
            for q in range(len(_X)):
                x = begin + half * (1.0 + _X[q])
                mass += half * _W[q] * np.exp(_fall(*args, b, x))
        out += np.log(mass) - omega_sum[k] * b
        for r in range(first[k], first[k + 1]):
            if counts[r] > 0.0:
                out += counts[r] * np.log(mu[r] + omega[r] * b)
    return out


class _Data(NamedTuple):
    counts: np.ndarray
    f: np.ndarray
    omega: np.ndarray
    first: np.ndarray
    omega_sum: np.ndarray
    upper: np.ndarray


def _data(counts, F, row_obsid, upper, n):
    m = F.shape[1] - n
    first = np.searchsorted(row_obsid, np.arange(m + 1))
    omega = F[np.arange(len(F)), n + row_obsid]
    sums = np.add.reduceat(omega, first[:-1])
    f = np.ascontiguousarray(F[:, :n])
    return _Data(counts.astype(float), f, omega, first, sums, upper)


def middle(counts, F, upper):
    """(θ, negative Hessian) where Σ C log μ − μ + Σ log θ + Σ log(U − θ) peaks: damped Newton.

    With its logarithmic barriers a stand-in for the mean.
    """
    total = F.sum(axis=0)
    start = np.linalg.lstsq(
        F / np.sqrt(counts + 1.0)[:, None], counts / np.sqrt(counts + 1.0), rcond=None
    )[0]
    theta = np.clip(start, 1.0 / total, None)
    theta = np.minimum(theta, 0.5 * upper)

    def height(t):
        return counts @ np.log(F @ t) - total @ t + np.log(t).sum() + np.log(upper - t).sum()

    for _ in range(2000):
        mu = F @ theta
        below, above = 1.0 / theta, 1.0 / (upper - theta)
        gradient = (counts / mu) @ F - total + below - above
        hessian = F.T @ ((counts / mu**2)[:, None] * F) + np.diag(below**2 + above**2)
        d = 1.0 / np.sqrt(np.diag(hessian))
        step = d * np.linalg.solve(hessian * np.outer(d, d), d * gradient)
        decrement = np.sqrt(abs(gradient @ step))
        if decrement < 1e-6:
            break
        length = 1.0 if decrement < 0.25 else 1.0 / (1.0 + decrement)
        if decrement > 0.25:
            now = height(theta)
            for longer in (2.0**k for k in range(12, 0, -1)):
                t = theta + longer * length * step
                if (t > 0.0).all() and (t < upper).all() and height(t) > now:
                    length *= longer
                    break
        theta = theta + length * step
    return theta, hessian


def _of_sources(hessian, n):
    """Covariance of the sources, backgrounds integrated out, in scaled units."""
    d = 1.0 / np.sqrt(np.diag(hessian))
    return (np.linalg.inv(hessian * np.outer(d, d)) * np.outer(d, d))[:n, :n]


@njit(cache=True)
def _line(data, s, j, lo, hi, guess, scale):
    """(log integral over s_j, its mode): two panels on either side of the mode; s[j] is changed."""
    gold = 0.381966
    x = min(max(guess, lo + 1e-9 * (hi - lo)), hi - 1e-9 * (hi - lo))
    s[j] = x
    at = collapsed(data, s)
    left, right = max(lo, x - scale), min(hi, x + scale)
    for side in range(2):
        for _ in range(200):
            end = left if side == 0 else right
            s[j] = end
            value = collapsed(data, s)
            if value < at or end in (lo, hi):
                break
            x, at = end, value
            if side == 0:
                left = max(lo, end - 2.0 * (right - end))
            else:
                right = min(hi, end + 2.0 * (end - left))
    for _ in range(60):
        if right - left < 0.05 * scale and right - left < 0.05 * max(x, 1e-3 * scale):
            break
        t = x - gold * (x - left) if x - left > right - x else x + gold * (right - x)
        s[j] = t
        value = collapsed(data, s)
        if value > at:
            if t > x:
                left = x
            else:
                right = x
            x, at = t, value
        elif t > x:
            right = t
        else:
            left = t
    mass = 0.0
    for side in range(2):
        bound = lo if side == 0 else hi
        reach = abs(bound - x)
        step = min(reach, 6.0 * scale)
        inner, outer = 0.0, reach
        for _ in range(60):
            s[j] = x + (step if side else -step)
            fall = at - collapsed(data, s)
            if fall < _FALL:
                inner = step
                if step >= reach:
                    outer = reach
                    break
                step = min(2.0 * step, reach) if outer == reach else 0.5 * (inner + outer)
            else:
                outer = step
                if fall < 1.4 * _FALL:
                    break
                step = 0.5 * (inner + outer)
        half = 0.5 * outer
        for q in range(len(_X)):
            d = half * (1.0 + _X[q])
            s[j] = x + (d if side else -d)
            mass += half * _W[q] * np.exp(collapsed(data, s) - at)
    return at + np.log(mass), x


def numbers(x, weight, upper):
    """(mode, lolim, hilim, mean, rms), share of weighted points x; see `Reference`.

    The Epanechnikov kernel's sums are polynomials in sums of the points' powers.
    """
    order = np.argsort(x)
    x, w = x[order], weight[order] / weight.sum()
    mean = w @ x
    h = rms = np.sqrt(w @ (x - mean) ** 2)
    z = (x - mean) / h
    sums = np.concatenate([np.zeros((4, 1)), np.cumsum(w * z ** np.arange(4)[:, None], axis=1)], 1)
    zero, top = -mean / h, (upper - mean) / h

    def moments(t):
        a, b = np.searchsorted(z, (t - 1.0, t + 1.0))
        return sums[:, a], sums[:, b] - sums[:, a]

    def cdf(t):
        t = min(max(t, zero), top)
        below, (m0, m1, m2, m3) = moments(t)
        cubes = t**3 * m0 - 3 * t * t * m1 + 3 * t * m2 - m3
        return below[0] + 0.25 * (2 * m0 + 3 * (t * m0 - m1) - cubes)

    def slope(t):
        m = moments(t)[1]
        return m[1] - t * m[0]

    def root(function, a, b):
        for _ in range(60):
            c = 0.5 * (a + b)
            a, b = (c, b) if function(c) > 0 else (a, c)
        return 0.5 * (a + b)

    mode = root(slope, max(zero, z[0] - 0.0), min(top, 3.0))
    base, whole = cdf(zero), cdf(top) - cdf(zero)
    share = (cdf(2 * mode - zero) - base) / whole
    if share < 0.68:
        lo, hi = zero, 2 * mode - zero
    else:
        w = root(lambda d: 0.68 * whole - cdf(mode + d) + cdf(mode - d), 0.0, mode - zero)
        lo, hi = mode - w, min(mode + w, top)
    return np.array([mean + h * mode, mean + h * lo, mean + h * hi, mean, rms]), share


def _two(data, theta, covariance, j):
    """The `Reference` of source j of two."""
    i = 1 - j
    sigma = np.sqrt(np.diag(covariance))
    tight = sigma[i] * np.sqrt(max(1.0 - covariance[0, 1] ** 2 / np.prod(sigma**2), 1e-12))
    s = np.empty(2)
    tied = covariance[i, j] / covariance[j, j]

    def height(t):
        s[j] = t
        guess = theta[i] + tied * (t - theta[j])
        return _line(data, s, i, 0.0, data.upper[i], guess, tight)[0]

    top = height(theta[j])
    ends = []
    for bound, sign in ((0.0, -1.0), (data.upper[j], 1.0)):
        reach = abs(bound - theta[j])
        step, inner, outer = min(6.0 * sigma[j], reach), 0.0, np.inf
        for _ in range(40):
            value = height(theta[j] + sign * step)
            fall = top - value
            top = max(top, value)
            if fall < _FALL:
                inner = step
                if step >= reach:
                    break
                step = min(2.0 * step, reach) if outer == np.inf else 0.5 * (inner + outer)
            else:
                outer = step
                if fall < 1.5 * _FALL:
                    break
                step = 0.5 * (inner + outer)
        ends.append(theta[j] + sign * step)
    lo, hi = ends
    x = np.polynomial.legendre.leggauss(_OUTER)[0]
    logs = np.array([height(lo + 0.5 * (hi - lo) * (1.0 + t)) for t in x])
    series = np.polynomial.legendre.Legendre.fit(x, logs - logs.max(), _OUTER - 1, domain=[-1, 1])
    u = (np.arange(2 * _GRID) + 0.5) / _GRID - 1.0
    found, share = numbers(lo + 0.5 * (hi - lo) * (1.0 + u), np.exp(series(u)), data.upper[j])
    return Reference(found, np.zeros(5), share)


@njit(cache=True)
def _weigh(data, u, theta, factor, s, logs):
    """Fill points s (n_points, n) of the box and the logarithms of their weights.

    One source after the other: a logistic density, wider than the fitted one, cut by the box.
    """
    n = len(theta)
    z = np.empty(n)
    for p in range(len(u)):
        logs[p] = 0.0
        for j in range(n):
            place = theta[j]
            for i in range(j):
                place += factor[j, i] * z[i]
            sigma = factor[j, j]
            width = 1.15 * sigma
            if place < 0.0:
                width = 1.15 / (-place / sigma**2 + 1.0 / sigma)
            elif place > data.upper[j]:
                width = 1.15 / ((place - data.upper[j]) / sigma**2 + 1.0 / sigma)
            at = min(max(place, 0.0), data.upper[j])
            low = 1.0 / (1.0 + np.exp(at / width))
            high = 1.0 / (1.0 + np.exp((data.upper[j] - at) / width))
            mass = 1.0 - low - high
            # from the nearer end, so that no digits are lost
            a, b = low + u[p, j] * mass, high + (1.0 - u[p, j]) * mass
            x = at + width * np.log(a / b)
            s[p, j] = min(max(x, 1e-14 * width), data.upper[j])
            z[j] = (s[p, j] - place) / sigma
            logs[p] += np.log(mass * width / (a * b))
        logs[p] += collapsed(data, s[p])


def _more(data, theta, covariance, points, seed):
    """The `Reference` of each of three or more sources."""
    n = len(theta)
    order = np.argsort(-theta / np.sqrt(np.diag(covariance)))  # firmly known ones first
    inverse = np.argsort(order)
    turned = data._replace(
        f=np.ascontiguousarray(data.f[:, order]),
        upper=np.concatenate([data.upper[order], data.upper[n:]]),
    )
    factor = np.linalg.cholesky(covariance[np.ix_(order, order)])
    sets = []
    for k in range(_SCRAMBLES):
        u = qmc.Sobol(n, seed=np.random.default_rng([seed, k])).random(points)
        u = np.clip(u, 1e-12, 1.0 - 1e-12)
        s, logs = np.empty((points, n)), np.empty(points)
        _weigh(turned, u, theta[order], factor, s, logs)
        sets.append((s[:, inverse], logs))
    top = max(logs.max() for _, logs in sets)
    found = []
    for j in range(n):
        upper = data.upper[j]
        each = [numbers(s[:, j], np.exp(logs - top), upper) for s, logs in sets]
        whole, share = numbers(
            np.concatenate([s[:, j] for s, _ in sets]),
            np.concatenate([np.exp(logs - top) for _, logs in sets]),
            upper,
        )
        error = np.std([values for values, _ in each], axis=0, ddof=1) / np.sqrt(_SCRAMBLES)
        found.append(Reference(whole, error, share))
    return found


def references(counts, F, row_obsid, upper, n, points=2**12, seed=1):
    """The `Reference` of each of n sources of a problem; its columns in any unit.

    counts : (n_rows,), F : (n_rows, n + n_obsids), row_obsid : (n_rows,) ascending, upper :
    (n + n_obsids,) of the flat priors
    """
    unit = F.sum(axis=0)
    counts, F, upper = np.asarray(counts, float), F / unit, upper * unit
    theta, hessian = middle(counts, F, upper)
    data = _data(counts, F, row_obsid, upper, n)
    covariance = _of_sources(hessian, n)
    if n == 2:
        found = [_two(data, theta[:2], covariance, j) for j in range(2)]
    else:
        for more in (1, 4, 16):
            found = _more(data, theta[:n], covariance, more * points, seed)
            if all(r.error[3:].max() < _KNOWN * r.numbers[4] for r in found):
                break
    return [Reference(r.numbers / unit[j], r.error / unit[j], r.share) for j, r in enumerate(found)]
