"""A problem as the compiled samplers want it: only rows with counts, backgrounds apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem
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
    n, F = problem.n_sources, problem.F
    rows = np.flatnonzero(problem.counts)
    seen = F[rows]
    blind = ~seen.any(axis=1)
    if blind.any():
        impossible = blind & (problem.offset[rows] <= 0.0)
        if impossible.any():
            row = rows[impossible][0]
            raise SamplingError(
                f"row {row} holds {problem.counts[row]} counts but all its elements of F are zero: "
                "correct the matrix or leave this aperture out"
            )
        rows, seen = rows[~blind], seen[~blind]
    backgrounds = F.shape[1] - n
    sums = F.sum(axis=0)
    if backgrounds:
        obsid = problem.row_obsid[rows]
        omega = seen[np.arange(len(rows)), n + obsid]
        first = np.searchsorted(obsid, np.arange(backgrounds + 1))
    else:
        omega = np.zeros(len(rows))
        first = np.array([0])
    return Compressed(
        rows,
        problem.counts[rows].astype(float),
        np.ascontiguousarray(seen[:, :n]),
        omega,
        problem.offset[rows].astype(float),
        first.astype(np.int64),
        sums[:n],
        sums[n:],
        np.asarray(problem.upper, dtype=float),
    )
