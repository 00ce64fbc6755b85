"""Rank-normalised split r-hat and bulk effective sample size, compiled; memory of the start.

Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, Bayesian Analysis 16, 667
(their Eqs. 1–14), with the truncation of Geyer's initial monotone sequence.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS

_FARTHEST, _TOO_MANY = 20, 16


@njit(**OPTIONS)
def normal_quantile(p):
    """Quantile of the standard normal, relative error < 1.2e-9 (P. J. Acklam's rational fit)."""
    if p > 0.5:
        return -normal_quantile(1.0 - p)
    if p < 0.02425:
        q = np.sqrt(-2.0 * np.log(p))
        num = -7.784894002430293e-03
        for a in (
            -3.223964580411365e-01,
            -2.400758277161838e00,
            -2.549732539343734e00,
            4.374664141464968e00,
            2.938163982698783e00,
        ):
            num = num * q + a
        den = 7.784695709041462e-03
        for a in (3.224671290700398e-01, 2.445134137142996e00, 3.754408661907416e00, 1.0):
            den = den * q + a
        return num / den
    q = p - 0.5
    r = q * q
    num = -3.969683028665376e01
    for a in (
        2.209460984245205e02,
        -2.759285104469687e02,
        1.383577518672690e02,
        -3.066479806614716e01,
        2.506628277459239e00,
    ):
        num = num * r + a
    den = -5.447609879822406e01
    for a in (
        1.615858368580409e02,
        -1.556989798598866e02,
        6.680131188771972e01,
        -1.328068155288572e01,
        1.0,
    ):
        den = den * r + a
    return q * num / den


@njit(**OPTIONS)
def _order(x, order):
    """Indices that sort x: distribution into as many buckets as values, then insertion."""
    n = len(x)
    low, high = x[0], x[0]
    for i in range(n):
        low = min(low, x[i])
        high = max(high, x[i])
    if not high > low:
        for i in range(n):
            order[i] = i
        return
    scale = (n - 1) / (high - low)
    begin = np.zeros(n + 1, dtype=np.int64)
    for i in range(n):
        begin[int((x[i] - low) * scale) + 1] += 1
    largest = 0
    for i in range(n):
        largest = max(largest, begin[i + 1])
        begin[i + 1] += begin[i]
    if largest > 100:
        order[:] = np.argsort(x)
        return
    for i in range(n):
        k = int((x[i] - low) * scale)
        order[begin[k]] = i
        begin[k] += 1
    for i in range(1, n):
        at = order[i]
        j = i - 1
        while j >= 0 and x[order[j]] > x[at]:
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = at


@njit(**OPTIONS)
def _rank_normalise(x, order, scores, z):
    """Replace values by the normal scores of their ranks, ties by that of their mean rank."""
    n = len(x)
    _order(x, order)
    i = 0
    while i < n:
        j = i
        while j + 1 < n and x[order[j + 1]] == x[order[i]]:
            j += 1
        score = scores[i]
        if j > i:
            score = normal_quantile((0.5 * (i + j) + 1.0 - 0.375) / (n + 0.25))
        for k in range(i, j + 1):
            z[order[k]] = score
        i = j + 1


@njit(**OPTIONS)
def _moments(z, means):
    """(between-chain variance of the means, mean within-chain variance) of z (chains, draws)."""
    chains, draws = z.shape
    within = 0.0
    for c in range(chains):
        total = 0.0
        for i in range(draws):
            total += z[c, i]
        means[c] = total / draws
        square = 0.0
        for i in range(draws):
            square += (z[c, i] - means[c]) ** 2
        within += square / (draws - 1)
    centre = means.mean()
    between = 0.0
    for c in range(chains):
        between += (means[c] - centre) ** 2
    return between / (chains - 1), within / chains


@njit(**OPTIONS)
def _autocovariance(z, means, lag):
    """Mean over chains of the autocovariance at `lag`, normalised by the number of draws."""
    chains, draws = z.shape
    total = 0.0
    for c in range(chains):
        for i in range(draws - lag):
            total += (z[c, i] - means[c]) * (z[c, i + lag] - means[c])
    return total / (chains * draws)


@njit(**OPTIONS)
def _ess(z, means):
    """Effective sample size of z (chains, draws) by Geyer's initial monotone sequence."""
    chains, draws = z.shape
    between, within = _moments(z, means)
    variance = within * (draws - 1.0) / draws + between
    if not variance > 0.0:
        return float(chains * draws)
    tau = -1.0
    previous = np.inf
    even, odd, lag = 1.0, 1.0 - (within - _autocovariance(z, means, 1)) / variance, 1
    while even + odd > 0.0 and lag < draws - 3:
        previous = min(previous, even + odd)
        tau += 2.0 * previous
        even = 1.0 - (within - _autocovariance(z, means, lag + 1)) / variance
        odd = 1.0 - (within - _autocovariance(z, means, lag + 2)) / variance
        lag += 2
    # Of the pair that ends the sequence a positive first half counts once.
    tau = max(tau + max(even, 0.0), 1.0 / np.log10(chains * draws))
    return chains * draws / tau


@njit(**OPTIONS)
def _rhat(between, within, draws):
    if within > 0.0:
        return np.sqrt((draws - 1.0) / draws + between / within)
    return np.inf if between > 0.0 else np.nan


@njit(**OPTIONS)
def rhat_and_ess(values):
    """(r-hat, bulk effective sample size), each (n_columns,), of values (chains, draws, columns).

    r-hat is the larger of that of the ranks and that of the ranks of |x − median|,
    NaN for a column that never moves; both are NaN for one with draws not finite.
    """
    chains, draws, columns = values.shape
    half = draws // 2
    n = 2 * chains * half
    scores = np.empty(n)
    for i in range(n):
        scores[i] = normal_quantile((i + 1.0 - 0.375) / (n + 0.25))
    x = np.empty(n)
    z = np.empty(n)
    order = np.empty(n, dtype=np.int64)
    means = np.empty(2 * chains)
    rhat = np.empty(columns)
    ess = np.empty(columns)
    split = z.reshape((2 * chains, half))
    for column in range(columns):
        finite = True
        for c in range(chains):
            for i in range(draws):
                finite = finite and abs(values[c, i, column]) < np.inf
        if not finite:
            rhat[column] = np.nan
            ess[column] = np.nan
            continue
        for c in range(chains):
            for i in range(half):
                x[2 * c * half + i] = values[c, i, column]
                x[(2 * c + 1) * half + i] = values[c, draws - half + i, column]
        _rank_normalise(x, order, scores, z)
        ess[column] = _ess(split, means)
        between, within = _moments(split, means)
        bulk = _rhat(between, within, half)
        median = 0.5 * (x[order[(n - 1) // 2]] + x[order[n // 2]])
        for i in range(n):
            x[i] = abs(x[i] - median)
        _rank_normalise(x, order, scores, z)
        between, within = _moments(split, means)
        folded = _rhat(between, within, half)
        rhat[column] = max(bulk, folded) if bulk == bulk else folded
    return rhat, ess


def remember_start(values: np.ndarray) -> bool:
    """Whether draws (chains, draws, columns) begin farther out than they go on.

    In each column the 20 draws farthest from the median are looked at.  Chance puts 16 of
    them into the first quarter of the chains in one of 3 million cases.
    """
    chains, draws, columns = values.shape
    if chains * draws < 4 * _FARTHEST:
        return False
    flat = values.reshape(chains * draws, columns)
    far = np.abs(flat - np.median(flat, axis=0))
    last = np.argpartition(far, -_FARTHEST, axis=0)[-_FARTHEST:]
    early = (last % draws < draws // 4).sum(axis=0)
    return bool((early >= _TOO_MANY).any())
