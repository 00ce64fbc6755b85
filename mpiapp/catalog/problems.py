"""A batch of problems of one shape, arrays with a leading axis: what all engines solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .problem import Problem


@dataclass(frozen=True, eq=False)
class Problems:
    """n problems with as many sources, obsids, apertures and results; `[i]` is one of them.

    Attributes
    ----------
    counts : (n, n_rows) int64
    F : (n, n_rows, n_columns) float64
    upper : (n, n_columns) float64
    offset : (n, n_rows) float64
        Of every problem as in `Problem`.
    row_obsid : (n_rows,) int64
        Of all of them.
    n_sources : int
    sources, backgrounds : sequences of n tuples of str
        Labels of the columns.
    reported : tuple of int
        The source columns that are results.
    """

    counts: np.ndarray
    F: np.ndarray
    upper: np.ndarray
    offset: np.ndarray
    row_obsid: np.ndarray
    n_sources: int
    sources: Sequence[tuple[str, ...]]
    backgrounds: Sequence[tuple[str, ...]]
    reported: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, i: int) -> Problem:
        sources = self.sources[i]
        return Problem(
            self.counts[i],
            self.F[i],
            self.upper[i],
            sources,
            self.backgrounds[i],
            self.row_obsid,
            self.offset[i],
            tuple([sources[j] for j in self.reported]),
        )

    @property
    def n_obsids(self) -> int:
        return int(self.row_obsid[-1]) + 1

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Problems:
        """Problems as a batch; ValueError if their shapes differ."""
        first = problems[0]
        if not all(
            p.F.shape == first.F.shape
            and np.array_equal(p.row_obsid, first.row_obsid)
            and len(p.backgrounds) == len(first.backgrounds)
            and p.wanted == first.wanted
            for p in problems
        ):
            raise ValueError("a batch holds problems of one shape, with results in the same places")
        arrays = [
            np.stack([getattr(p, name) for p in problems])
            for name in ("counts", "F", "upper", "offset")
        ]
        labels = [p.sources for p in problems], [p.backgrounds for p in problems]
        return cls(*arrays, first.row_obsid, first.n_sources, *labels, tuple(first.wanted))
