"""Writing a results file: rows are appended in batches that survive a kill.

All tables move on together, or not at all, however the job ends (see mpiapp.files.journal).
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import h5py
import numpy as np

from .. import __version__
from . import schema
from .journal import JournaledFile
from .packed_runs import LEVEL, check, join
from .results import (
    Results,
    ResultsError,
    check_heaps,
    check_layout,
    h5_dtype,
    readable,
)
from .run_tables import RunTables, put
from .schema import CHUNK_ROWS, SCHEMA_VERSION, TABLES, Batch

_CHUNK_BYTES = 256 * 1024
# From HDF5 1.8 on, what describes the tables has checksums; later formats cannot be written on
# after a kill.
_LIBVER = ("v108", "v108")


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
        batch_runs: int = 100_000,
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
            reason = error.strerror or error
            raise ResultsError(f"{self.path}: cannot be written: {reason}") from error
        self.n_runs = len(self._file["runs"])
        self._tables = RunTables(self._file)

    def _open(self) -> None:
        self._store = JournaledFile(self.path, writable=True)
        try:
            check_heaps(self._store, self.path)
            with readable(self.path, "the work file"):
                self._file = h5py.File(self._store, "r+", libver=_LIBVER)
                check_layout(self._file, self.path)
        except BaseException:
            self._store.close()
            raise

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
            self._file = h5py.File(self._store, "w", libver=_LIBVER)
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
        self._pending_runs += batch.n_runs
        late = time.monotonic() - self._last_flush > self.flush_seconds
        if self._pending_runs >= self.batch_runs or late:
            self.flush()

    def flush(self) -> None:
        """Write what is pending and see it on the disk."""
        pending, self._pending, self._pending_runs = self._pending, [], 0
        self._last_flush = time.monotonic()
        if not pending:
            return
        new = join(pending)
        check(new)
        self._add("failures", new.failures)
        self._add("attempts", new.attempts)
        self._tables.append(new)
        self._commit()
        self.n_runs += new.n_runs

    def add(self, table: str, rows: list[tuple]) -> None:
        """Append tuples in column order to a table with text."""
        self._add(table, rows)
        self._commit()

    def _add(self, table: str, rows: list[tuple]) -> None:
        dataset = self._file[table]
        if rows:
            put(dataset, len(dataset), np.array(rows, dtype=dataset.dtype))

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
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> ResultsError:
        reason = error.strerror or error
        return ResultsError(f"{self.path}: cannot be written: {reason}; make room and {self.again}")

    def close(self) -> None:
        """Flush and close; the work file stays where it is."""
        self._end()
        self._store.close()

    def publish(self, final: str | Path) -> None:
        """Close, and give the complete file its final name in one step.

        Raises ResultsError if the file does not hold what was written, or if another has got that
        name meanwhile, which is left as it is.
        """
        self.flush()
        check_heaps(self._store, self.path)
        self._end()
        try:
            self._store.publish(final)
        except FileExistsError:
            raise ResultsError(
                f"{final}: has appeared meanwhile and is left as it is; move it and {self.again}"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error
        self._store.close()  # not before: the lock must hold while the name changes

    def discard(self) -> None:
        """Close and remove the file; without effect on one that has its final name."""
        with contextlib.suppress(Exception):
            self._file.close()
        self._store.discard()

    def _end(self) -> None:
        self.flush()
        self._file.close()
        self._save()


def discard(path: Path) -> None:
    """Remove a work file that nobody writes to, if there is one; ResultsError if somebody does."""
    try:
        JournaledFile(path, writable=True).discard()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ResultsError(f"{path}: cannot be removed: {error.strerror or error}") from error


def _create_table(group, name: str, columns: tuple[schema.Column, ...], description: str) -> None:
    dtype = h5_dtype(columns)
    if any(c.dtype == "text" for c in columns):
        kept = {"chunks": (64,), "fletcher32": True}
    else:  # gzip has a checksum of its own
        in_blocks = name in ("runs", "photometry")
        chunks = (CHUNK_ROWS if in_blocks else max(16, _CHUNK_BYTES // dtype.itemsize),)
        kept = {"chunks": chunks, "compression": "gzip", "compression_opts": LEVEL, "shuffle": True}
    dataset = group.create_dataset(name, shape=(0,), maxshape=(None,), dtype=dtype, **kept)
    dataset.attrs["description"] = description
    for i, c in enumerate(columns):
        dataset.attrs[f"FIELD_{i}_NAME"] = c.name
        dataset.attrs[f"FIELD_{i}_UNITS"] = c.unit or ""
        dataset.attrs[f"FIELD_{i}_DESCRIPTION"] = c.description
    group.create_dataset(f"{name}.__table_column_meta__", data=_astropy_meta(columns))


def _astropy_meta(columns: tuple[schema.Column, ...]) -> list[bytes]:
    """Units and descriptions as astropy keeps them: YAML, in the part of it that is JSON."""
    lines = ["datatype:"]
    for c in columns:
        of = np.dtype("O" if c.dtype == "text" else c.dtype)
        is_number = of.kind not in "OS" and not of.shape
        entry = {"name": c.name, "datatype": of.name if is_number else "string"}
        if c.unit:
            entry["unit"] = c.unit
        if of.kind == "O":
            entry["subtype"] = "json"
        elif of.shape:
            entry["subtype"] = f"{of.base.name}{list(of.shape)}"
        lines.append(f"- {json.dumps(entry | {'description': c.description}, ensure_ascii=False)}")
    return [line.encode() for line in lines]
