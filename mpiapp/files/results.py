"""The results file (HDF5): its layout, and reading one, whoever wrote it.

Layout, with a compound dataset per table and a row for each entry::

    /              attributes schema_version, created_by, n_runs
    /photometry    modes and bounds, a row per (run, source measured)
    /runs          how each run went, a row per run
    /mpdf          posterior densities of those rows, where they were asked for
    /attempts      every sampling of the runs that needed more than one
    /failures      bad input and tracebacks
    /jobs          provenance, a row per job
    /inputs        checksums of the input files
    /ranks         where each rank's time went

Every table has units and descriptions as plain attributes and, for astropy, in
`<name>.__table_column_meta__`; mpiapp.files.schema lists the columns.

A run exists when it stands in /runs.  Jobs write through mpiapp.files.writer; everything that
reads goes through `open_results`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from ..catalog.fault import InputError
from ..catalog.quantities import APERTURES, BANDS, LEVELS, QUANTITIES
from . import schema
from .heaps import broken_heap
from .journal import journal_path, snapshot
from .packed_runs import runs_of, starts
from .regular import open_regular
from .schema import SCHEMA_VERSION, TABLES, ResultsError
from .strips import has_strips, strips

# Names of files have 255 bytes; those beside the results are longer by up to 25.
MAX_NAME = 230
# A chunk is read as a whole, however little of it is asked for; those of the writer have 256 kB.
_MAX_CHUNK_BYTES = 16 << 20
_WORDS = {"level": LEVELS, "band": BANDS, "aperture": APERTURES, "quantity": QUANTITIES}
_WORDS = {column: {word.encode() for word in words} for column, words in _WORDS.items()}


def work_path(path: str | Path) -> Path:
    """Where a job writes until it is complete; the final name is taken in one step.

    Raises ResultsError if the path is none for a file and those beside it.
    """
    path = Path(path)
    if path.name in ("", "..") or "\0" in str(path) or len(os.fsencode(path.name)) > MAX_NAME:
        raise ResultsError(
            f"{str(path)!r} cannot be the name of a results file; give one of 1 to {MAX_NAME} bytes"
        )
    return path.with_name(path.name + ".part")


def h5_dtype(columns: tuple[schema.Column, ...]) -> np.dtype:
    """Structured type of a table in the file."""
    text = h5py.string_dtype("utf-8")
    return np.dtype([(c.name, text if c.dtype == "text" else c.dtype) for c in columns])


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Whatever HDF5 and numpy raise inside, as a ResultsError that says what is damaged."""
    try:
        yield
    except ResultsError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ResultsError(
            f"{path}: {what} cannot be read ({reason}); it is damaged or no results file: restore "
            "it, or measure again"
        ) from error


def check_heaps(content: BinaryIO, path: Path) -> None:
    """ResultsError if HDF5 would read text of this file for ever."""
    if broken_heap(content) is not None:
        raise ResultsError(
            f"{path}: text in it is damaged; restore it, or move it away and measure again"
        )


def check_layout(file: h5py.File, path: Path) -> None:
    """ResultsError unless the file holds the tables of this schema itself, and no links."""
    version = file.attrs.get("schema_version")
    if version is None:
        raise ResultsError(f"{path}: not a results file of mpiapp (no schema_version)")
    if not np.array_equal(version, SCHEMA_VERSION):
        raise ResultsError(
            f"{path}: results schema {version}, this version of mpiapp reads {SCHEMA_VERSION}"
        )
    for name, (columns, _) in TABLES.items():
        if reason := _not_a_table(file, name, h5_dtype(columns)):
            raise ResultsError(
                f"{path}: /{name} {reason}; the file is damaged or no results file: restore it"
            )


