"""The bundles of prep3 files with the same number of sources, as arrays.

As arrays over matrices and bundles, numbers are checked and taken all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..catalog.bundle import are_sensible, check_matrices
from ..catalog.fault import Fault, InputError
from ..catalog.quantities import Matrix
from .prep3_tables import Prep3Tables

ABSENT, GOOD, FAULTY = 0, 1, 2


class BundleArrays:
    """Counts and matrices of all bundles with `n` components of one observation's files.

    Parameters
    ----------
    files : sequence of Prep3Tables
        What several of them hold is taken from the first.
    components : mapping of bundle name -> its components
        Of all bundles; a file that names others is passed over.
    n : int

    Attributes
    ----------
    row : dict of bundle name -> its place in the arrays
    place : dict of Matrix -> its place in the arrays
    counts : (n_matrices, n_bundles, n + 1) int64
    F : (n_matrices, n_bundles, n + 1, n + 1) float64, background last in both axes
    faults : list of Fault
        Matrices that cannot be used, beside the faults of the files.
    """

    def __init__(
        self, files: Sequence[Prep3Tables], components: Mapping[str, tuple[str, ...]], n: int
    ):
        names = [name for name, sources in components.items() if len(sources) == n]
        self.row = {name: i for i, name in enumerate(names)}
        self._components = components
        bundles = [file.bundles[name] for name in names for file in files if name in file.bundles]
        pairs = dict.fromkeys(pair for bundle in bundles for pair in bundle.rows)
        self._quantities = list(dict.fromkeys(q for file in files for q in file.F))
        matrices = [Matrix(*pair, quantity) for pair in pairs for quantity in self._quantities]
        self._first_place = {pair: i * len(self._quantities) for i, pair in enumerate(pairs)}
        self.place = {matrix: i for i, matrix in enumerate(matrices)}
        shape = len(matrices), len(self.row)
        self.counts = np.zeros((*shape, n + 1), dtype=np.int64)
        self.F = np.zeros((*shape, n + 1, n + 1))
        self._state = np.full(shape, ABSENT, dtype=np.int8)
        self._file_faults = [fault for file in files for fault in file.faults]
        self._places: dict[tuple[Matrix, ...], np.ndarray] = {}
        self.faults: list[Fault] = []
        for file in files:
            self._add(file, n)
        for fault in self._file_faults:
            self._mark(fault)

    def _add(self, file: Prep3Tables, n: int) -> None:
        """Take the bundles' rows of a file, except matrices that an earlier file has given."""
        groups = [
            (name, pair, rows.start)
            for name, bundle in file.bundles.items()
            if name in self.row and bundle.components == self._components[name]
            for pair, rows in bundle.rows.items()
            if rows.stop - rows.start == n + 1
        ]
        if not groups:
            return
        rows = np.array([start for *_, start in groups])[:, None] + np.arange(n + 1)
        column = np.array([self.row[name] for name, *_ in groups])
        counts = file.counts[rows]
        first = np.array([self._first_place[pair] for _, pair, _ in groups])
        for quantity, table in file.F.items():
            values = table[rows]
            place = first + self._quantities.index(quantity)
            F, fits = _within(values, n)
            new = ~np.isnan(values).all(axis=(1, 2)) & (self._state[place, column] == ABSENT)
            good = fits & are_sensible(counts, F)
            where = place[new], column[new]
            self.counts[where], self.F[where] = counts[new], F[new]
            self._state[where] = np.where(good[new], GOOD, FAULTY)
            for i in np.flatnonzero(new & ~good).tolist():
                name, pair, start = groups[i]
                problem = _problem(counts[i], values[i])
                message = (
                    f"{file.places[quantity]}, rows {start + 1} to {start + n + 1}, bundle {name} "
                    f"(band {pair[0]}, {pair[1]}): column F: {problem}; correct it"
                )
                self.faults.append(Fault(message, file.header.path, "", name, *pair, quantity))

    def _mark(self, fault: Fault) -> None:
        names = self.row if fault.bundle is None else self.row.keys() & {fault.bundle}
        for matrix, i in self.place.items():
            for name in names:
                if fault.concerns(name, matrix):
                    self._state[i, self.row[name]] = FAULTY

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return self.counts.nbytes + self.F.nbytes + self._state.nbytes

    def places(self, matrices: tuple[Matrix, ...]) -> np.ndarray:
        """Where these matrices are in the arrays; −1 for those that the files do not have."""
        if matrices not in self._places:
            self._places[matrices] = np.array([self.place.get(m, -1) for m in matrices], int)
        return self._places[matrices]

    def state(self, bundle: str, matrices: tuple[Matrix, ...]) -> np.ndarray:
        """ABSENT, GOOD or FAULTY for each of the matrices of a bundle."""
        places = self.places(matrices)
        found = np.full(len(places), ABSENT, dtype=np.int8)
        found[places >= 0] = self._state[places[places >= 0], self.row[bundle]]
        for i in np.flatnonzero(places < 0):
            if any(fault.concerns(bundle, matrices[i]) for fault in self._file_faults):
                found[i] = FAULTY
        return found

    def good(self, bundle: str) -> Iterator[tuple[Matrix, int]]:
        """The matrices of a bundle that can be measured, and their places."""
        is_good = (self._state[:, self.row[bundle]] == GOOD).tolist()
        return ((matrix, place) for matrix, place in self.place.items() if is_good[place])


class BundleMatrices(Mapping[Matrix, np.ndarray]):
    """The matrices (n + 1, n + 1) of one bundle that can be used."""

    def __init__(self, bundle: str, arrays: BundleArrays):
        self._bundle, self._arrays = bundle, arrays

    def __getitem__(self, matrix: Matrix) -> np.ndarray:
        place = dict(self._arrays.good(self._bundle))[matrix]
        return self._arrays.F[place, self._arrays.row[self._bundle]]

    def __iter__(self) -> Iterator[Matrix]:
        return (matrix for matrix, _ in self._arrays.good(self._bundle))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class BundleCounts(Mapping[tuple[str, str], np.ndarray]):
    """The counts (n + 1,) of one bundle by (band, aperture), where a matrix can be used."""

    def __init__(self, bundle: str, arrays: BundleArrays):
        self._bundle, self._arrays = bundle, arrays

    def _places(self) -> dict[tuple[str, str], int]:
        return {matrix[:2]: place for matrix, place in self._arrays.good(self._bundle)}

    def __getitem__(self, pair: tuple[str, str]) -> np.ndarray:
        return self._arrays.counts[self._places()[pair], self._arrays.row[self._bundle]]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._places())

    def __len__(self) -> int:
        return len(self._places())


def _within(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(k, n + 1, n + 1) matrices of rows (k, n + 1, width), and which rows end with them."""
    if values.shape[2] <= n:
        return np.full((len(values), n + 1, n + 1), np.nan), np.zeros(len(values), dtype=bool)
    beyond = values[:, :, n + 1 :]
    return values[:, :, : n + 1], (np.isnan(beyond) | (beyond == 0)).all(axis=(1, 2))


def _problem(counts: np.ndarray, values: np.ndarray) -> str:
    """The fault of the rows (n + 1, width) of a matrix."""
    size, width = values.shape
    if width < size:
        return f"{width} numbers in a row, expected {size}, the background's the last"
    try:
        check_matrices(counts, values[:, :size], size - 1)
    except InputError as error:
        return str(error)
    return f"more than {size} numbers in a row; fill up with NaN"
