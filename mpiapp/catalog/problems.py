"""A batch of problems of one shape, arrays with a leading axis: what all engines solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .outcome import Flag
from .priors import prior_rows
from .problem import Problem


@dataclass(frozen=True, eq=False)
class Problems:
    """n problems with as many sources, obsids, apertures and results; `[i]` is one of them.

    Attributes
    ----------
    counts : (n, n_rows) int64; float64 where priors are rows of their own
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
    gamma : (n, n_columns, 2) float64, optional
        As in `Problem`.
    known : (n,) bool, optional
        Whether the background of an obsid is known instead of measured.
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
    gamma: np.ndarray | None = None
    known: np.ndarray | None = None

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
            None if self.gamma is None else self.gamma[i],
        )

    @property
    def n_obsids(self) -> int:
        return int(self.row_obsid[-1]) + 1

    def flags(self) -> np.ndarray:
        """(n, n_reported) `Flag` bits that tell of priors beside the catalog's."""
        flags = np.zeros((len(self), len(self.reported)), int)
        if self.gamma is not None:
            has = self.gamma[:, :, 1] > 0
            of_backgrounds = has[:, self.n_sources :].any(axis=1)
            flags[has[:, self.reported] | of_backgrounds[:, None]] |= int(Flag.GAMMA_PRIOR)
        if self.known is not None:
            flags[self.known] |= int(Flag.KNOWN_BACKGROUND)
        return flags

    def with_prior_rows(self) -> Problems:
        """The same problems with each Gamma prior as the row of data that it is (`prior_rows`)."""
        if self.gamma is None:
            return self
        arrays = self.counts, self.F, self.offset, self.row_obsid, self.gamma
        counts, F, offset, row_obsid = prior_rows(*arrays, self.n_sources)
        return replace(self, counts=counts, F=F, offset=offset, row_obsid=row_obsid, gamma=None)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Problems:
        """Problems as a batch; ValueError if their shapes differ."""
        first = problems[0]
        if not all(
            p.F.shape == first.F.shape
            and np.array_equal(p.row_obsid, first.row_obsid)
            and len(p.backgrounds) == len(first.backgrounds)
            and p.wanted == first.wanted
            and (p.gamma is None) == (first.gamma is None)
            for p in problems
        ):
            raise ValueError("a batch holds problems of one shape, with results in the same places")
        arrays = [
            np.stack([getattr(p, name) for p in problems])
            for name in ("counts", "F", "upper", "offset")
        ]
        labels = [p.sources for p in problems], [p.backgrounds for p in problems]
        gamma = None if first.gamma is None else np.stack([p.gamma for p in problems])
        return cls(*arrays, first.row_obsid, first.n_sources, *labels, tuple(first.wanted), gamma)
