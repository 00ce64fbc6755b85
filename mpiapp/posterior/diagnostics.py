"""Rank-normalised split r-hat and bulk effective sample size; memory of the start."""

from __future__ import annotations

import numpy as np

from . import _compiled

_FARTHEST, _TOO_MANY = 20, 16


def rhat_and_ess(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r-hat, bulk effective sample size), each (n_columns,), of values (chains, draws, columns).

    r-hat is the larger of two, of the ranks of x and of the ranks of |x − median|,
    NaN for a column that never moves; both are NaN for one with draws not finite
    (Vehtari et al. 2021, Bayesian Analysis 16, 667, Eqs. 1–14).
    """
    return _compiled.rhat_and_ess(values)


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
