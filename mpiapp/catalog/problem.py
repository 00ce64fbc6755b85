"""One sampling problem: C ~ Poisson(F·θ + offset), θ uniform in a box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Problem:
    """Counts, matrix, labels and prior bounds of one run (memo, Eqs. 1–7 and Listing 3).

    Attributes
    ----------
    counts : (n_rows,) int64
        Raw counts C of every aperture, obsid after obsid, each obsid's
        background aperture last.
    F : (n_rows, n_columns) float64, C order
        Exposure-corrected PSF matrix: source columns first, then one background
        column per obsid that touches only this obsid's rows.
    upper : (n_columns,) float64
        Upper bounds P_upper of the uniform priors; the lower bounds are zero.
    sources : tuple of str
        Labels of the source columns.
    backgrounds : tuple of str
        Labels (obsids) of the background columns; empty when they are frozen.
    row_obsid : (n_rows,) int64
        For each row the index of its obsid.  With fitted backgrounds this is
        also its background column, counted from n_sources.
    offset : (n_rows,) float64
        Expected counts that are not sampled: zero, or the frozen background
        (section 6.1).
    """

    counts: np.ndarray
    F: np.ndarray
    upper: np.ndarray
    sources: tuple[str, ...]
    backgrounds: tuple[str, ...]
    row_obsid: np.ndarray
    offset: np.ndarray

    @property
    def n_sources(self) -> int:
        return len(self.sources)

    @property
    def n_columns(self) -> int:
        return self.F.shape[1]

    @property
    def n_obsids(self) -> int:
        return int(self.row_obsid[-1]) + 1

    @property
    def labels(self) -> tuple[str, ...]:
        """Column labels, sources first."""
        return self.sources + self.backgrounds

    def background_rows(self) -> np.ndarray:
        """(n_obsids,) row numbers of the background apertures, the last row of each obsid."""
        return np.append(np.flatnonzero(np.diff(self.row_obsid)), len(self.row_obsid) - 1)

    def with_prior_factors(self, factors: dict[str, float]) -> Problem:
        """The same problem with the prior bounds of the labelled columns multiplied."""
        upper = self.upper.copy()
        for label, factor in factors.items():
            upper[self.labels.index(label)] *= factor
        return replace(self, upper=upper)

    def with_frozen_backgrounds(self) -> Problem:
        """The same problem with every background fixed at B/Ω_b (section 6.1, Listing 5)."""
        n = self.n_sources
        rows = self.background_rows()
        columns = n + np.arange(len(self.backgrounds))
        densities = self.counts[rows] / self.F[rows, columns]
        return replace(
            self,
            F=np.ascontiguousarray(self.F[:, :n]),
            upper=self.upper[:n],
            backgrounds=(),
            offset=self.offset + self.F[:, n:] @ densities,
        )
