"""Whole chunks that workers have compressed hold the same rows as arrays do, wherever they lie."""

from __future__ import annotations

import pickle
import zlib

import h5py
import numpy as np
import pytest
from results_files import small_chunks

from mpiapp.files import writer as writer_module
from mpiapp.files.blocks import join, pack, unpack
from mpiapp.files.results import check_rows, open_results, work_path
from mpiapp.files.schema import CHUNK_ROWS, MPDF_DTYPE, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from mpiapp.files.writer import Writer


def random_rows(n: int, dtype: np.dtype, rng) -> np.ndarray:
    """Every byte random, but for text."""
    rows = np.frombuffer(rng.bytes(n * dtype.itemsize), dtype).copy()
    for name in dtype.names:
        if dtype[name].kind == "S":
            rows[name] = name.encode()
    return rows


def random_batch(n_runs: int, rng, most_rows: int = 3, mpdf: bool = True) -> Batch:
    """Runs of none to `most_rows` rows each, some with a density."""
    runs = random_rows(n_runs, RUNS_DTYPE, rng)
    runs["n_rows"] = rng.integers(0, most_rows + 1, n_runs)
    runs["attempts"] = 1
    photometry = random_rows(int(runs["n_rows"].sum()), PHOTOMETRY_DTYPE, rng)
    photometry["run_id"] = np.repeat(runs["run_id"], runs["n_rows"])
    for name, word in (
        ("level", "obsid"),
        ("band", "b"),
        ("aperture", "aper"),
        ("quantity", "flux"),
    ):
        photometry[name] = word
    chosen = np.flatnonzero(rng.random(len(photometry)) < 0.2 * mpdf)
    density = random_rows(len(chosen), MPDF_DTYPE, rng)
    density["row"], density["run_id"] = chosen, photometry["run_id"][chosen]
    return Batch(photometry, runs, [], [], density)


def by_run(batch: Batch) -> dict[int, tuple]:
    """For every run its own row without its place, its rows, and what /mpdf has of them."""
    names = [name for name in RUNS_DTYPE.names if name != "first_row"]
    stops = np.cumsum(batch.runs["n_rows"])
    mpdf = {int(row["row"]): row.tobytes()[16:] for row in batch.mpdf}
    assert len(mpdf) == len(batch.mpdf)
    return {
        int(run["run_id"]): (
            run[names].tolist().__repr__(),
            batch.photometry[stop - run["n_rows"] : stop].tobytes(),
            [mpdf.get(row) for row in range(stop - run["n_rows"], stop)],
        )
        for run, stop in zip(batch.runs, stops.tolist())
    }


def read(path) -> Batch:
    with open_results(path) as results:
        check_rows(results)
        tables = [results.table(name) for name in ("photometry", "runs", "mpdf")]
    return Batch(*tables[:2], [], [], tables[2])


@pytest.mark.parametrize("seed", range(12))
def test_a_file_holds_what_was_appended_in_blocks_and_arrays_over_several_jobs(
    tmp_path, monkeypatch, seed
):
    small_chunks(monkeypatch, 8)
    rng = np.random.default_rng(seed)
    path = tmp_path / "r.h5"
    sent = []
    for job in range(3):
        writer = Writer(path, resume=job > 0, batch_runs=int(rng.integers(1, 60)))
        for _ in range(6):
            batch = random_batch(int(rng.integers(0, 70)), rng)
            sent.append(batch)
            loose = rng.random(len(batch.runs)) < 0.1
            packed = pack(batch, loose) if rng.random() < 0.6 else batch
            writer.append(pickle.loads(pickle.dumps(packed)))
        writer.close()
        found = read(path)
        assert by_run(found) == by_run(join(sent))
        assert len(found.runs) == sum(len(batch.runs) for batch in sent)


def test_a_block_is_written_as_it_was_sent(tmp_path):
    rng = np.random.default_rng(1)
    batch = random_batch(CHUNK_ROWS, rng)
    batch.runs["n_rows"] = 2
    rows = random_rows(2 * CHUNK_ROWS, PHOTOMETRY_DTYPE, rng)
    packed = pack(Batch(rows, batch.runs, [], []))
    assert packed.n_runs == CHUNK_ROWS and len(packed.runs) == 0
    writer = Writer(tmp_path / "r.h5")
    writer.append(packed)
    writer.close()
    (block,) = packed.blocks
    with h5py.File(tmp_path / "r.h5") as file:
        for i, chunk in enumerate(block.photometry):
            assert file["photometry"].id.read_direct_chunk((i * CHUNK_ROWS,)) == (0, chunk)
        assert file["photometry"][:].tobytes() == rows.tobytes()
        runs = batch.runs.copy()
        runs["first_row"] = 2 * np.arange(CHUNK_ROWS)
        assert file["runs"][:].tobytes() == runs.tobytes()


@pytest.mark.parametrize("first_row", [0, 1, 2**40 + 12345])
def test_the_pieces_of_a_chunk_make_one_stream_with_its_checksum(first_row):
    rng = np.random.default_rng(2)
    batch = random_batch(CHUNK_ROWS, rng, 0)
    (block,) = pack(batch).blocks
    chunk = block.runs(first_row)
    content = zlib.decompress(chunk)  # which compares the checksum
    assert int.from_bytes(chunk[-4:], "big") == zlib.adler32(content)
    assert len(content) == CHUNK_ROWS * RUNS_DTYPE.itemsize


def test_a_batch_comes_out_of_its_blocks_as_it_went_in():
    rng = np.random.default_rng(3)
    batch = random_batch(6 * CHUNK_ROWS, rng)
    loose = rng.random(len(batch.runs)) < 0.1
    packed = pack(batch, loose)
    assert len(packed.blocks) >= 4
    assert set(batch.runs["run_id"][loose]) <= set(packed.runs["run_id"])
    assert len(packed.runs) < loose.sum() + 4 * CHUNK_ROWS
    assert by_run(unpack(packed)) == by_run(batch)


def test_a_file_with_other_chunks_takes_blocks_as_rows(tmp_path, monkeypatch):
    """As those of earlier versions."""
    rng = np.random.default_rng(4)
    path = work_path(tmp_path / "r.h5")
    batches = [random_batch(3 * CHUNK_ROWS, rng, 1) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "CHUNK_ROWS", 953)
        writer = Writer(path)
        writer.append(batches[0])
        writer.close()
    writer = Writer(path, resume=True)
    writer.append(pack(batches[1]))
    writer.publish(tmp_path / "r.h5")
    assert by_run(read(tmp_path / "r.h5")) == by_run(join(batches))
