"""Results files whose rows tell whose they are, for tests of whoever writes or reads them."""

from __future__ import annotations

import os

import numpy as np

from mpiapp.files import hdf5_tables, joining, packed_runs, results_file, schema
from mpiapp.files.results import open_results, work_path
from mpiapp.files.schema import MPDF_DTYPE, OPTIONAL_DTYPES, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from mpiapp.files.writer import Writer

N_RUNS = 7


def batch(first: int, n_runs: int, rows_each: int = 2) -> Batch:
    """Runs `first` to `first + n_runs`, each with rows that tell whose they are."""
    runs = np.zeros(n_runs, RUNS_DTYPE)
    runs["run_id"] = np.arange(first, first + n_runs)
    runs["n_rows"] = rows_each
    rows = np.zeros(n_runs * rows_each, PHOTOMETRY_DTYPE)
    rows["run_id"] = np.repeat(runs["run_id"], rows_each)
    rows["value"] = np.arange(len(rows)) + rows_each * first
    rows["level"], rows["band"], rows["aperture"], rows["quantity"] = "obsid", "b", "aper", "flux"
    mpdf = np.zeros(n_runs, MPDF_DTYPE)
    mpdf["run_id"] = runs["run_id"]
    mpdf["density"] = rows["value"][::rows_each][:, None]
    further = []
    for name, dtype in OPTIONAL_DTYPES.items():
        further.append((name, np.zeros(n_runs, dtype)))
        further[-1][1]["run_id"] = runs["run_id"]
    return Batch(rows, runs, [], [], mpdf, further)


def publish(path, photometry: np.ndarray, **tables):
    """A results file of runs with a row each, and of further tables as `Batch` has them."""
    runs = np.zeros(len(photometry), RUNS_DTYPE)
    runs["run_id"], runs["n_rows"] = photometry["run_id"], 1
    writer = Writer(work_path(path))
    writer.append(Batch(photometry, runs, [], [], **tables))
    writer.publish(path)
    return path


def values(path) -> list[float]:
    """Values of all rows, each of which its posterior density must belong to."""
    with open_results(path) as results:
        runs, rows, mpdf = map(results.table, ("runs", "photometry", "mpdf"))
        for name in OPTIONAL_DTYPES:
            assert sorted(results.table(name)["run_id"]) == sorted(runs["run_id"])
    of = rows[density_rows(runs, mpdf)]
    assert mpdf["run_id"].tolist() == of["run_id"].tolist()
    assert mpdf["density"][:, 5].tolist() == of["value"].tolist()
    assert len(np.unique(of["run_id"])) == len(np.unique(rows["run_id"]))
    return rows["value"].tolist()


def first_rows(runs) -> dict[int, int]:
    """The first row in /photometry of each run."""
    stops = np.cumsum(runs["n_rows"], dtype=int)
    return dict(zip(runs["run_id"].tolist(), (stops - runs["n_rows"]).tolist()))


def density_rows(runs, mpdf) -> np.ndarray:
    """The row in /photometry of each row of /mpdf."""
    first = first_rows(runs)
    return np.array([first[i] + k for i, k in zip(mpdf["run_id"].tolist(), mpdf["row"])], int)


def steps(final, told=lambda n: None) -> None:
    """A job of N_RUNS runs that commits after every two, or what is left of it.

    `told` is called with the number of runs that are known to be on the disk.
    """
    work = work_path(final)
    writer = Writer(work, resume=work.exists(), batch_runs=2)
    told(writer.n_runs)
    n = writer.n_runs
    writer.add("jobs", [(len(writer.table("jobs")), *[""] * 3, 0.0, *[""] * 8, N_RUNS)])
    for run in range(n, N_RUNS):
        one = batch(run, 1)
        one.runs["attempts"] = 2
        attempts = [(run, k, "changes", "ended", 1.0) for k in range(2)]
        failures = [(run, "where", "type", "message", "traceback " * 200)]
        writer.append(one._replace(attempts=attempts, failures=failures))
        told(writer.n_runs)
    writer.publish(final)
    told(N_RUNS)


def in_a_fork(act) -> int:
    """The process id of a fork of this process that does `act` and exits with what it returns."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = act()
        finally:
            os._exit(code)
    return child


def exit_code(child: int) -> int:
    """Wait for a child; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def small_chunks(monkeypatch, rows: int) -> None:
    """Have chunks of so few rows, and loose runs that are soon packed."""
    for module in (schema, packed_runs, hdf5_tables, joining, results_file):
        monkeypatch.setattr(module, "CHUNK_ROWS", rows)
    monkeypatch.setattr(joining, "_LOOSE_RUNS", 2 * rows)
    monkeypatch.setattr(joining, "_PIECE_RUNS", 3 * rows)
