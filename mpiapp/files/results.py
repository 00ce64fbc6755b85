"""The results file (HDF5): written in batches that survive a kill, read by schema version.

Layout, with a compound dataset per table and a row for each entry::

    /              attributes schema_version, created_by, n_runs
    /photometry    modes and bounds, a row per (run, source measured)
    /runs          how each run went, a row per run
    /attempts      retries of the ladder
    /failures      bad input and tracebacks
    /jobs          provenance, a row per job
    /inputs        checksums of the input files
    /ranks         where each rank's time went

Every table has units and descriptions as plain attributes and, for astropy, in
`<name>.__table_column_meta__`; mpiapp.files.schema lists the columns.

A run exists when it stands in /runs.  All tables move on together, or not at all,
however the job ends (see mpiapp.files.journal).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from astropy.table import Table
from astropy.table.meta import get_yaml_from_table

from .. import __version__
from . import schema
from .journal import JournaledFile, journal_path, snapshot
from .schema import SCHEMA_VERSION, TABLES, Batch

_CHUNK_BYTES = 256 * 1024


class ResultsError(ValueError):
    """A results file that cannot be read or written; the message names it and says what to do."""


def work_path(path: str | Path) -> Path:
    """Where a job writes until it is complete; the final name is taken by an atomic rename."""
    path = Path(path)
    return path.with_name(path.name + ".part")


def _h5_dtype(columns: tuple[schema.Column, ...]) -> np.dtype:
    text = h5py.string_dtype("utf-8")
    return np.dtype([(c.name, text if c.dtype == "text" else c.dtype) for c in columns])


class Writer:
    """Appends batches to a results file; each flush leaves a file that opens after any kill.

    Any method may raise ResultsError if the disk is full.

    Parameters
    ----------
    path : path
        The work file.  It must not exist unless `resume`.
    batch_runs, flush_seconds
        A flush follows so many runs or seconds, whichever comes first.
    again : str
        What to do once there is room, for messages.

    Raises
    ------
    ResultsError
        If the file cannot be created or opened, or its schema is another one.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        resume: bool = False,
        batch_runs: int = 1000,
        flush_seconds: float = 10.0,
        again: str = "continue with --resume; all but the last batch is safe",
    ):
        self.path = Path(path)
        self.batch_runs = batch_runs
        self.flush_seconds = flush_seconds
        self.again = again
        self._pending: list[Batch] = []
        self._pending_runs = 0
        self._last_flush = time.monotonic()
        try:
            self._open() if resume else self._create()
        except OSError as error:
            raise ResultsError(f"{self.path}: cannot be written: {error}") from error
        self.n_runs = len(self._file["runs"])
        self._n_rows = len(self._file["photometry"])

    def _open(self) -> None:
        self._store = JournaledFile(self.path, writable=True)
        self._file = h5py.File(self._store, "r+")
        _check_schema(self._file, self.path)

    def _create(self) -> None:
        """Under another name until it holds empty tables, so that the work file always opens."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            raise FileExistsError("exists already")
        new = self.path.with_name(self.path.name + ".new")
        self._store = JournaledFile(new, writable=True, new=True)
        try:
            if self.path.exists():  # another job had the lock until now
                raise FileExistsError("exists already")
            self._file = h5py.File(self._store, "w")
            self._file.attrs["schema_version"] = SCHEMA_VERSION
            self._file.attrs["created_by"] = f"mpiapp {__version__}"
            for name, (columns, description) in TABLES.items():
                _create_table(self._file, name, columns, description)
            self._file.flush()
            self._store.commit()
            self._store.rename(self.path)
        except BaseException:
            self._store.discard()
            raise

    def column(self, name: str) -> np.ndarray:
        """(n_runs,) one column of /runs as it is on disk."""
        return self._file["runs"].fields(name)[:]

    def append(self, batch: Batch) -> None:
        """Add a batch; it is safe on disk after the next flush."""
        self._pending.append(batch)
        self._pending_runs += len(batch.runs)
        late = time.monotonic() - self._last_flush > self.flush_seconds
        if self._pending_runs >= self.batch_runs or late:
            self.flush()

    def flush(self) -> None:
        """Write what is pending and see it on the disk."""
        pending, self._pending, self._pending_runs = self._pending, [], 0
        self._last_flush = time.monotonic()
        if not pending:
            return
        runs = np.concatenate([b.runs for b in pending])
        photometry = np.concatenate([b.photometry for b in pending])
        runs["first_row"] = self._n_rows + np.append(0, np.cumsum(runs["n_rows"])[:-1])
        self._add("failures", [row for b in pending for row in b.failures])
        self._add("attempts", [row for b in pending for row in b.attempts])
        _append(self._file["photometry"], photometry)
        _append(self._file["runs"], runs)
        self._commit()
        self._n_rows += len(photometry)
        self.n_runs += len(runs)

    def add(self, table: str, rows: list[tuple]) -> None:
        """Append tuples in column order to a table with text."""
        self._add(table, rows)
        self._commit()

    def _add(self, table: str, rows: list[tuple]) -> None:
        dataset = self._file[table]
        if rows:
            _append(dataset, np.array(rows, dtype=dataset.dtype))

    def table(self, name: str) -> np.ndarray:
        """A whole table as it is so far, what is pending left out; text fields as str."""
        return Results(self._file, self.path).table(name)

    def update_job(self, row: int, **values) -> None:
        """Change fields of one row of /jobs."""
        record = self._file["jobs"][row]
        for name, value in values.items():
            record[name] = value
        self._file["jobs"][row] = record
        self._commit()

    def _commit(self) -> None:
        self._file.flush()
        self._save()

    def _save(self) -> None:
        try:
            self._store.commit()
        except FileNotFoundError:
            raise ResultsError(
                f"{self.path}: has been removed, renamed or replaced while it was written; put it "
                f"back and {self.again}, or start anew"
            ) from None
        except OSError as error:
            raise ResultsError(
                f"{self.path}: cannot be written: {error.strerror}; make room and {self.again}"
            ) from error

    def close(self) -> None:
        """Flush and close; the work file stays where it is."""
        self._end()
        self._store.close()

    def publish(self, final: str | Path) -> None:
        """Close, and give the complete file its final name in one step.

        Raises ResultsError if a file has got that name meanwhile, which is left as it is.
        """
        self._end()
        try:
            self._store.publish(final)
        except FileExistsError:
            raise ResultsError(
                f"{final}: has appeared meanwhile and is left as it is; move it and {self.again}"
            ) from None
        finally:
            self._store.close()  # not before: the lock must hold while the name changes

    def _end(self) -> None:
        self.flush()
        self._file.close()
        self._save()


def _create_table(group, name: str, columns: tuple[schema.Column, ...], description: str) -> None:
    dtype = _h5_dtype(columns)
    has_text = any(c.dtype == "text" for c in columns)
    dataset = group.create_dataset(
        name,
        shape=(0,),
        maxshape=(None,),
        dtype=dtype,
        chunks=(max(16, _CHUNK_BYTES // dtype.itemsize),) if not has_text else (64,),
        **({} if has_text else {"compression": "gzip", "compression_opts": 1, "shuffle": True}),
    )
    dataset.attrs["description"] = description
    for i, c in enumerate(columns):
        dataset.attrs[f"FIELD_{i}_NAME"] = c.name
        dataset.attrs[f"FIELD_{i}_UNITS"] = c.unit or ""
        dataset.attrs[f"FIELD_{i}_DESCRIPTION"] = c.description
    table = Table(np.zeros(0, [(c.name, "O" if c.dtype == "text" else c.dtype) for c in columns]))
    for c in columns:
        table[c.name].unit = c.unit
        table[c.name].description = c.description
    lines = get_yaml_from_table(table)
    group.create_dataset(f"{name}.__table_column_meta__", data=[s.encode() for s in lines])


def _append(dataset, rows: np.ndarray) -> None:
    if len(rows):
        start = len(dataset)
        dataset.resize((start + len(rows),))
        dataset[start:] = rows


def _check_schema(file: h5py.File, path: Path) -> None:
    version = file.attrs.get("schema_version")
    if version is None:
        raise ResultsError(f"{path}: not a results file of mpiapp (no schema_version)")
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: results schema {version}, this version of mpiapp reads {SCHEMA_VERSION}"
        )


class Results:
    """A results file open for reading; use `open_results`."""

    def __init__(self, file: h5py.File, path: Path):
        self._file = file
        self.path = path

    def __len__(self) -> int:
        return len(self._file["runs"])

    def n_rows(self, name: str) -> int:
        """Rows of a table."""
        return len(self._file[name])

    def table(self, name: str) -> np.ndarray:
        """A whole table as a structured array; text fields as str."""
        dataset = self._file[name]
        rows = dataset[:]
        if not any(h5py.check_string_dtype(dataset.dtype[n]) and dataset.dtype[n].kind == "O"
                   for n in dataset.dtype.names):  # fmt: skip
            return rows
        out = np.empty(len(rows), [(n, rows.dtype[n]) for n in rows.dtype.names])
        for n in rows.dtype.names:
            column = rows[n]
            if column.dtype.kind == "O":
                column = [v.decode() if isinstance(v, bytes) else v for v in column]
            out[n] = column
        return out

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Some rows of a table without text."""
        return self._file[name][start:stop]

    def chunks(self, name: str, rows: int = 100_000) -> Iterator[np.ndarray]:
        """The rows of a table, some at a time, in the order of the file."""
        dataset = self._file[name]
        for start in range(0, len(dataset), rows):
            yield dataset[start : start + rows]


@contextmanager
def open_results(path: str | Path) -> Iterator[Results]:
    """Open a results file, finished or still a work file, for reading.

    Raises
    ------
    ResultsError
        If it is no results file, or of a schema that this version cannot read.
    """
    path = Path(path)
    try:
        # A journal tells of a job that writes, or was killed in the middle of a commit.
        source = snapshot(path) if journal_path(path).exists() else path
        file = h5py.File(source, "r")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read as HDF5: {error}") from error
    with file:
        _check_schema(file, path)
        yield Results(file, path)
