"""Intervals of highest density: of all that hold a probability, the shortest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_STEPS = 33
_ROUNDS = 4


def highest_density(
    quantile: Callable[[np.ndarray], np.ndarray], level: float
) -> tuple[float, float]:
    """(lower, upper) bound of the shortest interval that holds `level` of a posterior.

    quantile : where its distribution function reaches probabilities of any shape

    With one peak every value inside is more likely than any outside.  Found to 10⁻⁴ of its
    length; of draws, to what their number leaves.
    """
    low, high = 0.0, 1.0 - level
    for _ in range(_ROUNDS):
        below = np.linspace(low, high, _STEPS)
        begin, end = quantile(np.array([below, below + level]))
        best = int(np.argmin(end - begin))
        low, high = below[max(best - 1, 0)], below[min(best + 1, _STEPS - 1)]
    return float(begin[best]), float(end[best])
