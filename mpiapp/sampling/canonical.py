"""A problem in units of its own, in which equal data in other units are the same problem."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem

# Bandwidths of the smoothing, in standard deviations, beyond the likelihood where a prior ends.
_ROOM = 8.0


class Canonical(NamedTuple):
    """A problem in units in which the largest element of each column of F is one.

    units : (n_columns,) by which its θ are divided to be those of the original
    digest : bytes, equal for equal problems
    """

    problem: Problem
    units: np.ndarray
    digest: bytes


def canonical(problem: Problem) -> Canonical:
    """In its own units, F rounded to 40 bits, priors cut where the likelihood has ended."""
    F = problem.F
    units = F.max(axis=0)
    units[units == 0.0] = 1.0
    rounded = ((F / units).view(np.int64) + 0x1000 & ~0x1FFF).view(np.float64)
    # Without the other columns θ_j follows a Gamma of the counts that it sees; with them less.
    seen = 1.0 + problem.counts @ (F > 0.0)
    beyond = _ROOM * (seen + 7.0 * np.sqrt(seen) + 24.0)
    upper = problem.upper * units
    upper = np.where(F.any(axis=0), np.minimum(upper, beyond), upper)
    own = replace(problem, F=rounded, upper=upper)
    h = blake2b(digest_size=16)
    for array in (own.counts, own.F, own.upper, own.row_obsid, own.offset):
        h.update(repr(array.shape).encode())
        h.update(np.ascontiguousarray(array).tobytes())
    return Canonical(own, units, h.digest())
