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


@njit(**OPTIONS)
def own_problems(counts, F, offset, upper, n_sources, room):
    """(same, F, upper, units) of n problems in their own units, as `to_own_units` finds them.

    same : (n,) the problem before that it is in other units, or itself
    """
    own, bounds, units = np.empty(F.shape), np.empty(upper.shape), np.empty(upper.shape)
    same = np.arange(len(F))
    for i in range(len(F)):
        to_own_units(counts[i], F[i], upper[i], n_sources, room, own[i], bounds[i], units[i])
        k = same[i - 1]
        if (
            i > 0
            and (counts[i] == counts[k]).all()
            and (bounds[i] == bounds[k]).all()
            and (own[i] == own[k]).all()
            and (offset[i] == offset[k]).all()
        ):
            same[i] = k
    return same, own, bounds, units


@njit(**OPTIONS)
def nothing_found(same, n_sources, columns, points):
    """`Found` with no numbers yet."""
    n = len(same)
    return Found(
        np.full((n, n_sources, 7), np.nan),
        np.zeros((n, n_sources), dtype=np.bool_),
        np.full((n, columns), np.inf),
        np.zeros(n, dtype=np.int8),
        same < np.arange(n),
        np.zeros((n, n_sources), dtype=np.int8),
        np.full((n, n_sources, 2), np.nan),
        np.zeros((n, n_sources, points)),
    )


@njit(**OPTIONS)
def to_given_units(found, same, units):
    """Scale what was found of problems in their own units, also for those that are the same."""
    n, sources = found.is_limit.shape
    for i in range(n - 1, -1, -1):  # what others are the same as is scaled last
        k = same[i]
        found.status[i], found.is_limit[i] = found.status[k], found.is_limit[k]
        found.depth[i], found.tables[i] = found.depth[k], found.tables[k]
        for j in range(sources):
            for m in range(6):
                found.numbers[i, j, m] = found.numbers[k, j, m] / units[i, j]
            found.numbers[i, j, 6] = found.numbers[k, j, 6]
            for m in range(2):
                found.ends[i, j, m] = found.ends[k, j, m] / units[i, j]
        for j in range(units.shape[1]):
            found.reach[i, j] = found.reach[k, j] / units[i, j]


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
