"""Convergence of chains: rank-normalised split r-hat and bulk effective sample size.

Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16, 667.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np


def rhat_and_ess(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank-normalised split r-hat and bulk ESS, (n_columns,) each.

    `values` are draws, (n_chains, n_draws, n_columns), at least four a chain.
    r-hat is the larger of that of the ranks (Eq. 14) and that of the ranks of
    the distances from the median, which sees chains that differ in width only.
    A column that never moves has r-hat NaN, as nothing can be said of it, and
    a column with draws that are not finite both NaN.
    """
    values = np.asarray(values, dtype=float)
    half = values.shape[1] // 2
    # An odd draw in the middle belongs to neither half.
    split = np.concatenate([values[:, :half], values[:, -half:]])
    rhat = np.full(values.shape[2], np.nan)
    ess = np.full(values.shape[2], np.nan)
    for column in range(values.shape[2]):
        chains = split[:, :, column]
        if not np.isfinite(chains).all():
            continue
        ranked = _rank_normalised(chains)
        folded = _rank_normalised(np.abs(chains - np.median(chains)))
        rhat[column] = max(_split_rhat(ranked), _split_rhat(folded))
        ess[column] = _effective_sample_size(ranked)
    return rhat, ess


def _rank_normalised(chains: np.ndarray) -> np.ndarray:
    """Normal scores of the pooled ranks, ties sharing their mean rank (Eq. 14)."""
    _, inverse, counts = np.unique(chains, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    doubled_ranks = 2 * last - counts + 1
    scores = _normal_scores(chains.size)[doubled_ranks]
    return scores[inverse].reshape(chains.shape)


@lru_cache(maxsize=16)
def _normal_scores(size: int) -> np.ndarray:
    """Φ⁻¹((r − 3/8)/(size + 1/4)) at index 2r, for r from 1 to `size` in halves."""
    quantile = NormalDist().inv_cdf
    scores = [quantile((doubled / 2 - 0.375) / (size + 0.25)) for doubled in range(2, 2 * size + 1)]
    return np.array([np.nan, np.nan, *scores])


def _split_rhat(chains: np.ndarray) -> float:
    """The classic r-hat (Eqs. 1-4) of (n_chains, n_draws); NaN if nothing moves."""
    n_draws = chains.shape[1]
    within = chains.var(axis=1, ddof=1).mean()
    between = n_draws * chains.mean(axis=1).var(ddof=1)
    if within == 0:
        return np.nan if between == 0 else np.inf
    return float(np.sqrt((n_draws - 1 + between / within) / n_draws))


def _effective_sample_size(chains: np.ndarray) -> float:
    """Effective sample size (Eqs. 10-13) of (n_chains, n_draws), by Geyer's monotone sequence."""
    n_draws = chains.shape[1]
    # Two zero-padded halves make the circular correlation a linear one.
    spectrum = np.fft.rfft(chains - chains.mean(axis=1, keepdims=True), n=2 * n_draws, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n_draws].mean(axis=0) / n_draws
    within = covariance[0] * n_draws / (n_draws - 1)
    total = covariance[0] + chains.mean(axis=1).var(ddof=1)
    if total == 0:
        return float(chains.size)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    pairs = rho[: (n_draws - 1) // 2 * 2].reshape(-1, 2)
    sums = pairs.sum(axis=1)
    negative = np.flatnonzero(sums[:-1] <= 0)
    kept = negative[0] if len(negative) else len(sums) - 1
    tau = -1 + 2 * np.minimum.accumulate(sums[:kept]).sum() + max(pairs[kept, 0], 0.0)
    # Antithetic chains cannot claim more than the paper's bound.
    return float(chains.size / max(tau, 1 / np.log10(chains.size)))
