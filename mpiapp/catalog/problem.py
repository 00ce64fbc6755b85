"""One sampling problem: C ~ Poisson(F·θ + offset), θ in a box, uniform or by Gamma priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from .bundle import InputError, check_values
from .priors import prior_bounds, prior_rows


def are_unseen(F: np.ndarray, upper: np.ndarray, n_sources: int, factor: float) -> np.ndarray:
    """(…, n_sources) which sources give less than one count at `factor` times their prior bound.

    Whatever the counts are, they do not bound such a source: its posterior is its prior.
    """
    return F[..., :n_sources].sum(axis=-2) * upper[..., :n_sources] * factor < 1.0


@dataclass(frozen=True, eq=False)
class Problem:
    """Counts, matrix, labels and prior bounds of one run (memo, Eq. 1 and Listing 3).

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
        Expected counts that are not sampled: zero, a background that is known, or a frozen one
        (section 6.1).
    reported : tuple of str, optional
        Labels of the sources that are results; all if it is not given.  Of the others an engine
        need not know more than that they are not pegged.
    gamma : (n_columns, 2) float64, optional
        α − 1 and β of Gamma priors, which hold within the bounds; zeros for uniform ones.
    """

    counts: np.ndarray
    F: np.ndarray
    upper: np.ndarray
    sources: tuple[str, ...]
    backgrounds: tuple[str, ...]
    row_obsid: np.ndarray
    offset: np.ndarray
    reported: tuple[str, ...] | None = None
    gamma: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        counts,
        F,
        n_sources: int,
        quantity: str = "photflux",
        instrument: str = "ACIS",
        prior_upper: Mapping[str, float] | None = None,
    ) -> Problem:
        """A problem from plain arrays, with the prior bounds of Table 1.

        counts : (n_rows,), F : (n_rows, n_sources + n_obsids), each obsid's rows together, its
        background last; prior_upper : bounds that replace Table 1's, {"source": …,
        "background": …}.  Sources are called s0, s1, …, backgrounds b0, b1, …

        Raises InputError if they cannot be a problem: shapes, negative or fractional counts, or
        rows that do not belong to exactly one background.
        """
        counts, F = np.asarray(counts), np.ascontiguousarray(F, dtype=float)
        if F.ndim != 2 or not 0 < n_sources < F.shape[1] or counts.shape != F.shape[:1]:
            raise InputError(
                f"counts {counts.shape} and F {F.shape} with {n_sources} sources do not fit: "
                "expected (rows,) and (rows, sources + obsids)"
            )
        instruments = [instrument] * (F.shape[1] - n_sources)
        (upper,) = prior_bounds([quantity], instruments, n_sources, prior_upper)
        reached = F[:, n_sources:] > 0
        if not (reached.sum(axis=1) == 1).all():
            row = int(np.argmax(reached.sum(axis=1) != 1))
            raise InputError(f"row {row} of F must have exactly one non-zero background column")
        row_obsid = reached.argmax(axis=1)
        if (np.diff(row_obsid) < 0).any() or len(set(row_obsid)) < F.shape[1] - n_sources:
            raise InputError(
                "the rows of F must come obsid after obsid, in the order of its columns"
            )
        for k in range(F.shape[1] - n_sources):
            rows = row_obsid == k
            columns = [*range(n_sources), n_sources + k]
            try:
                check_values(counts[rows], F[np.ix_(rows, columns)])
            except InputError as error:
                raise InputError(f"obsid {k} (rows {np.flatnonzero(rows)}): {error}") from None
        return cls(
            counts=counts.astype(np.int64),
            F=F,
            upper=upper,
            sources=tuple(f"s{i}" for i in range(n_sources)),
            backgrounds=tuple(f"b{k}" for k in range(F.shape[1] - n_sources)),
            row_obsid=row_obsid,
            offset=np.zeros(len(F)),
        )

    @property
    def n_sources(self) -> int:
        return len(self.sources)

    @property
    def wanted(self) -> list[int]:
        """Columns of the sources that are results."""
        reported = self.sources if self.reported is None else self.reported
        return [j for j, label in enumerate(self.sources) if label in reported]

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

    def unseen_sources(self, factor: float = 1.0) -> tuple[str, ...]:
        """Labels of the sources that `are_unseen`."""
        unseen = are_unseen(self.F, self.upper, self.n_sources, factor)
        return tuple(compress(self.sources, unseen))

    def without_sources(self, sources: Sequence[str]) -> Problem:
        """The same problem without the columns of the named sources."""
        if not sources:
            return self
        keep = np.array([label not in sources for label in self.labels])
        return replace(
            self,
            F=np.ascontiguousarray(self.F[:, keep]),
            upper=self.upper[keep],
            sources=tuple(label for label in self.sources if label not in sources),
            gamma=None if self.gamma is None else self.gamma[keep],
        )

    def without(self, backgrounds: Sequence[str]) -> Problem:
        """The same problem without the rows and columns of the named obsids (section 7).

        Sources that only those obsids see go with them.
        """
        gone = [self.backgrounds.index(label) for label in backgrounds]
        rows = ~np.isin(self.row_obsid, gone)
        seen = self.F[:, : self.n_sources].any(axis=0)
        still_seen = self.F[rows, : self.n_sources].any(axis=0)
        keep = np.append(~seen | still_seen, ~np.isin(np.arange(self.n_obsids), gone))
        labels = [label for label, kept in zip(self.labels, keep) if kept]
        n_sources = int(keep[: self.n_sources].sum())
        return replace(
            self,
            counts=self.counts[rows],
            F=np.ascontiguousarray(self.F[np.ix_(rows, keep)]),
            upper=self.upper[keep],
            sources=tuple(labels[:n_sources]),
            backgrounds=tuple(labels[n_sources:]),
            row_obsid=np.unique(self.row_obsid[rows], return_inverse=True)[1],
            offset=self.offset[rows],
            gamma=None if self.gamma is None else self.gamma[keep],
        )

    def with_frozen_backgrounds(self) -> Problem:
        """The same problem with every background fixed at B/Ω_b (section 6.1, Listing 5).

        One with a Gamma prior is fixed where that and the background aperture have their mode.
        """
        n = self.n_sources
        rows = self.background_rows()
        columns = n + np.arange(len(self.backgrounds))
        counts, areas = self.counts[rows], self.F[rows, columns]
        if self.gamma is not None:
            counts, areas = counts + self.gamma[columns, 0], areas + self.gamma[columns, 1]
        return replace(
            self,
            F=np.ascontiguousarray(self.F[:, :n]),
            upper=self.upper[:n],
            backgrounds=(),
            offset=self.offset + self.F[:, n:] @ (counts / areas),
            gamma=None if self.gamma is None else self.gamma[:n],
        )

    def with_prior_rows(self) -> Problem:
        """The same problem with each Gamma prior as the row of data that it is (`prior_rows`)."""
        if self.gamma is None:
            return self
        arrays = self.counts, self.F, self.offset, self.row_obsid, self.gamma
        counts, F, offset, row_obsid = prior_rows(*arrays, self.n_sources)
        return replace(self, counts=counts, F=F, offset=offset, row_obsid=row_obsid, gamma=None)

    def maximum_likelihood(self, least_variance: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """(n_columns,) solution s_ML and σ_ML of F·θ = C (memo, Eq. 8; Primini & Kashyap 2014).

        With one obsid s_ML = F⁻¹C, and the counts' variances C propagate into
        σ_ML² = (F⁻¹)²·C.  With several the rows outnumber the columns: weights 1/max(C, 1) give
        the least-squares solution, whose errors propagate alike.  It may be negative or beyond
        the priors; a column that no row sees is 0 ± 0.

        least_variance : what the variance of a count is at least
        """
        weight = 1.0 / np.sqrt(np.maximum(self.counts, 1))
        scale = self.F.max(axis=0)
        scale[scale == 0] = 1.0
        inverse = np.linalg.pinv(self.F / scale * weight[:, None]) * weight / scale[:, None]
        variance = np.maximum(self.counts, least_variance)
        return inverse @ (self.counts - self.offset), np.sqrt(inverse**2 @ variance)

    def single_obsid_intensities(self, source: int) -> np.ndarray:
        """(n_obsids,) intensity of one source from each obsid alone (Eq. 8); -inf where unseen."""
        intensities = np.full(self.n_obsids, -np.inf)
        for k in range(self.n_obsids):
            rows = self.row_obsid == k
            if self.F[rows, source].any():
                part = replace(
                    self, counts=self.counts[rows], F=self.F[rows], offset=self.offset[rows]
                )
                intensities[k] = part.maximum_likelihood()[0][source]
        return intensities
