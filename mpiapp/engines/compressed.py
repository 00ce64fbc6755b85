"""A problem as the compiled samplers want it: only rows with counts, backgrounds apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..catalog.problem import Problem
from ..compiled import OPTIONS
from ..posterior.draws import SamplingError


class Compressed(NamedTuple):
    """Rows without counts enter the likelihood through column sums alone, so they are left out.

    rows : (n,) their numbers in the problem
    counts, omega, offset : (n,) of the rows with counts: C, background and frozen part of F·θ
    f : (n, n_sources) source columns of these rows
    first : (n_backgrounds + 1,) where each obsid's rows start; one block if backgrounds are frozen
    f_sum : (n_sources,), omega_sum : (n_backgrounds,) column sums over all rows
    upper : (n_columns,) prior bounds
    """

    rows: np.ndarray
    counts: np.ndarray
    f: np.ndarray
    omega: np.ndarray
    offset: np.ndarray
    first: np.ndarray
    f_sum: np.ndarray
    omega_sum: np.ndarray
    upper: np.ndarray


def compress(problem: Problem) -> Compressed:
    """Drop the rows without counts; raise SamplingError for counts that nothing can explain."""
    impossible, compressed = compress_rows(
        problem.counts,
        problem.F,
        problem.offset,
        problem.row_obsid,
        problem.upper,
        problem.n_sources,
    )
    if impossible >= 0:
        raise SamplingError(
            f"row {impossible} holds {problem.counts[impossible]} counts but all its elements of F "
            "are zero: correct the matrix or leave this aperture out"
        )
    return compressed


@njit(**OPTIONS)
def compress_rows(counts, F, offset, row_obsid, upper, sources):
    """The first row whose counts nothing explains, or −1, and the problem compressed."""
    backgrounds = F.shape[1] - sources
    sums = np.zeros(F.shape[1])
    rows = np.empty(len(counts), dtype=np.int64)
    first = np.zeros(backgrounds + 1, dtype=np.int64)
    impossible = -1
    n = 0
    for r in range(len(counts)):
        seen = False
        for j in range(F.shape[1]):
            sums[j] += F[r, j]
            seen = seen or F[r, j] != 0.0
        if counts[r] == 0:
            continue
        if not seen:
            if offset[r] <= 0.0 and impossible < 0:
                impossible = r
            continue
        rows[n] = r
        n += 1
        if backgrounds:
            first[row_obsid[r] + 1] += 1
    rows = rows[:n].copy()
    for k in range(backgrounds):
        first[k + 1] += first[k]
    kept = np.empty(n)
    f = np.empty((n, sources))
    omega = np.zeros(n)
    rest = np.empty(n)
    for i in range(n):
        r = rows[i]
        kept[i] = counts[r]
        rest[i] = offset[r]
        for j in range(sources):
            f[i, j] = F[r, j]
        if backgrounds:
            omega[i] = F[r, sources + row_obsid[r]]
    f_sum, omega_sum = sums[:sources].copy(), sums[sources:].copy()
    return impossible, Compressed(rows, kept, f, omega, rest, first, f_sum, omega_sum, upper)
