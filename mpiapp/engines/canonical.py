"""A problem in units of its own, in which equal data in other units are the same problem."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem
from . import _compiled

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


class Found(NamedTuple):
    """The catalog's numbers of n problems.

    numbers : (n, n_sources, 7) value, lolim, hilim, mode, mean, rms and noise, the latter in
        half-widths; value and lolim are 0 for an upper limit
    is_limit : (n, n_sources) bool
    reach : (n, columns) what mode + 3/2 (hilim − lolim) of sources and backgrounds cannot exceed
    status : (n,) SOLVED, or why not
    is_scaled : (n,) bool; whether it was the problem before in other units
    depth : (n, n_sources) the level of `cubature` that was enough
    ends : (n, n_sources, 2) where the density begins and ends, NaN if it is not tabulated
    tables : (n, n_sources, points) density per half of that range
    """

    numbers: np.ndarray
    is_limit: np.ndarray
    reach: np.ndarray
    status: np.ndarray
    is_scaled: np.ndarray
    depth: np.ndarray
    ends: np.ndarray
    tables: np.ndarray


def canonical(problem: Problem) -> Canonical:
    """In its own units, F rounded to 40 bits, priors cut where the likelihood has ended."""
    F, upper, units = _compiled.in_own_units(
        problem.counts, problem.F, problem.upper, problem.n_sources, ROOM
    )
    own = replace(problem, F=F, upper=upper)
    h = blake2b(repr(own.wanted).encode(), digest_size=16)
    for array in (own.counts, own.F, own.upper, own.row_obsid, own.offset):
        h.update(repr(array.shape).encode())
        h.update(np.ascontiguousarray(array).tobytes())
    return Canonical(own, units, h.digest())
