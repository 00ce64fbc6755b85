"""Columns from chunks as they lie in the file are what HDF5 reads."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from results_files import batch

from mpiapp.files.hdf5_columns import column_pieces, has_strips
from mpiapp.files.results import ResultsError, open_results, work_path
from mpiapp.files.writer import Writer

KIND = np.dtype([("name", "S7"), ("number", "<f8"), ("code", "<i2")])


def table(n: int, chunk: int = 16, noise: bool = False) -> h5py.Dataset:
    """A table in memory, of rows that compress or of bytes that do not."""
    rng = np.random.default_rng(n)
    rows = np.frombuffer(rng.bytes(KIND.itemsize * n), KIND) if noise else np.zeros(n, KIND)
    if not noise:
        rows["name"], rows["number"] = [f"n{i}" for i in range(n)], np.arange(n)
    file = h5py.File.in_memory() if hasattr(h5py.File, "in_memory") else None
    file = file or h5py.File(f"strips{n}{noise}", "w", driver="core", backing_store=False)
    return file.create_dataset(
        "t", data=rows, maxshape=(None,), chunks=(chunk,), compression="gzip", shuffle=True
    )


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("n", [0, 1, 16, 100])
@pytest.mark.parametrize("rows", [1, 7, 16, 1000])
@pytest.mark.parametrize("columns", [None, ("code", "name")])
def test_rows_are_those_that_hdf5_reads(n, rows, columns, noise):
    whole = table(n, noise=noise)
    assert has_strips(whole)
    found = list(column_pieces(whole, columns, rows))
    assert [len(part) for part in found] == [min(rows, n - at) for at in range(0, n, rows)]
    names = columns or KIND.names
    for name in names:
        expected = whole.fields(name)[:]
        assert b"".join(part[name].tobytes() for part in found) == expected.tobytes()
    assert all(part.dtype.names == tuple(names) for part in found)


@pytest.mark.parametrize("change", ["flipped", "cut", "longer"])
def test_a_damaged_chunk_is_said(tmp_path, change):
    path = tmp_path / "results.h5"
    writer = Writer(work_path(path), batch_runs=500)
    one = batch(0, 500)
    one.runs["seconds"] = np.random.default_rng(1).random(500)
    writer.append(one)
    writer.publish(path)
    with h5py.File(path, "r+") as file:
        runs = file["runs"]
        mask, raw = runs.id.read_direct_chunk((0,))
        raw = bytearray(raw)
        if change == "flipped":
            raw[len(raw) // 2] ^= 8
        elif change == "cut":
            del raw[-9:]
        else:
            import zlib

            raw = zlib.compress(zlib.decompress(bytes(raw)) + b"more", 1)
        runs.id.write_direct_chunk((0,), bytes(raw), mask)
    with open_results(path) as results, pytest.raises(ResultsError, match="/runs cannot be read"):
        list(results.chunks("runs", columns=["seconds"]))
