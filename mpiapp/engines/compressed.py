"""A problem as the compiled samplers want it: only rows with counts, backgrounds apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem
from ..posterior.draws import SamplingError
from . import _compiled


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
    p = problem
    impossible, arrays = _compiled.compress(
        (p.counts, p.F, p.offset, p.row_obsid, p.upper, p.n_sources)
    )
    if impossible >= 0:
        raise SamplingError(
            f"row {impossible} holds {problem.counts[impossible]} counts but all its elements of F "
            "are zero: correct the matrix or leave this aperture out"
        )
    return Compressed(*arrays)
