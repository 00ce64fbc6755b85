"""From the counts and matrices of contributing obsids to problems (memo, section 2.2, Eq. 2 to 7).

Columns are matched by label, never by position: a column per distinct source,
then one background column per obsid; a row per aperture that is present.
All problems of one arrangement are assembled at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .bundle import KNOWN
from .problems import Problems

_EXACT = 1e-4  # relative error of a known background below which it has none


def merge_labels(sequences: Sequence[Sequence[str]]) -> list[str]:
    """All distinct labels, keeping each sequence's order as far as the sequences agree."""
    merged: list[str] = []
    for labels in sequences:
        at = 0
        for label in labels:
            if label in merged:
                at = max(at, merged.index(label) + 1)
            else:
                merged.insert(at, label)
                at += 1
    return merged


class Arrangement(NamedTuple):
    """Where the obsids' components stand in a problem, whatever their names.

    columns : for each obsid, or bundle of one, the source columns of its components
    n_sources : int
    reported : the source columns that are results
    """

    columns: tuple[tuple[int, ...], ...]
    n_sources: int
    reported: tuple[int, ...]


@lru_cache(maxsize=4096)
def arrange(
    labels: tuple[tuple[str, ...], ...], reported: tuple[str, ...]
) -> tuple[Arrangement, tuple[str, ...]]:
    """The arrangement of components with these labels in each obsid, and the labels of the columns.

    labels : names of the components' sources, none twice in one obsid: at level master that of
        the master source, so that its stacks share a column (Eq. 5, Eq. 6)
    reported : labels of the results; one that no obsid has gets a column of zeros, which the
        ladder finds unseen
    """
    sources = list(labels[0]) if len(labels) == 1 else merge_labels(labels)
    sources += [name for name in reported if name not in sources]
    place = {name: i for i, name in enumerate(sources)}
    columns = tuple([tuple([place[name] for name in names]) for names in labels])
    wanted = tuple([place[name] for name in reported])
    return Arrangement(columns, len(sources), wanted), tuple(sources)


def assemble(
    counts: Sequence[np.ndarray],
    F: Sequence[np.ndarray],
    upper: np.ndarray,
    arrangement: Arrangement,
    sources: Sequence[tuple[str, ...]],
    backgrounds: Sequence[tuple[str, ...]],
    gamma: np.ndarray | None = None,
) -> Problems:
    """The C^a and F^a of n problems from the C and F of their obsids (Eq. 2).

    Parameters
    ----------
    counts, F : sequences of (n, m + 1) and (n, m + 1, m + 1) arrays
        Of each obsid with m components, background last, as in `Bundle` (Eq. 1).
    upper : (n, n_sources + n_obsids) array
        Prior bounds (`prior_bounds`); those of known backgrounds are replaced.
    arrangement : Arrangement
    sources, backgrounds : sequences of n tuples of str
        Labels of the columns.
    gamma : (n, n_sources + n_obsids, 2) array, optional
        α − 1 and β of Gamma priors, as in `Problem`.
    """
    n, n_columns = upper.shape
    sizes = [len(columns) + 1 for columns in arrangement.columns]
    whole = np.zeros((n, sum(sizes), n_columns))
    row = 0
    for k, (size, matrix) in enumerate(zip(sizes, F)):
        where = [*arrangement.columns[k], arrangement.n_sources + k]
        whole[:, row : row + size, where] = matrix  # Eq. 3: zeros for a source that is not seen
        row += size
    together = np.concatenate(counts, axis=1)  # Eq. 7
    offset = np.zeros(whole.shape[:2])
    known = together[:, np.cumsum(sizes) - 1] == KNOWN
    if known.any():
        together, upper = together.astype(float), upper.copy()
        for k in range(len(sizes)):
            column, rows = arrangement.n_sources + k, slice(sum(sizes[:k]), sum(sizes[: k + 1]))
            _expect(known[:, k], *(a[:, rows] for a in (together, whole, offset)), upper, column)
    else:
        together = together.astype(np.int64, copy=False)
    return Problems(
        together,
        whole,
        upper,
        offset,
        np.repeat(np.arange(len(sizes)), sizes),
        arrangement.n_sources,
        sources,
        backgrounds,
        arrangement.reported,
        gamma if gamma is not None and gamma.any() else None,
        known.any(axis=1) if known.any() else None,
    )


def _expect(
    known: np.ndarray,
    counts: np.ndarray,
    F: np.ndarray,
    offset: np.ndarray,
    upper: np.ndarray,
    column: int,
) -> None:
    """Write an obsid's background, where it is known, as rows of data; `column` is its.

    θ becomes the background as a part of what is expected.  With a relative error ε it has a Gamma
    prior of mean 1 and rms ε: 1/ε² − 1 counts with the exposure 1/ε².  Without one the expected
    counts are an offset, and θ, which no aperture sees, means nothing; a smaller error than 1e-4 is
    none, since logarithms of the counts that it is would lose more digits than it matters by.
    """
    for i in np.flatnonzero(known):
        error = F[i, -1, column]
        is_exact = error < _EXACT
        shape = 1.0 if is_exact else error**-2.0
        if is_exact:
            offset[i] = F[i, :, column]
            F[i, :, column] = 0.0
        counts[i, -1], F[i, -1, column] = shape - 1.0, shape
        # far beyond where the likelihood of so many counts has ended
        seen = counts[i].sum() + 1.0
        upper[i, column] = 10.0 * (seen + 10.0 * np.sqrt(seen) + 30.0) / shape


def assemble_unnamed(
    counts: Sequence[np.ndarray],
    F: Sequence[np.ndarray],
    upper: np.ndarray,
    gamma: np.ndarray | None = None,
) -> Problems:
    """As `assemble`, of obsids that all see the same sources; these are called s0, s1, …"""
    n, n_sources = len(upper), F[0].shape[2] - 1
    names = tuple([f"s{i}" for i in range(n_sources)])
    arrangement, sources = arrange((names,) * len(F), names)
    backgrounds = tuple([f"b{k}" for k in range(len(F))])
    return assemble(counts, F, upper, arrangement, [sources] * n, [backgrounds] * n, gamma)
