"""Several results become one file: whole chunks as they lie in the files, and the rows between.

Where both /runs and /photometry begin a chunk, as they do behind every pack of a worker, all chunks
before are copied without being inflated.  The runs behind the last such place of each source are
gathered, packed into chunks as they become enough, and what is left in the end comes last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import h5py
import numpy as np

from .hdf5_tables import create_file, create_table, describe, empty_rows, encoded
from .packed_runs import PackedRuns, check, join, n_leading, pack
from .results import Results
from .results_file import ResultsFile
from .schema import CHUNK_ROWS, OPTIONAL, TABLES, Batch

RUN_TABLES = ("runs", "photometry", "mpdf")
# So many runs that lie in no whole chunk are packed, where they fill any.
_LOOSE_RUNS = 8 * CHUNK_ROWS
_PIECE_RUNS = 32 * CHUNK_ROWS
_PIECE_BYTES = 4 << 20


class RunTables:
    """/runs, /photometry and /mpdf of a file that is being written: chunks first, then rows."""

    def __init__(self, file: h5py.File, names: Iterable[str] = RUN_TABLES):
        self._tables = {name: create_table(file, name, 0) for name in names}

    def put_packs(self, packs: Sequence[PackedRuns]) -> None:
        """Write packs."""
        for p in packs:
            self.put_chunks("runs", [(0, p.runs)])
            self.put_chunks("photometry", [(0, chunk) for chunk in p.photometry])
            self.put_rows("mpdf", p.mpdf)

    def put_chunks(self, name: str, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Write chunks with the masks of the filters that they skipped."""
        if chunks:
            table = self._tables[name]
            start = len(table)
            table.resize((start + CHUNK_ROWS * len(chunks),))
            for i, (mask, chunk) in enumerate(chunks):
                table.id.write_direct_chunk((start + CHUNK_ROWS * i,), chunk, mask)

    def put_rows(self, name: str, rows: np.ndarray) -> None:
        """Write rows."""
        if len(rows):
            table = self._tables[name]
            start = len(table)
            table.resize((start + len(rows),))
            table[start:] = rows

    def put_batch(self, batch: Batch) -> None:
        """Write the packs of a batch and, last of all, its other runs."""
        self.put_packs(batch.packs)
        for name in RUN_TABLES:
            if name in self._tables:
                self.put_rows(name, getattr(batch, name))


class Joined:
    """A results file that is being made of others.

    Parameters
    ----------
    file : h5py.File
        An empty file.
    check : callable
        Raises an error that writing has met.
    """

    def __init__(self, file: h5py.File, check: Callable[[], None]):
        create_file(file)
        self._check = check
        self._file = file
        self._tables = RunTables(file)
        self._loose: list[Batch] = []
        self._limit = _LOOSE_RUNS

    def add_runs(self, results: Results, change: Callable[[Batch], Batch] | None = None) -> None:
        """All runs with their rows; through `change`, if it is given, and then none as chunks."""
        for file in results.files("runs"):
            done = (0, 0, 0) if change else self._copy_chunks(file)
            for batch in _batches(file, *done):
                self._gather(change(batch) if change else batch)

    def _copy_chunks(self, file: ResultsFile) -> tuple[int, int, int]:
        """Copy the chunks that line up; their rows of /runs, /photometry and /mpdf."""
        n_runs, n_rows = _lined_up(file)
        for name, n in (("runs", n_runs), ("photometry", n_rows)):
            for start in range(0, n, _PIECE_RUNS):
                self._check()
                self._tables.put_chunks(
                    name, file.raw_chunks(name, start, min(n, start + _PIECE_RUNS))
                )
        n_mpdf = file.n_rows("mpdf")
        if n_mpdf:
            left = file.rows("runs", n_runs, file.n_rows("runs"), ["run_id"])["run_id"]
            n_mpdf -= int(np.isin(file.column("mpdf", "run_id"), left).sum())
        for start in range(0, n_mpdf, _PIECE_RUNS):
            self._tables.put_rows(
                "mpdf", file.rows("mpdf", start, min(n_mpdf, start + _PIECE_RUNS))
            )
        return n_runs, n_rows, n_mpdf

    def _gather(self, batch: Batch) -> None:
        self._check()
        self._loose.append(batch)
        if sum(len(b.runs) for b in self._loose) >= self._limit:
            packed = pack(join(self._loose))
            self._tables.put_packs(packed.packs)
            self._loose = [packed._replace(packs=())]
            self._limit = max(_LOOSE_RUNS, 2 * len(packed.runs))

    def add_table(self, name: str, pieces: Callable[[], Iterable[np.ndarray]]) -> None:
        """A table that is not of runs; `pieces` gives its rows, and is called twice."""
        n_rows, widths = 0, Counter()
        for rows in pieces():
            n_rows += len(rows)
            widths |= Counter(encoded(rows, name)[1])
        table = create_table(self._file, name, n_rows, widths)
        start = 0
        for rows in pieces():
            self._check()
            put_text(table, start, encoded(rows, name)[0])
            start += len(rows)

    def finish(self) -> None:
        """Write the runs that are in no chunk yet, and the columns' descriptions."""
        if self._loose:
            self._tables.put_batch(pack(join(self._loose)))
        self._check()
        describe(self._file)


def other_tables(results: Results) -> list[str]:
    """The tables beside those of runs that a finished file of these results has."""
    others = [name for name in TABLES if name not in RUN_TABLES]
    return [name for name in others if name not in OPTIONAL or results.n_rows(name)]


def put_text(table: h5py.Dataset, start: int, rows: Sequence[tuple]) -> None:
    """Write rows from `start` on, some at a time: text of fixed width takes room in memory."""
    step = max(1, _PIECE_BYTES // table.dtype.itemsize)
    for i in range(0, len(rows), step):
        some = np.array(rows[i : i + step], table.dtype)
        table[start + i : start + i + len(some)] = some


def _lined_up(file: ResultsFile) -> tuple[int, int]:
    """The last place where both /runs and /photometry begin a chunk, each counted in its rows."""
    if not (file.is_packed("runs") and file.is_packed("photometry")):
        return 0, 0
    run, row = file.n_rows("runs"), file.n_rows("photometry")
    while run % CHUNK_ROWS or row % CHUNK_ROWS:
        begin = (run - 1) // CHUNK_ROWS * CHUNK_ROWS
        row -= int(file.rows("runs", begin, run, ["n_rows"])["n_rows"].sum(dtype="i8"))
        run = begin
    return run, row


def _batches(file: ResultsFile, run: int, row: int, density: int) -> Iterator[Batch]:
    """The runs of a file from these rows of /runs, /photometry and /mpdf on, some at a time."""
    ids = file.column("mpdf", "run_id") if file.n_rows("mpdf") else np.empty(0, "u8")
    for start in range(run, file.n_rows("runs"), _PIECE_RUNS):
        runs = file.rows("runs", start, min(start + _PIECE_RUNS, file.n_rows("runs")))
        stop = row + int(runs["n_rows"].sum(dtype="i8"))
        rows = file.rows("photometry", row, stop) if stop > row else empty_rows("photometry")
        n = n_leading(ids[density : density + len(rows)], runs["run_id"])
        mpdf = file.rows("mpdf", density, density + n) if n else empty_rows("mpdf")
        batch = Batch(rows, runs, [], [], mpdf)
        check(batch, file.path)
        yield batch
        row, density = stop, density + n
