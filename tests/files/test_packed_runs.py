"""Whole chunks that workers have compressed hold the same rows as arrays do, wherever they lie."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
from results_files import density_rows, small_chunks

from mpiapp.files.packed_runs import join, pack, unpack
from mpiapp.files.results import open_results, work_path
from mpiapp.files.schema import CHUNK_ROWS, MPDF_DTYPE, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from mpiapp.files.writer import Writer
from mpiapp.report.check_tables import check_tables


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
    first = np.repeat(np.cumsum(runs["n_rows"]) - runs["n_rows"], runs["n_rows"])
    density["row"], density["run_id"] = (chosen - first[chosen]), photometry["run_id"][chosen]
    return Batch(photometry, runs, [], [], density)


def by_run(batch: Batch) -> dict[int, tuple]:
    """For every run its own row without its place, its rows, and what /mpdf has of them."""
    stops = np.cumsum(batch.runs["n_rows"])
    places = density_rows(batch.runs, batch.mpdf).tolist()
    assert places == sorted(places)
    mpdf = dict(zip(places, (row.tobytes() for row in batch.mpdf)))
    assert len(mpdf) == len(batch.mpdf)
    return {
        int(run["run_id"]): (
            run.tobytes(),
            batch.photometry[stop - run["n_rows"] : stop].tobytes(),
            [mpdf.get(row) for row in range(stop - run["n_rows"], stop)],
        )
        for run, stop in zip(batch.runs, stops.tolist())
    }


def read(path) -> Batch:
    with open_results(path) as results:
        check_tables(results)
        tables = [results.table(name) for name in ("photometry", "runs", "mpdf")]
    return Batch(*tables[:2], [], [], tables[2])


@pytest.mark.parametrize("seed", range(12))
def test_a_file_holds_what_was_appended_packed_and_in_arrays_over_several_jobs(
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


def test_a_pack_is_written_as_it_was_sent(tmp_path):
    rng = np.random.default_rng(1)
    batch = random_batch(CHUNK_ROWS, rng)
    batch.runs["n_rows"] = 2
    rows = random_rows(2 * CHUNK_ROWS, PHOTOMETRY_DTYPE, rng)
    rows["run_id"] = np.repeat(batch.runs["run_id"], 2)
    packed = pack(Batch(rows, batch.runs, [], []))
    assert packed.n_runs == CHUNK_ROWS and len(packed.runs) == 0
    writer = Writer(work_path(tmp_path / "r.h5"))
    writer.append(packed)
    writer.publish(tmp_path / "r.h5")
    (packed,) = packed.packs
    with h5py.File(tmp_path / "r.h5") as file:
        for i, chunk in enumerate(packed.photometry):
            assert file["photometry"].id.read_direct_chunk((i * CHUNK_ROWS,)) == (0, chunk)
        assert file["photometry"][:].tobytes() == rows.tobytes()
        assert file["runs"].id.read_direct_chunk((0,)) == (0, packed.runs)
        assert file["runs"][:].tobytes() == batch.runs.tobytes()


def test_a_batch_comes_out_of_its_packs_as_it_went_in():
    rng = np.random.default_rng(3)
    batch = random_batch(6 * CHUNK_ROWS, rng)
    loose = rng.random(len(batch.runs)) < 0.1
    packed = pack(batch, loose)
    assert len(packed.packs) >= 4
    assert set(batch.runs["run_id"][loose]) <= set(packed.runs["run_id"])
    assert len(packed.runs) < loose.sum() + 4 * CHUNK_ROWS
    assert by_run(unpack(packed)) == by_run(batch)
