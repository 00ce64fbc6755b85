"""Writing results: a job's runs become parts, and the parts one file in the end."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from .hdf5_tables import LIBVER, create_file, create_table, encoded
from .joining import RUN_TABLES, Joined, RunTables, other_tables, put_text
from .packed_runs import check, join, pack
from .parts import Parts, list_parts
from .results import Results, ResultsError
from .schema import TABLES, Batch
from .sheltered import ShelteredFile

# A job of days has some thousand parts: a part is written after this share of its time so far.
_PART_SHARE = 1 / 200


class Writer:
    """Appends batches to the parts of a results file; a kill costs the runs since the last flush.

    Any method may raise ResultsError if the disk is full.

    Parameters
    ----------
    path : path
        The folder of parts (`work_path`).  It must not hold any unless `resume`.
    batch_runs, flush_seconds
        A flush follows so many runs or seconds, whichever comes first; in a long job seconds are
        more, in proportion to its time.
    again : str
        What to do once there is room, for messages.

    Raises
    ------
    ResultsError
        If the folder cannot be made or locked, or the schema of its parts is another one.
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
        self._rows: dict[str, list[tuple]] = defaultdict(list)
        self._jobs: dict[int, tuple] = {}
        self._start = self._last_flush = time.monotonic()
        try:
            self._parts = Parts(self.path)
            if not resume and list_parts(self.path):
                self._parts.close()
                raise FileExistsError("exists already")
        except OSError as error:
            reason = error.strerror or error
            raise ResultsError(f"{self.path}: cannot be written: {reason}") from error
        self.n_runs = len(self.column("run_id"))

    def results(self) -> Results:
        """The results in the parts; to be closed."""
        return Results(self.path, list_parts(self.path), are_parts=True)

    def column(self, name: str) -> np.ndarray:
        """(n_runs,) one column of /runs as it is on disk."""
        with contextlib.closing(self.results()) as results:
            return results.column("runs", name)

    def table(self, name: str) -> np.ndarray:
        """A whole table as it is on disk; text fields as str."""
        with contextlib.closing(self.results()) as results:
            return results.table(name)

    def append(self, batch: Batch) -> None:
        """Add a batch; it is safe on disk after the next flush."""
        self._pending.append(batch)
        self._pending_runs += batch.n_runs
        now = time.monotonic()
        wait = max(self.flush_seconds, _PART_SHARE * (now - self._start))
        if self._pending_runs >= self.batch_runs or now - self._last_flush > wait:
            self.flush()

    def add(self, table: str, rows: list[tuple]) -> None:
        """Add rows, tuples in column order, to a table with text; on disk after the next flush."""
        self._rows[table] += rows
        if table == "jobs":
            self._jobs.update((row[0], row) for row in rows)

    def update_job(self, number: int, **values) -> None:
        """Change columns of a job that was added; of several rows of a job the last one counts."""
        names = [c.name for c in TABLES["jobs"][0]]
        row = dict(zip(names, self._jobs[number])) | values
        self.add("jobs", [tuple(row[name] for name in names)])

    def flush(self) -> None:
        """Write the pending runs as a part, safe on the disk."""
        batches, rows = self._pending, self._rows
        n_runs = self._pending_runs
        self._pending, self._pending_runs, self._rows = [], 0, defaultdict(list)
        self._last_flush = time.monotonic()
        for batch in batches:
            rows["attempts"] += batch.attempts
            rows["failures"] += batch.failures
        rows = {name: found for name, found in rows.items() if found}
        further = [table for batch in batches for table in batch.further]
        for name in {name for name, _ in further}:
            rows[name] = np.concatenate([found for own, found in further if own == name])
        if not n_runs and not rows:
            return
        image = _image(join(batches) if batches else None, rows, self.path)
        try:
            self._parts.add(image)
        except OSError as error:
            raise self._unwritable(error) from error
        self.n_runs += n_runs

    def _unwritable(self, error: OSError) -> ResultsError:
        if isinstance(error, FileNotFoundError):
            return ResultsError(
                f"{self.path}: has been removed, renamed or replaced while it was written; put it "
                f"back and {self.again}, or start anew"
            )
        reason = error.strerror or error
        return ResultsError(f"{self.path}: cannot be written: {reason}; make room and {self.again}")

    def close(self) -> None:
        """Flush and close; the parts stay where they are, a folder without any is removed."""
        self.flush()
        self.give_up()

    def publish(self, final: str | Path) -> None:
        """Join the parts, give the file its name in one step, and remove them.

        Raises ResultsError if another file has got that name meanwhile, which is left as it is.
        """
        self.flush()
        with contextlib.closing(self.results()) as results, self.joining() as joined:
            joined.add_runs(results)
            for name in other_tables(results):
                joined.add_table(name, lambda name=name: _pieces(results, name))
        self.name(Path(final))

    @contextlib.contextmanager
    def joining(self) -> Iterator[Joined]:
        """A file that is being joined, complete at the end of the block."""
        whole = self._parts.whole
        try:
            whole.unlink(missing_ok=True)
            output = ShelteredFile(whole)
            with output, h5py.File(output, "w", libver=LIBVER) as file:
                joined = Joined(file, output.check)
                yield joined
                joined.finish()
            output.check()
        except BaseException as error:
            with contextlib.suppress(OSError):
                whole.unlink()
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise

    def name(self, final: Path) -> Path:
        """Give the joined file its name, which is returned, and remove the parts."""
        try:
            self._parts.publish(final)
        except FileExistsError:
            raise ResultsError(
                f"{final}: has appeared meanwhile and is left as it is; move it and {self.again}"
            ) from None
        except OSError as error:
            raise self._unwritable(error) from error
        return final

    def replace_parts(self) -> Path:
        """Make the joined file the only part; the folder is returned."""
        try:
            self._parts.replace_all()
        except OSError as error:
            raise self._unwritable(error) from error
        self._parts.close()
        return self.path

    def give_up(self) -> None:
        """Close without writing; a folder without parts is removed."""
        self._parts.close() if list_parts(self.path) else self._parts.discard()

    def discard(self) -> None:
        """Remove the parts."""
        self._parts.discard()


def _pieces(results: Results, name: str):
    return [results.table(name)] if name == "jobs" else results.chunks(name)


def _image(batch: Batch | None, rows: dict[str, list[tuple]], path: Path) -> bytes:
    """The bytes of a part, made in memory: no error of the disk meets HDF5."""
    with h5py.File("part", "w", driver="core", backing_store=False, libver=LIBVER) as file:
        create_file(file)
        if batch:
            check(batch, path)
            batch = pack(batch)
            has_densities = len(batch.mpdf) or any(len(p.mpdf) for p in batch.packs)
            RunTables(file, RUN_TABLES if has_densities else RUN_TABLES[:2]).put_batch(batch)
        for name, found in rows.items():
            found, widths = encoded(found, name)
            put_text(create_table(file, name, len(found), widths), 0, found)
        file.flush()
        return file.id.get_file_image()
