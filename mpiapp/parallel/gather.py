"""Runs of one shape from many targets: their problems in stacks, from the files' arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..catalog.quantities import QUANTITIES, Matrix
from ..catalog.stack import Stack
from ..catalog.worklist import Target
from ..files.prep3 import Prep3File
from ..files.prep3_singles import ABSENT, FAULTY

# Obsids of all problems: so many that what is done once for a stack does not count.
_FULL = 4096


class Share(NamedTuple):
    """The runs of one target in a stack, one after the other."""

    target: Target
    matrices: tuple[Matrix, ...]


class Gathered(NamedTuple):
    """A stack, and whose problems are in it, in the same order."""

    stack: Stack
    shares: list[Share]


class Gatherer:
    """Collects runs with one source by their number of obsids."""

    def __init__(self):
        self._waiting: dict[int, list[tuple]] = defaultdict(list)
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size >= _FULL

    def add(self, target: Target, files: Sequence[Prep3File]) -> None:
        """Add the runs of a target whose one source all its bundles have alone."""
        if not _is_single(target, files):
            return
        rows = [file.singles.row[part.bundle] for part, file in zip(target.parts, files)]
        state = np.array(
            [f.singles.state(p.bundle, target.matrices) for p, f in zip(target.parts, files)]
        )
        usable = ~(state == FAULTY).any(axis=0) & (state != ABSENT).any(axis=0)
        # Which obsids have the matrix; nearly always all of them.
        for pattern in np.unique(state[:, usable], axis=1).T:
            chosen = np.flatnonzero(usable & (state == pattern[:, None]).all(axis=0))
            seen = np.flatnonzero(pattern != ABSENT)
            matrices = tuple([target.matrices[i] for i in chosen])
            counts, F = [], []
            for i in seen:
                singles = files[i].singles
                places = singles.places(matrices)
                counts.append(singles.counts[places, rows[i]])
                F.append(singles.F[places, rows[i]])
            upper = _upper(matrices, tuple([files[i].header.instrument for i in seen]))
            self._waiting[len(seen)].append(
                (np.stack(counts, axis=1), np.stack(F, axis=1), upper, Share(target, matrices))
            )
            self._size += len(matrices) * len(seen)

    def take(self) -> Iterator[Gathered]:
        """All that has been added, a stack for every shape."""
        waiting, self._waiting, self._size = self._waiting, defaultdict(list), 0
        for parts in waiting.values():
            *arrays, shares = zip(*parts)
            yield Gathered(Stack.assemble(*map(np.concatenate, arrays)), list(shares))


def _is_single(target: Target, files: Sequence[Prep3File]) -> bool:
    if target.fault or not target.parts or len(target.reported) > 1:
        return False
    for part, file in zip(target.parts, files):
        bundle = file.bundles.get(part.bundle)
        if bundle is None or len(bundle.components) > 1:
            return False
        label = bundle.components[0]
        if target.labels:
            label = target.labels[bundle.key.stack, label]
        if label != target.reported[0]:
            return False
    return True


@lru_cache(maxsize=4096)
def _upper(matrices: tuple[Matrix, ...], instruments: tuple[str, ...]) -> np.ndarray:
    """(n_matrices, 1 + n_obsids) prior bounds (Table 1)."""
    bounds = [[QUANTITIES[m.quantity].prior_upper(i) for i in instruments] for m in matrices]
    return np.array([[of_one[-1][0], *(b for _, b in of_one)] for of_one in bounds])
