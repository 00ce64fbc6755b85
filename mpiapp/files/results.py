"""Reading results, whoever wrote them: a finished file, or the parts of a job that goes on.

Layout of a results file (HDF5), with a compound dataset per table and a row for each entry::

    /              attributes schema_version, created_by
    /photometry    modes and bounds, a row per (run, source measured)
    /runs          how each run went, a row per run
    /mpdf          posterior densities of those rows, where they were asked for
    /attempts      every sampling of the runs that needed more than one
    /failures      bad input and tracebacks
    /jobs          provenance, a row per job
    /inputs        checksums of the input files
    /ranks         where each rank's time went

mpiapp.files.schema lists the columns.  /runs, /photometry and /mpdf come in one order: the rows of
a run begin in /photometry where those of the run before it end.  A part (mpiapp.files.parts) has
the tables that it has rows of.

A run exists when it stands in /runs.  Jobs write through mpiapp.files.writer; everything that
reads goes through `open_results`.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from ..catalog.fault import InputError
from .hdf5_tables import empty_rows
from .packed_runs import disagreement, n_leading, runs_of, starts
from .parts import list_parts, work_path
from .regular import open_regular
from .results_file import ResultsFile, readable
from .schema import CHUNK_ROWS, SCHEMA_VERSION, TABLES, ResultsError
from .schema_3 import ResultsFile3

__all__ = ["Results", "ResultsError", "open_results", "readable", "work_path"]

_OPEN_FILES = 32


class Results:
    """Results open for reading: the rows of one or several files, one after the other.

    Use `open_results`.  Any method may raise ResultsError, where a file is damaged.
    """

    def __init__(self, path: Path, files: Sequence[Path], are_parts: bool):
        self.path = path
        self._files = files
        self._are_parts = are_parts
        self._open: OrderedDict[int, ResultsFile] = OrderedDict()
        self._ends: dict[str, np.ndarray] = {}  # of each table, where each file's rows end

    def close(self) -> None:
        """Close its files."""
        while self._open:
            self._open.popitem()[1].close()

    def _opened(self, number: int) -> ResultsFile:
        try:
            return _open_file(self._files[number], self._are_parts)
        except ResultsError as error:
            if not self._are_parts or self._files[number].exists():
                raise
            raise ResultsError(
                f"{self.path}: has been completed or removed meanwhile; read it again"
            ) from error

    def file(self, number: int) -> ResultsFile:
        """One of the files; it stays open until some others have been read."""
        if number not in self._open:
            self._open[number] = self._opened(number)
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        return self._open[number]

    def files(self, name: str) -> Iterator[ResultsFile]:
        """The files with rows of a table; each stays open until the next is asked for."""
        for number in np.flatnonzero(np.diff(self._ends_of(name), prepend=0)).tolist():
            if len(self._files) == 1:
                yield self.file(0)
                continue
            file = self._opened(number)
            try:
                yield file
            finally:
                file.close()

    def __len__(self) -> int:
        return self.n_rows("runs")

    def _ends_of(self, name: str) -> np.ndarray:
        if not self._ends:
            files = map(self.file, range(len(self._files)))
            counts = [[file.n_rows(n) for n in TABLES] for file in files]
            ends = np.cumsum(np.reshape(counts, (-1, len(TABLES))), axis=0, dtype=int)
            self._ends = dict(zip(TABLES, ends.T))
        return self._ends[name]

    def n_rows(self, name: str) -> int:
        """Rows of a table."""
        return int(self._ends_of(name)[-1]) if self._files else 0

    def table(self, name: str) -> np.ndarray:
        """A whole table as a structured array; free text as str.  Of each job the last row."""
        rows = self.rows(name, 0, self.n_rows(name))
        if name != "jobs":
            return rows
        last = {number: i for i, number in enumerate(rows["job"].tolist())}
        return rows[[last[number] for number in sorted(last)]]

    def rows(
        self, name: str, start: int, stop: int, columns: Sequence[str] | None = None
    ) -> np.ndarray:
        """Some rows of a table; only these columns of them, if they are named."""
        parts = []
        ends = self._ends_of(name)
        first = int(np.searchsorted(ends, start, side="right"))
        for i in range(first, len(ends)):
            begin = int(ends[i - 1]) if i else 0
            if begin >= stop:
                break
            if ends[i] == begin:
                continue
            parts.append(self.file(i).rows(name, max(0, start - begin), stop - begin, columns))
        return _joined(parts, name, columns)

    def column(self, name: str, column: str) -> np.ndarray:
        """One column of a table without text, all rows of it."""
        parts = [file.column(name, column) for file in self.files(name)]
        return np.concatenate(parts) if parts else empty_rows(name)[column]

    def mpdf_rows(self) -> np.ndarray:
        """(n,) for each row of /mpdf, ascending, the row of /photometry whose posterior it is."""
        ids, rows = self.column("mpdf", "run_id"), self.column("mpdf", "row").astype("i8")
        n_rows = n = 0
        for runs in self.chunks("runs", columns=("run_id", "n_rows")) if len(ids) else ():
            size = int(runs["n_rows"].sum(dtype="i8"))
            here = slice(n, n + n_leading(ids[n : n + size], runs["run_id"]))
            at = runs_of(ids[here], runs["run_id"])
            if (rows[here] >= runs["n_rows"][at]).any():
                break
            rows[here] += n_rows + starts(runs["n_rows"])[at]
            n_rows, n = n_rows + size, n + len(at)
        if n < len(ids) or (np.diff(rows) <= 0).any():
            raise disagreement(self.path, "mpdf")
        return rows

    def at(self, name: str, places: np.ndarray) -> np.ndarray:
        """Rows of a table without text, in the order of (n,) places; reads only their chunks."""
        order = np.argsort(places, kind="stable")
        chunk = places[order] // CHUNK_ROWS
        out = np.empty(len(places), empty_rows(name).dtype)
        for mine in np.split(order, np.flatnonzero(np.diff(chunk)) + 1) if len(places) else ():
            first, last = int(places[mine[0]]), int(places[mine[-1]])
            out[mine] = self.rows(name, first, last + 1)[places[mine] - first]
        return out

    def chunks(
        self, name: str, rows: int = 100_000, columns: Sequence[str] | None = None
    ) -> Iterator[np.ndarray]:
        """The rows of a table, so many or fewer at a time, in order; or only some columns."""
        for file in self.files(name):
            yield from file.chunks(name, rows, columns)


def _joined(parts: list[np.ndarray], name: str, columns: Sequence[str] | None) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    empty = empty_rows(name)
    return np.concatenate([empty[list(columns)] if columns else empty, *parts])


def _open_file(path: Path, is_part: bool = False) -> ResultsFile:
    """Open a file by the reader of its schema; a part has those tables only that have rows.

    Raises ResultsError if it is no results file, leads elsewhere, or is of an unknown schema.
    """
    try:
        with open_regular(path):
            # Neither a finished file nor a part is ever written to: no lock, which some lack.
            file = h5py.File(path, "r", locking=False)
    except InputError as error:
        raise ResultsError(str(error)) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ResultsError(f"{path}: cannot be read as HDF5: {error}") from error
    try:
        with readable(path, "the file"):
            return _reader(file, path)(file, path, is_part)
    except BaseException:
        file.close()
        raise


def _reader(file: h5py.File, path: Path) -> type[ResultsFile]:
    readers = {SCHEMA_VERSION: ResultsFile, 3: ResultsFile3}
    if "schema_version" not in file.attrs:
        raise ResultsError(f"{path}: not a results file of mpiapp (no schema_version)")
    attribute = file.attrs.get_id("schema_version")
    # Only a number is read: damaged text can keep HDF5 in a loop.
    version = file.attrs["schema_version"] if attribute.dtype.kind in "iu" else None
    if np.ndim(version) or version not in readers:
        raise ResultsError(
            f"{path}: results schema {version}, this version of mpiapp reads "
            f"{' and '.join(map(str, sorted(readers)))}"
        )
    return readers[version]


@contextlib.contextmanager
def open_results(path: str | Path) -> Iterator[Results]:
    """Open results for reading: a finished file, or a running job's parts on the disk by now.

    path : the results file, also of a job that has not ended; or its folder of parts

    Raises
    ------
    ResultsError
        If there are none, or they are no results that this version can read.
    """
    path = Path(path)
    files, is_running = _files_of(path)
    results = Results(path, files, is_running)
    try:
        if not is_running:
            results.file(0)
        yield results
    finally:
        results.close()


def _files_of(path: Path) -> tuple[list[Path], bool]:
    """The files to read, and whether they are parts."""
    folder = path if path.is_dir() else work_path(path)
    if path.is_file() or not folder.is_dir():
        return [path], False
    with contextlib.suppress(FileNotFoundError):
        if files := list_parts(folder):
            return files, True
    if path.is_file():  # by now, the job having ended
        return [path], False
    if folder == path and path.suffix != ".parts":
        raise ResultsError(f"{path}: a folder without results; name a results file")
    return [], True
