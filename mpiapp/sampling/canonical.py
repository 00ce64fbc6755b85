"""A problem in units of its own, in which equal data in other units are the same problem."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numba import njit

from ..catalog.problem import Problem
from ..compiled import OPTIONS
from .kernels import round_to_40_bits

# Times where the likelihood of a source ends: far enough for any smoothing.
ROOM = 8.0


class Canonical(NamedTuple):
    """A problem in units in which the largest element of each column of F is one.

    units : (n_columns,) by which its θ are divided to be those of the original
    digest : bytes, equal for equal problems with equal sources to report
    """

    problem: Problem
    units: np.ndarray
    digest: bytes


@njit(**OPTIONS)
def to_own_units(counts, F, upper, n_sources, room, F_out, upper_out, units):
    """F_out, upper_out and units, written: the problem in its own units (see `canonical`).

    room : how many times where the likelihood ends the priors of the sources may reach; those of
        backgrounds, which nothing smooths, end there
    """
    for j in range(F.shape[1]):
        largest = F[:, j].max()
        units[j] = largest if largest > 0.0 else 1.0
        seen, total = 1.0, 0.0
        for r in range(len(counts)):
            F_out[r, j] = round_to_40_bits(F[r, j] / units[j])
            seen += counts[r] if F[r, j] > 0.0 else 0.0
            total += F_out[r, j]
        # Without the other columns θ_j follows a Gamma of the counts that it sees; with them less.
        beyond = seen + 7.0 * np.sqrt(seen) + 24.0
        beyond = beyond * room if j < n_sources or largest <= 0.0 else beyond / total
        upper_out[j] = upper[j] * units[j]
        if largest > 0.0:
            upper_out[j] = min(upper_out[j], beyond)


def canonical(problem: Problem) -> Canonical:
    """In its own units, F rounded to 40 bits, priors cut where the likelihood has ended."""
    F, upper = np.empty_like(problem.F), np.empty_like(problem.upper)
    units = np.empty_like(upper)
    to_own_units(problem.counts, problem.F, problem.upper, problem.n_sources, ROOM, F, upper, units)
    own = replace(problem, F=F, upper=upper)
    h = blake2b(repr(own.wanted).encode(), digest_size=16)
    for array in (own.counts, own.F, own.upper, own.row_obsid, own.offset):
        h.update(repr(array.shape).encode())
        h.update(np.ascontiguousarray(array).tobytes())
    return Canonical(own, units, h.digest())
