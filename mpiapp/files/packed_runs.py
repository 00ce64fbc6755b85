"""Runs compressed by whoever measured them, into the chunks that lie in the results file.

A pack is CHUNK_ROWS runs with equally many rows each, so that both /runs and /photometry get whole
chunks of the file.  No column says where in the file a row lies, so a chunk means the same
wherever it comes to lie, and rank 0 writes it as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .schema import CHUNK_ROWS, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch, ResultsError

LEVEL = 1  # of zlib


class PackedRuns(NamedTuple):
    """CHUNK_ROWS runs and their rows.

    Attributes
    ----------
    n_rows : int
        Rows of each run.
    runs : bytes
        The chunk of /runs.
    photometry : sequence of bytes
        The chunks of /photometry, as many as there are rows of a run.
    mpdf : structured array
        Rows of /mpdf.
    """

    n_rows: int
    runs: bytes
    photometry: Sequence[bytes]
    mpdf: np.ndarray

    @classmethod
    def of(cls, batch: Batch) -> PackedRuns:
        """From CHUNK_ROWS runs of equally many rows."""
        n_rows = int(batch.runs["n_rows"][0])
        chunks = np.split(batch.photometry, n_rows) if n_rows else ()
        return cls(n_rows, _packed(batch.runs), [_packed(rows) for rows in chunks], batch.mpdf)

    def unpacked(self) -> Batch:
        """Its rows as arrays."""
        rows = [_unpacked(chunk, PHOTOMETRY_DTYPE) for chunk in self.photometry]
        photometry = np.concatenate([np.empty(0, PHOTOMETRY_DTYPE), *rows])
        return Batch(photometry, _unpacked(self.runs, RUNS_DTYPE), [], [], self.mpdf)


def _packed(rows: np.ndarray) -> bytes:
    """A chunk as HDF5's filters shuffle (the k-th bytes of all rows together) and deflate make."""
    columns = np.ascontiguousarray(rows.view(np.uint8).reshape(len(rows), -1).T)
    return zlib.compress(columns, LEVEL)


def _unpacked(chunk: bytes, dtype: np.dtype) -> np.ndarray:
    content = np.frombuffer(zlib.decompress(chunk), np.uint8)
    return np.ascontiguousarray(content.reshape(dtype.itemsize, -1).T).view(dtype).ravel()


def pack(batch: Batch, loose: np.ndarray | None = None) -> Batch:
    """The batch with as many of its runs in packs as make whole ones.

    loose : (n_runs,) bool, optional
        Runs that stay arrays.
    """
    n_rows = batch.runs["n_rows"].astype(int)
    n_rows[slice(0) if loose is None else loose] = -1
    packs, left = [], np.ones(len(n_rows), bool)
    first_rows = starts(batch.runs["n_rows"])
    for n in np.unique(n_rows[n_rows >= 0]):
        mine = np.flatnonzero(n_rows == n)
        for which in mine[: len(mine) // CHUNK_ROWS * CHUNK_ROWS].reshape(-1, CHUNK_ROWS):
            packs.append(PackedRuns.of(take(batch, which, first_rows)))
            left[which] = False
    if not packs:
        return batch
    rest = take(batch, np.flatnonzero(left))
    return rest._replace(
        attempts=batch.attempts,
        failures=batch.failures,
        further=batch.further,
        packs=[*batch.packs, *packs],
    )


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    return Batch(
        np.concatenate([b.photometry for b in batches]),
        np.concatenate([b.runs for b in batches]),
        [row for b in batches for row in b.attempts],
        [row for b in batches for row in b.failures],
        np.concatenate([b.mpdf for b in batches]),
        [table for b in batches for table in b.further],
        [pack for b in batches for pack in b.packs],
    )


def unpack(batch: Batch) -> Batch:
    """The batch with all its runs as arrays."""
    return join([batch._replace(packs=()), *(pack.unpacked() for pack in batch.packs)])


def take(batch: Batch, which: np.ndarray, first_rows: np.ndarray | None = None) -> Batch:
    """Some runs of a batch, in this order, with their rows; packed ones are left out.

    which : (n,) their places in /runs
    first_rows : (n_runs,) `starts` of the rows of all, if known
    """
    runs = batch.runs[_span(which)]
    n_rows = runs["n_rows"].astype(int)
    first_rows = starts(batch.runs["n_rows"]) if first_rows is None else first_rows
    places = np.repeat(first_rows[which] - starts(n_rows), n_rows) + np.arange(n_rows.sum())
    at = runs_of(batch.mpdf["run_id"], runs["run_id"])
    mpdf = batch.mpdf[at >= 0][np.argsort(at[at >= 0], kind="stable")]
    return Batch(batch.photometry[_span(places)], runs, [], [], mpdf)


def check(batch: Batch, path: Path) -> None:
    """ResultsError unless every run that is not packed has its rows, and no row is nobody's.

    path : the file that they are from, or written to
    """
    runs, rows, mpdf = batch.runs, batch.photometry, batch.mpdf
    whose = np.repeat(runs["run_id"], runs["n_rows"])
    if not np.array_equal(rows["run_id"], whose):
        raise disagreement(path, "photometry")
    at = runs_of(mpdf["run_id"], runs["run_id"])
    if (at < 0).any() or (np.diff(at) < 0).any() or (mpdf["row"] >= runs["n_rows"][at]).any():
        raise disagreement(path, "mpdf")


def disagreement(path: Path, table: str) -> ResultsError:
    """The error about a table whose rows do not belong to /runs."""
    return ResultsError(
        f"{path}: /{table} does not hold exactly the rows of /runs; the file is damaged: restore "
        "it, or move it away and measure again"
    )


def n_leading(ids: np.ndarray, run_ids: np.ndarray) -> int:
    """How many of the first ids are among the run ids, up to one that is not."""
    at = runs_of(ids, run_ids)
    return int(np.argmin(at)) if (at < 0).any() else len(at)


def runs_of(ids: np.ndarray, run_ids: np.ndarray) -> np.ndarray:
    """(n,) places of ids among (n_runs,) run ids in any order; −1 for one that is not there."""
    if not len(ids) or not len(run_ids):
        return np.full(len(ids), -1)
    order = np.argsort(run_ids, kind="stable")
    at = order[np.minimum(np.searchsorted(run_ids, ids, sorter=order), len(run_ids) - 1)]
    return np.where(run_ids[at] == ids, at, -1)


def _span(places: np.ndarray) -> np.ndarray | slice:
    """A slice if they follow each other: rows are copied four times as fast."""
    if len(places) and (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def starts(sizes) -> np.ndarray:
    """Where each of several things begins that lie one after the other."""
    stops = np.cumsum(sizes, dtype="i8")
    return stops - np.asarray(sizes, "i8")
