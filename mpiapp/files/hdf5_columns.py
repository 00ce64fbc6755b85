"""Columns of a results table from its chunks as they lie in the file.

HDF5's filter `shuffle` puts the k-th bytes of all rows of a chunk together, so a column is a few
strips of an inflated chunk, and no other has to be touched.  Inflating lets go of Python's lock:
some threads do it, while the next chunks are read.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Shuffle and deflate, by their numbers in the HDF5 file format.
_FILTERS = [2, 1]
_THREADS = 4


def has_strips(table) -> bool:
    """Whether the chunks of an `h5py.Dataset` are shuffled and deflated, and nothing else."""
    plist = table.id.get_create_plist()
    found = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    return found == _FILTERS and not table.dtype.hasobject


def column_pieces(table, columns: Sequence[str] | None, rows: int) -> Iterator[np.ndarray]:
    """The rows of a table that `has_strips`, so many at a time; only these columns, if named.

    Memory: a few times so many rows.  Raises the errors of zlib and HDF5, or ValueError, where
    the file is damaged; KeyError if there is no such column.
    """
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    n = min(n, _THREADS)
    names = table.dtype.names if columns is None else columns
    kind = np.dtype([(name, table.dtype[name]) for name in names])
    size = table.chunks[0]
    ahead: deque = deque()
    with ThreadPoolExecutor(n) as pool:
        for start in range(0, len(table), rows):
            stop = min(start + rows, len(table))
            first = start // size * size
            raw = [table.id.read_direct_chunk((at,)) for at in range(first, stop, size)]
            task = pool.submit(_rows, raw, table.dtype, size, kind, start - first, stop - first)
            ahead.append(task)
            if len(ahead) > n:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _rows(raw: list, whole: np.dtype, size: int, kind: np.dtype, start: int, stop: int):
    """Rows start to stop of chunks of so many rows each, as a structured array of `kind`."""
    out = np.empty(len(raw) * size, kind)
    bytes_of = out.view("u1").reshape(len(out), kind.itemsize)
    for i, (skipped, chunk) in enumerate(raw):
        shuffled = _inflated(chunk, whole.itemsize * size, skipped).reshape(whole.itemsize, size)
        here = bytes_of[i * size : (i + 1) * size]
        for name in kind.names:
            part, begin = kind.fields[name][1], whole.fields[name][1]
            width = kind[name].itemsize
            here[:, part : part + width] = shuffled[begin : begin + width].T
    return out[start:stop]


def _inflated(chunk: bytes, n_bytes: int, skipped: int) -> np.ndarray:
    """The bytes of a chunk, shuffled; `skipped` are the filters that HDF5 did without."""
    if not skipped & 2:
        stream = zlib.decompressobj()
        chunk = stream.decompress(chunk, n_bytes + 1)
        if not stream.eof:
            raise ValueError("a chunk does not end")
    if skipped & 1 or len(chunk) != n_bytes:
        raise ValueError(f"a chunk has not the {n_bytes} bytes of its rows")
    return np.frombuffer(chunk, "u1")