def _not_a_table(file: h5py.File, name: str, dtype: np.dtype) -> str:
    """Why an object is not the table that a writer makes; empty if it is."""
    # A link, or data outside of the file, could lead to any file of this machine.
    if name not in file:
        return "is missing"
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return "is a link"
    table = file[name]
    if not isinstance(table, h5py.Dataset) or table.ndim != 1 or table.chunks is None:
        return "is no table in chunks"
    if table.is_virtual or table.external:
        return "lies in other files"
    text = [h5py.check_string_dtype(table.dtype[n]) is not None for n in dtype.names or ()]
    if table.dtype != dtype or text != [d.kind in "SO" for d, _ in dtype.fields.values()]:
        return "has other columns than this schema"
    if table.chunks[0] * dtype.itemsize > _MAX_CHUNK_BYTES:
        return f"has chunks of {table.chunks[0]} rows"
    if table.id.get_num_chunks() != -(-len(table) // table.chunks[0]):
        return f"has not the {len(table)} rows that it says"
    return ""


class Results:
    """A results file open for reading; use `open_results`.

    Any method may raise ResultsError, where the file is damaged.
    """

    def __init__(self, file: h5py.File, path: Path):
        self._file = file
        self.path = path

    def __len__(self) -> int:
        return self.n_rows("runs")

    def n_rows(self, name: str) -> int:
        """Rows of a table."""
        return len(self._file[name])

    def table(self, name: str) -> np.ndarray:
        """A whole table as a structured array; text fields as str."""
        return self.rows(name, 0, self.n_rows(name))

    def rows(
        self, name: str, start: int, stop: int, columns: Sequence[str] | None = None
    ) -> np.ndarray:
        """Some rows of a table; only these columns of them, if they are named."""
        with readable(self.path, f"/{name}"):
            table = self._file[name]
            rows = (table.fields(list(columns)) if columns else table)[start:stop]
            _check_text(rows, _WORDS if name == "photometry" else {})
            if not rows.dtype.hasobject:
                return rows
            out = np.empty(len(rows), [(n, rows.dtype[n]) for n in rows.dtype.names])
            for n in rows.dtype.names:
                is_text = rows.dtype[n].kind == "O"
                out[n] = [v.decode() for v in rows[n]] if is_text else rows[n]
            return out

    def column(self, name: str, column: str) -> np.ndarray:
        """One column of a table without text, all rows of it."""
        with readable(self.path, f"/{name}"):
            return self._file[name].fields(column)[:]

    def mpdf_rows(self) -> np.ndarray:
        """(n,) for each row of /mpdf, ascending, the row of /photometry whose posterior it is."""
        ids, rows = self.column("mpdf", "run_id"), self.column("mpdf", "row").astype("i8")
        n_rows = n = 0
        for runs in self.chunks("runs", columns=("run_id", "n_rows")) if len(ids) else ():
            size = int(runs["n_rows"].sum(dtype="i8"))
            at = runs_of(ids[n : n + size], runs["run_id"])
            at = at[: np.argmin(at)] if (at < 0).any() else at
            here = slice(n, n + len(at))
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
        chunk = places[order] // self._file[name].chunks[0]
        out = np.empty(len(places), self._file[name].dtype)
        for mine in np.split(order, np.flatnonzero(np.diff(chunk)) + 1) if len(places) else ():
            first, last = int(places[mine[0]]), int(places[mine[-1]])
            out[mine] = self.rows(name, first, last + 1)[places[mine] - first]
        return out

    def chunks(
        self, name: str, rows: int = 100_000, columns: Sequence[str] | None = None
    ) -> Iterator[np.ndarray]:
        """The rows of a table, some at a time, in the order of the file; or only some columns."""
        if has_strips(self._file[name]):
            with readable(self.path, f"/{name}"):
                for found in strips(self._file[name], columns, rows):
                    _check_text(found, _WORDS if name == "photometry" else {})
                    yield found
            return
        for start in range(0, self.n_rows(name), rows):
            yield self.rows(name, start, start + rows, columns)


def _check_text(rows: np.ndarray, words: dict[str, set[bytes]]) -> None:
    """ValueError if text of fixed width is not UTF-8, or none of a column's words."""
    for name in rows.dtype.names:
        if rows.dtype[name].kind != "S":
            continue
        if unknown := name in words and set(rows[name].tolist()) - words[name]:
            raise ValueError(f"column {name} holds {min(unknown)!r}")
        if not rows[name].tobytes().isascii():
            for value in rows[name].tolist():
                value.decode()


def disagreement(path: Path, table: str) -> ResultsError:
    """What is said of a table whose rows are not those of /runs."""
    return ResultsError(
        f"{path}: /{table} does not hold exactly the rows of /runs; the file is damaged: restore "
        "it, or move it away and measure again"
    )


@contextmanager
def open_results(path: str | Path) -> Iterator[Results]:
    """Open a results file, finished or still a work file, for reading.

    Raises
    ------
    ResultsError
        If it is no results file, not all in this one file, or of a schema that
        this version cannot read.
    """
    path = Path(path)
    with ExitStack() as opened:
        try:
            source, content = path, opened.enter_context(open_regular(path))
            # A journal tells of a job that writes, or was killed in the middle of a commit.
            if journal_path(path).exists():
                source = content = opened.enter_context(snapshot(path))
            check_heaps(content, path)
            file = opened.enter_context(h5py.File(source, "r"))
        except InputError as error:
            raise ResultsError(str(error)) from error
        except ResultsError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise ResultsError(f"{path}: cannot be read as HDF5: {error}") from error
        with readable(path, "the file"):
            check_layout(file, path)
        yield Results(file, path)
