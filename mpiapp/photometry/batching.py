"""Runs of many targets in batches: the problems of one arrangement, from the files' arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ..catalog.assemble import Arrangement, arrange, assemble
from ..catalog.bundle import KNOWN, Bundle
from ..catalog.fault import InputError
from ..catalog.outcome import Outcome
from ..catalog.priors import ObsidPriors, Priors, UpperBounds, prior_bounds, problem_gamma
from ..catalog.problems import Problems
from ..catalog.quantities import Matrix
from ..catalog.worklist import Target
from ..files.prep3 import Prep3File
from ..files.prep3_arrays import ABSENT, FAULTY

# Obsids of problems with one source: large enough to amortise what is done once a batch.
_FULL = 4096


class TargetRuns(NamedTuple):
    """Some runs of one target."""

    target: Target
    matrices: tuple[Matrix, ...]


class Assembled(NamedTuple):
    """Problems, and the runs that they are, in the same order."""

    problems: Problems
    runs: list[TargetRuns]


class NotMeasured(NamedTuple):
    """Runs without a problem: bad input, or no obsid that has the matrix (NULL_UNSEEN)."""

    runs: TargetRuns
    outcome: Outcome
    error: InputError | None = None


class Batcher:
    """Collects runs by the arrangement of their problems.

    priors : Gamma priors of a job
    upper : bounds of uniform priors that replace Table 1's

    Attributes
    ----------
    not_measured : list of NotMeasured
        What cannot be measured of the targets added so far.
    """

    def __init__(self, priors: Priors, upper: UpperBounds):
        self._priors = priors
        self._bounds = lru_cache(partial(_bounds, upper))
        self.not_measured: list[NotMeasured] = []
        self._waiting: dict[Arrangement, list[tuple]] = defaultdict(list)
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size >= _FULL

    def add(self, target: Target, files: Sequence[Prep3File]) -> None:
        """Add all runs of a target; `files` are those of its parts.

        Raises InputError if none of them can be assembled.
        """
        bundles = [file.bundles[part.bundle] for part, file in zip(target.parts, files)]
        labels = [_labels(target, bundle) for bundle in bundles]
        arrays = [file.arrays(len(names)) for file, names in zip(files, labels)]
        state = np.full((len(files), len(target.matrices)), ABSENT)
        for k, (part, own) in enumerate(zip(target.parts, arrays)):
            state[k] = own.state(part.bundle, target.matrices)
        # Which obsids have a matrix; nearly always all of them.
        patterns: dict[tuple[int, ...], list[Matrix]] = defaultdict(list)
        for matrix, pattern in zip(target.matrices, state.T.tolist()):
            patterns[tuple(pattern)].append(matrix)
        for pattern, matrices in patterns.items():
            seen = [k for k, found in enumerate(pattern) if found != ABSENT]
            if FAULTY in pattern:
                for matrix in matrices:
                    error, run = _fault(target, files, matrix), TargetRuns(target, (matrix,))
                    self.not_measured.append(NotMeasured(run, Outcome.NULL_BAD_INPUT, error))
                continue
            if not seen:
                unseen = TargetRuns(target, tuple(matrices))
                self.not_measured.append(NotMeasured(unseen, Outcome.NULL_UNSEEN))
                continue
            arrangement, sources = arrange(tuple([labels[k] for k in seen]), target.reported)
            gamma = self._gamma(target, matrices, sources, [(files[k], labels[k], k) for k in seen])
            if not gamma:
                continue
            runs = TargetRuns(target, tuple(gamma))
            counts_and_F = []
            for k in seen:
                places, row = arrays[k].places(runs.matrices), arrays[k].row[target.parts[k].bundle]
                counts_and_F += [arrays[k].counts[places, row], arrays[k].F[places, row]]
            instruments = tuple([bundles[k].instrument for k in seen])
            upper = self._bounds(runs.matrices, instruments, arrangement.n_sources)
            backgrounds = tuple([str(bundles[k].key) for k in seen])
            together = np.stack(list(gamma.values()))
            added = (*counts_and_F, upper, together, sources, backgrounds, runs)
            self._waiting[arrangement].append(added)
            # Several sources take ten times as long, and more.
            effort = 1 if arrangement.n_sources == 1 else 4 * arrangement.n_sources**2
            self._size += len(runs.matrices) * len(seen) * effort

    def _gamma(
        self,
        target: Target,
        matrices: Sequence[Matrix],
        sources: tuple[str, ...],
        seen: Sequence[tuple[Prep3File, tuple[str, ...], int]],
    ) -> dict[Matrix, np.ndarray]:
        """(n_columns, 2) Gamma priors of each matrix; those that cannot be are not measured.

        seen : files, labels and numbers of the target's parts
        """
        if not self._priors and not any(file.priors for file, *_ in seen):
            nothing = np.zeros((len(sources) + len(seen), 2))
            return dict.fromkeys(matrices, nothing)
        bundles = [file.bundles[target.parts[k].bundle] for file, _, k in seen]
        obsids = [
            ObsidPriors(*bundle.key[:2], bundle.components, labels, file.priors)
            for bundle, (file, labels, _) in zip(bundles, seen)
        ]
        found = {}
        for matrix in matrices:
            try:
                found[matrix] = problem_gamma(self._priors, sources, obsids, matrix)
                for bundle, has in zip(bundles, found[matrix][len(sources) :, 1].tolist()):
                    if has and bundle.counts[matrix[:2]][-1] == KNOWN:
                        raise InputError(
                            f"{bundle.key}: the background is known; give its error as bkg_err, "
                            "not a Gamma prior"
                        )
            except InputError as error:
                found.pop(matrix, None)
                run = TargetRuns(target, (matrix,))
                self.not_measured.append(NotMeasured(run, Outcome.NULL_BAD_INPUT, error))
        return found

    def take(self) -> Iterator[Assembled]:
        """All that can be measured, a batch for every arrangement."""
        waiting, self._waiting, self._size = self._waiting, defaultdict(list), 0
        for arrangement, added in waiting.items():
            *arrays, sources, backgrounds, runs = zip(*added)
            *arrays, upper, gamma = map(np.concatenate, arrays)
            sizes = [len(one.matrices) for one in runs]
            sources, backgrounds = (
                [names for names, n in zip(labels, sizes) for _ in range(n)]
                for labels in (sources, backgrounds)
            )
            yield Assembled(
                assemble(
                    arrays[::2], arrays[1::2], upper, arrangement, sources, backgrounds, gamma
                ),
                list(runs),
            )


def _labels(target: Target, bundle: Bundle) -> tuple[str, ...]:
    """The source columns of a bundle's components; InputError if two are the same."""
    labels = bundle.components
    if target.labels:
        labels = tuple([target.labels[bundle.key.stack, c] for c in labels])
    if len(set(labels)) < len(labels):
        twice = next(name for name in labels if labels.count(name) > 1)
        raise InputError(
            f"{bundle.key}: two components of the bundle belong to the same source {twice}; "
            "correct the association (mst3) or the component names (prep3)"
        )
    return labels


def _fault(target: Target, files: Sequence[Prep3File], matrix: Matrix) -> InputError:
    """Why one of the target's bundles cannot be used for a run."""
    for part, file in zip(target.parts, files):
        for fault in file.faults:
            if fault.concerns(part.bundle, matrix):
                return InputError(fault.message)
    return InputError(f"{target.name}: {' '.join(matrix)} cannot be used")


def _bounds(
    upper: UpperBounds, matrices: tuple[Matrix, ...], instruments: tuple[str, ...], n_sources: int
) -> np.ndarray:
    quantities = [m.quantity for m in matrices]
    return prior_bounds(quantities, instruments, n_sources, of_instruments=upper)
