"""/runs, /photometry and /mpdf of a results file, which move on together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .packed_runs import PackedRuns, join, pack, unpack
from .schema import CHUNK_ROWS, Batch

# So many runs that are in no block are made into packs, where they fill any.
_TAIL_RUNS = 8 * CHUNK_ROWS


class RunTables:
    """Appends batches to the tables that hold runs.

    Blocks need whole chunks, so that what is in none lies behind all of them and, being the tail,
    is written anew when packs come.  To a file without a short tail, as earlier versions may have
    made it, all rows are appended as arrays.

    Parameters
    ----------
    file : mapping of table names to h5py datasets
        Every run of it has its rows.
    """

    def __init__(self, file: Mapping):
        self._tables = {name: file[name] for name in ("runs", "photometry", "mpdf")}
        self._tail: list[Batch] = []
        self._limit = _TAIL_RUNS
        self._settled = self._find_tail()

    def _lengths(self) -> dict[str, int]:
        return {name: len(table) for name, table in self._tables.items()}

    def _find_tail(self) -> dict[str, int] | None:
        """Where the tail begins, which is read; None if the file has none that is short."""
        runs, photometry, mpdf = self._tables.values()
        if runs.chunks != (CHUNK_ROWS,) or photometry.chunks != (CHUNK_ROWS,):
            return None
        n_runs, n_rows, _ = self._lengths().values()
        last = n_runs // CHUNK_ROWS * CHUNK_ROWS
        n_tail = runs.fields("n_rows")[max(0, last - 2 * _TAIL_RUNS) :]
        for run in range(last, max(-1, last - 2 * _TAIL_RUNS), -CHUNK_ROWS):
            row = n_rows - int(n_tail[len(n_tail) - (n_runs - run) :].sum())
            if row % CHUNK_ROWS == 0:
                break
        else:
            return None
        at = len(mpdf) - int(np.isin(mpdf.fields("run_id")[:], runs.fields("run_id")[run:]).sum())
        kept = mpdf[at:]
        if run < n_runs:
            self._tail.append(Batch(photometry[row:], runs[run:], [], [], kept))
        return {"runs": run, "photometry": row, "mpdf": at}

    def append(self, new: Batch) -> None:
        """Write a batch behind what is there; its attempts and failures are not looked at."""
        if self._settled is None:
            self._put(unpack(new), self._lengths())
            return
        self._tail.append(new._replace(attempts=[], failures=[]))
        if not new.packs and sum(len(b.runs) for b in self._tail) < self._limit:
            self._put(new, self._lengths())
            return
        tail = pack(join(self._tail))
        self._limit = max(_TAIL_RUNS, 2 * len(tail.runs))
        for block in tail.packs:
            self._put_block(block)
        self._put(tail, self._settled)
        self._tail = [tail._replace(packs=())]

    def _put_block(self, block: PackedRuns) -> None:
        at = self._settled
        runs = [block.runs]
        for name, chunks in (("runs", runs), ("photometry", block.photometry)):
            table, start = self._tables[name], at[name]
            table.resize((max(len(table), start + CHUNK_ROWS * len(chunks)),))
            for i, chunk in enumerate(chunks):
                table.id.write_direct_chunk((start + CHUNK_ROWS * i,), chunk)
        put(self._tables["mpdf"], at["mpdf"], block.mpdf)
        at["runs"] += CHUNK_ROWS
        at["photometry"] += CHUNK_ROWS * block.n_rows
        at["mpdf"] += len(block.mpdf)

    def _put(self, batch: Batch, at: Mapping[str, int]) -> None:
        """Write the arrays of a batch from these places on."""
        put(self._tables["photometry"], at["photometry"], batch.photometry)
        put(self._tables["mpdf"], at["mpdf"], batch.mpdf)
        put(self._tables["runs"], at["runs"], batch.runs)


def put(table, start: int, rows: np.ndarray) -> None:
    """Write rows from `start` on, beyond the end of a table if need be."""
    if len(rows):
        table.resize((max(len(table), start + len(rows)),))
        table[start : start + len(rows)] = rows
