"""Runs of one shape from many targets: their problems in stacks, from the files' arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..catalog.assemble import merge_labels
from ..catalog.quantities import QUANTITIES, Matrix
from ..catalog.stack import LARGEST, Stack
from ..catalog.worklist import Target
from ..files.prep3 import Prep3File
from ..files.prep3_arrays import ABSENT, FAULTY

# Obsids of problems with one source: so many that what is done once for a stack does not count.
_FULL = 4096


class Share(NamedTuple):
    """The runs of one target in a stack, one after the other."""

    target: Target
    matrices: tuple[Matrix, ...]


class Shape(NamedTuple):
    """What is common to the problems of a stack.

    columns : for each obsid the source columns of its components
    reported : the source columns that are results
    """

    columns: tuple[tuple[int, ...], ...]
    reported: tuple[int, ...]

    @property
    def n_sources(self) -> int:
        return 1 + max(map(max, self.columns))


class Gathered(NamedTuple):
    """A stack, its shape, and whose problems are in it, in the same order."""

    stack: Stack
    shape: Shape
    shares: list[Share]


class Gatherer:
    """Collects runs by the shape of their problems."""

    def __init__(self):
        self._waiting: dict[Shape, list[tuple]] = defaultdict(list)
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size >= _FULL

    def add(self, target: Target, files: Sequence[Prep3File]) -> None:
        """Add the runs of a target that files hold as arrays without a fault."""
        names = _labels(target, files)
        if not names:
            return
        arrays = [file.arrays(len(labels)) for file, labels in zip(files, names)]
        state = np.array(
            [a.state(part.bundle, target.matrices) for part, a in zip(target.parts, arrays)]
        )
        usable = ~(state == FAULTY).any(axis=0) & (state != ABSENT).any(axis=0)
        # Which obsids have the matrix; nearly always all of them.
        for pattern in np.unique(state[:, usable], axis=1).T:
            seen = np.flatnonzero(pattern != ABSENT)
            shape = _shape(tuple([names[i] for i in seen]), target.reported)
            if shape is None:
                continue
            chosen = np.flatnonzero(usable & (state == pattern[:, None]).all(axis=0))
            matrices = tuple([target.matrices[i] for i in chosen])
            blocks = []
            for i in seen:
                places, row = arrays[i].places(matrices), arrays[i].row[target.parts[i].bundle]
                blocks += [arrays[i].counts[places, row], arrays[i].F[places, row]]
            instruments = tuple([files[i].header.instrument for i in seen])
            upper = _upper(matrices, instruments, shape.n_sources)
            self._waiting[shape].append((*blocks, upper, Share(target, matrices)))
            # Several sources take ten times as long, and more.
            effort = 1 if shape.n_sources == 1 else 4 * shape.n_sources**2
            self._size += len(matrices) * len(seen) * effort

    def take(self) -> Iterator[Gathered]:
        """All that has been added, a stack for every shape."""
        waiting, self._waiting, self._size = self._waiting, defaultdict(list), 0
        for shape, added in waiting.items():
            *blocks, shares = zip(*added)
            *blocks, upper = map(np.concatenate, blocks)
            parts = list(zip(blocks[::2], blocks[1::2], shape.columns))
            yield Gathered(Stack.assemble(parts, upper, shape.reported), shape, list(shares))


def _labels(target: Target, files: Sequence[Prep3File]) -> list[tuple[str, ...]]:
    """The labels of each part's sources; none where one of them does not fit into a stack."""
    found = []
    if target.fault:
        return found
    for part, file in zip(target.parts, files):
        bundle = file.bundles.get(part.bundle)
        if bundle is None or not 0 < len(bundle.components) <= LARGEST:
            return []
        labels = bundle.components
        if target.labels:
            labels = tuple([target.labels[bundle.key.stack, c] for c in labels])
        found.append(labels)
    return found


@lru_cache(maxsize=4096)
def _shape(names: tuple[tuple[str, ...], ...], reported: tuple[str, ...]) -> Shape | None:
    """The shape of the problems of parts with these labels, None if they cannot be one.

    As `assemble` orders the sources.
    """
    if any(len(set(labels)) < len(labels) for labels in names):
        return None
    sources = names[0] if len(names) == 1 else merge_labels(names)
    if not set(reported) <= set(sources):
        return None
    column = {name: i for i, name in enumerate(sources)}
    columns = tuple([tuple([column[name] for name in labels]) for labels in names])
    return Shape(columns, tuple([column[name] for name in reported]))


@lru_cache(maxsize=4096)
def _upper(
    matrices: tuple[Matrix, ...], instruments: tuple[str, ...], n_sources: int
) -> np.ndarray:
    """(n_matrices, n_sources + n_obsids) prior bounds (Table 1)."""
    bounds = [[QUANTITIES[m.quantity].prior_upper(i) for i in instruments] for m in matrices]
    return np.array([[*[of_one[-1][0]] * n_sources, *(b for _, b in of_one)] for of_one in bounds])
