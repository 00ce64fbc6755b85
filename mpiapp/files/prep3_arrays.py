"""The bundles of a prep3 file with the same number of sources, as arrays.

As arrays over matrices and bundles they are read and checked all at once.  What cannot be used
is only marked: who asks for the matrix itself is told why (`Matrices`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..catalog.bundle import Bundle, are_sensible
from ..catalog.fault import Fault
from ..catalog.quantities import Matrix

ABSENT, GOOD, FAULTY = 0, 1, 2


class BundleArrays:
    """Counts and matrices of all bundles with `n` components of a file.

    Attributes
    ----------
    row : dict of bundle name -> its place in the arrays
    counts : (n_matrices, n_bundles, n + 1) int64
    F : (n_matrices, n_bundles, n + 1, n + 1) float64, background last in both axes
    """

    def __init__(self, bundles: Mapping[str, Bundle], faults: Sequence[Fault], n: int):
        names = [name for name, bundle in bundles.items() if len(bundle.components) == n]
        size = n + 1
        self.row = {name: i for i, name in enumerate(names)}
        self._faults = faults
        extensions = bundles[names[0]].F.extensions if names else {}
        self._place = {matrix: i for i, matrix in enumerate(extensions)}
        self._columns: dict[tuple[Matrix, ...], np.ndarray] = {}
        shape = len(extensions), len(names)
        self.counts = np.zeros((*shape, size), dtype=np.int64)
        self.F = np.zeros((*shape, size, size))
        self._state = np.full(shape, ABSENT, dtype=np.int8)
        rows_of: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for i, extension in enumerate(extensions.values()):
            # Most extensions list the same bundles, in the same order.
            if id(extension.rows) not in rows_of:
                there = [(self.row[b], r) for b, r in extension.rows.items() if b in self.row]
                rows_of[id(extension.rows)] = tuple(
                    np.array(there, dtype=np.int64).reshape(-1, 2).T
                )
            mine, theirs = rows_of[id(extension.rows)]
            values, complete = extension.F.gather(theirs, size * size)
            self.F[i, mine] = values.reshape(-1, size, size)
            good = complete & (np.asarray(extension.n)[theirs] == n)
            self._state[i, mine] = np.where(good, GOOD, FAULTY)
        self._add_counts(bundles)
        self._state[~are_sensible(self.counts, self.F) & (self._state == GOOD)] = FAULTY
        for fault in faults:
            self._mark(fault)

    def _add_counts(self, bundles: Mapping[str, Bundle]) -> None:
        of_pair: dict[tuple[str, str], list[int]] = {}
        for matrix, i in self._place.items():
            of_pair.setdefault((matrix.band, matrix.aperture), []).append(i)
        for pair, places in of_pair.items():
            counts = [bundles[name].counts.get(pair) for name in self.row]
            missing = [row for row, c in enumerate(counts) if c is None]
            self.counts[places] = [
                np.zeros(self.counts.shape[2]) if c is None else c for c in counts
            ]
            state = self._state[np.ix_(places, missing)]
            self._state[np.ix_(places, missing)] = np.where(state == GOOD, FAULTY, state)

    def _mark(self, fault: Fault) -> None:
        for matrix, i in self._place.items():
            for name in [fault.bundle] if fault.bundle in self.row else self.row:
                if fault.concerns(name, matrix):
                    self._state[i, self.row[name]] = FAULTY

    def places(self, matrices: tuple[Matrix, ...]) -> np.ndarray:
        """Where these matrices are in the arrays; −1 for those that the file does not have."""
        if matrices not in self._columns:
            self._columns[matrices] = np.array([self._place.get(m, -1) for m in matrices], int)
        return self._columns[matrices]

    def state(self, bundle: str, matrices: tuple[Matrix, ...]) -> np.ndarray:
        """ABSENT, GOOD or FAULTY for each of the matrices of a bundle."""
        places = self.places(matrices)
        found = self._state[places, self.row[bundle]]
        for i in np.flatnonzero(places < 0):
            at_fault = any(fault.concerns(bundle, matrices[i]) for fault in self._faults)
            found[i] = FAULTY if at_fault else ABSENT
        return found
