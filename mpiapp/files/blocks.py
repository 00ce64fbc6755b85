"""Rows that lie in the results file as whoever measured them has compressed them.

A block is CHUNK_ROWS runs with equally many rows each, so that both /runs and /photometry get
whole chunks of the file.  All that its maker cannot know is where its rows come to lie, which is
`first_row` of /runs.  HDF5's filter `shuffle` puts the k-th bytes of all rows of a chunk together,
so these are eight strips in the middle of the chunk; and a deflate stream (RFC 1951) may be made of
pieces, if all but the last end at a byte and look back at nothing.  So the writer puts in the
strips, and compresses nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .schema import CHUNK_ROWS, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch

LEVEL = 1
_FIRST_ROW = RUNS_DTYPE.fields["first_row"][1]
# RFC 1950: deflate with a window of 32 kB, made fast; and the modulus of Adler-32.
_ZLIB_HEADER = b"\x78\x01"
_ADLER = 65521


class Piece(NamedTuple):
    """A part of a chunk, compressed; `adler` and `length` are of its bytes before."""

    data: bytes
    adler: int
    length: int

    @classmethod
    def of(cls, strips: np.ndarray, last: bool = False) -> Piece:
        deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        data = deflate.compress(strips)
        data += deflate.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)
        return cls(data, zlib.adler32(strips), strips.size)


class Block(NamedTuple):
    """CHUNK_ROWS runs and their rows.

    Attributes
    ----------
    n_rows : int
        Rows of each run.
    before, after : Piece
        The chunk of /runs around `first_row`.
    photometry : sequence of bytes
        The chunks of /photometry, as many as there are rows of a run.
    mpdf : structured array
        Rows of /mpdf, `row` counted from the block's first.
    """

    n_rows: int
    before: Piece
    after: Piece
    photometry: Sequence[bytes]
    mpdf: np.ndarray

    @classmethod
    def of(cls, batch: Batch) -> Block:
        """From CHUNK_ROWS runs of equally many rows."""
        n_rows = int(batch.runs["n_rows"][0])
        runs = _shuffled(batch.runs)
        chunks = np.split(batch.photometry, n_rows) if n_rows else ()
        return cls(
            n_rows,
            Piece.of(runs[:_FIRST_ROW]),
            Piece.of(runs[_FIRST_ROW + 8 :], last=True),
            [zlib.compress(_shuffled(rows), LEVEL) for rows in chunks],
            batch.mpdf,
        )

    def runs(self, first_row: int) -> bytes:
        """The chunk of /runs of a block whose rows begin at `first_row`."""
        rows = first_row + self.n_rows * np.arange(CHUNK_ROWS, dtype="<u8")
        here = Piece.of(_shuffled(rows))
        pieces = self.before, here, self.after
        checksum = _joined_adler(pieces).to_bytes(4, "big")
        return b"".join([_ZLIB_HEADER, *(piece.data for piece in pieces), checksum])

    def unpacked(self) -> Batch:
        """Its rows as arrays."""
        rows = [_unshuffled(chunk, PHOTOMETRY_DTYPE) for chunk in self.photometry]
        photometry = np.concatenate([np.empty(0, PHOTOMETRY_DTYPE), *rows])
        return Batch(photometry, _unshuffled(self.runs(0), RUNS_DTYPE), [], [], self.mpdf)


def _shuffled(rows: np.ndarray) -> np.ndarray:
    """(itemsize, n_rows) bytes, as HDF5's filter of that name orders them."""
    return np.ascontiguousarray(rows.view(np.uint8).reshape(len(rows), -1).T)


def _unshuffled(chunk: bytes, dtype: np.dtype) -> np.ndarray:
    content = np.frombuffer(zlib.decompress(chunk), np.uint8)
    return np.ascontiguousarray(content.reshape(dtype.itemsize, -1).T).view(dtype).ravel()


def _joined_adler(pieces: Sequence[Piece]) -> int:
    """Adler-32 of pieces one after the other: both sums of RFC 1950, section 8.2, go on."""
    low, high = 1, 0
    for piece in pieces:
        high += (piece.adler >> 16) + piece.length * (low - 1)
        low += (piece.adler & 0xFFFF) - 1
    return high % _ADLER << 16 | low % _ADLER


def pack(batch: Batch, loose: np.ndarray | None = None) -> Batch:
    """The batch with as many of its runs in blocks as make whole ones.

    loose : (n_runs,) bool, optional
        Runs that stay arrays.
    """
    n_rows = batch.runs["n_rows"].astype(int)
    n_rows[slice(0) if loose is None else loose] = -1
    blocks, left = [], np.ones(len(n_rows), bool)
    first_rows = starts(batch.runs["n_rows"])
    for n in np.unique(n_rows[n_rows >= 0]):
        mine = np.flatnonzero(n_rows == n)
        for which in mine[: len(mine) // CHUNK_ROWS * CHUNK_ROWS].reshape(-1, CHUNK_ROWS):
            blocks.append(Block.of(take(batch, which, first_rows)))
            left[which] = False
    if not blocks:
        return batch
    rest = take(batch, np.flatnonzero(left))
    return rest._replace(
        attempts=batch.attempts, failures=batch.failures, blocks=[*batch.blocks, *blocks]
    )


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    runs = np.concatenate([b.runs for b in batches])
    runs["first_row"] = starts(runs["n_rows"])
    mpdf = np.concatenate([b.mpdf for b in batches])
    offsets = starts([len(b.photometry) for b in batches]).astype("u8")
    mpdf["row"] += np.repeat(offsets, [len(b.mpdf) for b in batches])
    return Batch(
        np.concatenate([b.photometry for b in batches]),
        runs,
        [row for b in batches for row in b.attempts],
        [row for b in batches for row in b.failures],
        mpdf,
        [block for b in batches for block in b.blocks],
    )


def unpack(batch: Batch) -> Batch:
    """The batch with all its runs as arrays."""
    return join([batch._replace(blocks=()), *(block.unpacked() for block in batch.blocks)])


def take(batch: Batch, which: np.ndarray, first_rows: np.ndarray | None = None) -> Batch:
    """Some runs of a batch, in this order, with their rows; those in blocks are left out.

    first_rows : (n_runs,) `starts` of the rows of all, if known
    """
    runs = batch.runs[_span(which)].copy()
    n_rows = runs["n_rows"].astype(int)
    first_rows = starts(batch.runs["n_rows"]) if first_rows is None else first_rows
    shift = first_rows[which] - starts(n_rows)
    places = np.repeat(shift, n_rows) + np.arange(n_rows.sum())
    runs["first_row"] = starts(n_rows)
    mpdf = batch.mpdf
    if len(mpdf):
        new = np.full(len(batch.photometry), -1)
        new[places] = np.arange(len(places))
        at = new[mpdf["row"]]
        mpdf = mpdf[at >= 0]
        mpdf["row"] = at[at >= 0]
        mpdf = mpdf[np.argsort(mpdf["row"])]
    return Batch(batch.photometry[_span(places)], runs, [], [], mpdf)


def _span(places: np.ndarray) -> np.ndarray | slice:
    """A slice if they follow each other: rows are copied four times as fast."""
    if len(places) and (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def starts(sizes) -> np.ndarray:
    """Where each of several things begins that lie one after the other."""
    stops = np.cumsum(sizes, dtype="i8")
    return stops - np.asarray(sizes, "i8")
