"""Problems of one shape, as arrays with a leading axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .problem import Problem

# Sources of a bundle: of larger ones there are too few for stacks.
LARGEST = 8


class Stack(NamedTuple):
    """Problems with the same sources, obsids, apertures and results, but for their names.

    counts : (n, n_rows) int64, F : (n, n_rows, n_sources + n_obsids) and
    upper : (n, n_sources + n_obsids) float64, of every problem as in `Problem`
    row_obsid : (n_rows,) int64, of all of them
    reported : the source columns that are results
    """

    counts: np.ndarray
    F: np.ndarray
    upper: np.ndarray
    row_obsid: np.ndarray
    reported: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_obsids(self) -> int:
        return int(self.row_obsid[-1]) + 1

    @property
    def n_sources(self) -> int:
        return self.F.shape[2] - self.n_obsids

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Stack:
        """Problems with fitted backgrounds in a stack; ValueError if their shapes differ."""
        first = problems[0]
        if not all(
            p.F.shape == first.F.shape
            and np.array_equal(p.row_obsid, first.row_obsid)
            and len(p.backgrounds) == p.n_obsids
            and p.wanted == first.wanted
            for p in problems
        ):
            raise ValueError("a stack holds problems of one shape, with a background an obsid")
        arrays = (np.stack([getattr(p, name) for p in problems]) for name in cls._fields[:3])
        return cls(*arrays, first.row_obsid, tuple(first.wanted))

    @classmethod
    def assemble(
        cls,
        parts: Sequence[tuple[np.ndarray, np.ndarray, Sequence[int]]],
        upper: np.ndarray,
        reported: tuple[int, ...] | None = None,
    ) -> Stack:
        """From what each obsid says to the matrices of all (Eqs. 2, 3, 5, 6 and 7).

        parts : of each obsid counts (n, m + 1) and F (n, m + 1, m + 1), background last, as in
        `Bundle`, and the (m,) source columns of its components
        upper : (n, n_sources + n_obsids)
        reported : all sources if it is not given
        """
        n, n_columns = upper.shape
        sizes = [len(columns) + 1 for _, _, columns in parts]
        F = np.zeros((n, sum(sizes), n_columns))
        row = 0
        for k, (size, (_, block, columns)) in enumerate(zip(sizes, parts)):
            where = [*columns, n_columns - len(parts) + k]
            F[:, row : row + size, where] = block
            row += size
        counts = np.concatenate([counts for counts, _, _ in parts], axis=1)
        if reported is None:
            reported = tuple(range(n_columns - len(parts)))
        return cls(counts, F, upper, np.repeat(np.arange(len(parts)), sizes), reported)
