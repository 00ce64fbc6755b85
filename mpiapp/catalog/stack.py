"""Problems of one shape, as arrays with a leading axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .problem import Problem


class Stack(NamedTuple):
    """Problems with one source that the same number of obsids see, two apertures each.

    counts : (n, 2 n_obsids) int64, F : (n, 2 n_obsids, 1 + n_obsids) and
    upper : (n, 1 + n_obsids) float64, of every problem as in `Problem`.
    """

    counts: np.ndarray
    F: np.ndarray
    upper: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def n_obsids(self) -> int:
        return self.F.shape[2] - 1

    @property
    def row_obsid(self) -> np.ndarray:
        """(2 n_obsids,) int64, of every problem."""
        return np.repeat(np.arange(self.n_obsids), 2)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Stack:
        """Problems with one source and fitted backgrounds in a stack; ValueError if any differs."""
        stack = cls(*(np.stack([getattr(p, name) for p in problems]) for name in cls._fields))
        if not all(
            p.n_sources == 1 and np.array_equal(p.row_obsid, stack.row_obsid) for p in problems
        ):
            raise ValueError("a stack holds problems with one source and two apertures an obsid")
        return stack

    @classmethod
    def assemble(cls, counts: np.ndarray, F: np.ndarray, upper: np.ndarray) -> Stack:
        """From what each obsid says to the matrices of all (Eqs. 2, 3, 5, 6 and 7).

        counts : (n, n_obsids, 2), F : (n, n_obsids, 2, 2), background last, as in `Bundle`;
        upper : (n, 1 + n_obsids).
        """
        n, n_obsids = counts.shape[:2]
        full = np.zeros((n, 2 * n_obsids, 1 + n_obsids))
        rows = np.arange(2 * n_obsids).reshape(n_obsids, 2)
        full[:, rows, 0] = F[..., 0]
        full[:, rows, 1 + np.arange(n_obsids)[:, None]] = F[..., 1]
        return cls(counts.reshape(n, -1), full, upper)
