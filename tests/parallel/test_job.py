"""Whole jobs through the command line: serial and under mpiexec, whole and broken."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from astropy.table import Table
from jobs import HANGING, environment, mpiapp, mpiexec, needs_mpiexec, photometry, table, write_job

from mpiapp import provenance
from mpiapp.catalog.outcome import Outcome
from mpiapp.files.results import open_results

N_RUNS = (3 * 4 + 4) * 2 * 2  # (obsids × sources + stack sources) × bands × quantities

under_mpi = [
    pytest.mark.mpi,
    pytest.mark.skipif(mpiexec() is None, reason="no mpiexec: install the extra mpich"),
]


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The folder of a job that is done, of the engine gibbs."""
    folder = tmp_path_factory.mktemp("serial")
    done = mpiapp("run", write_job(folder, "gibbs"))
    assert done.returncode == 0, done.stderr
    return folder


def test_a_serial_job_measures_every_run_and_needs_no_mpi(serial):
    with open_results(serial / "results.h5") as results:
        runs, rows, jobs = (results.table(n) for n in ("runs", "photometry", "jobs"))
    assert len(runs) == len(rows) == N_RUNS
    assert len(np.unique(runs["run_id"])) == N_RUNS
    assert jobs["exit_reason"].tolist() == ["complete"]
    assert '"mpi"' not in jobs["versions"][0]
    assert not (serial / "results.h5.parts").exists()


@needs_mpiexec
@pytest.mark.parametrize("ranks", [2, 4])
def test_any_number_of_ranks_gives_the_same_rows(serial, tmp_path, ranks):
    done = mpiapp("run", serial / "job.toml", "--output", tmp_path / "results.h5", ranks=ranks)
    assert done.returncode == 0, done.stderr
    expected = photometry(serial / "results.h5")
    assert len(expected) == N_RUNS
    assert photometry(tmp_path / "results.h5").tobytes() == expected.tobytes()


def test_a_failed_run_beside_an_unseen_source_is_failed_to_resume_and_to_retry(tmp_path):
    bundle = {
        "obsid": "1", "stack": "S", "bundle": "b1", "instrument": "ACIS", "band": "b",
        "aperture": "aper", "components": ["seen", "dark"], "counts": [40, 3, 100],
        "F": {"rate": [[9e3, 0, 2e5], [10, 0, 2e5], [500, 0, 4e6]]},
    }  # fmt: skip
    config = write_job(tmp_path, "failing")
    for path in (tmp_path / "prep3").iterdir():
        path.unlink()
    (tmp_path / "pair.jsonl").write_text(json.dumps(bundle))
    assert mpiapp("import", tmp_path / "pair.jsonl", tmp_path / "prep3").returncode == 0
    done = mpiapp("run", config)
    assert done.returncode == 4, done.stderr
    assert "2 runs, 2 failed" in done.stderr
    again = mpiapp("run", config, "--resume")
    assert again.returncode == 4 and "2 failed runs" in again.stderr
    left = mpiapp("merge", tmp_path / "left.h5", tmp_path / "results.h5", "--retry")
    assert left.returncode == 3 and "2 " in left.stdout + left.stderr


@pytest.mark.parametrize("ranks", [0, pytest.param(3, marks=under_mpi)])
def test_failed_runs_are_rows_and_the_exit_code_tells(tmp_path, ranks):
    done = mpiapp("run", write_job(tmp_path, "failing"), ranks=ranks)
    assert done.returncode == 4
    with open_results(tmp_path / "results.h5") as results:
        rows, failures = results.table("photometry"), results.table("failures")
    assert (rows["outcome"] == Outcome.NULL_FAILED).all()
    assert np.isnan(rows["value"]).all()
    assert len(failures) == N_RUNS
    assert "it never works" in failures["message"][0]
    assert "SamplingError" in failures["traceback"][0]


@pytest.mark.parametrize("ranks", [0, pytest.param(3, marks=under_mpi)])
@pytest.mark.parametrize(("room", "n_safe"), [(9_000, 0), (60_000, 400)])
def test_a_full_disk_is_named_and_costs_no_run_that_was_written(tmp_path, ranks, room, n_safe):
    """One has room for the first part, with what a job tells of itself; one for all parts."""
    options = f"[engine.options]\nroom = {room}\n"
    config = write_job(tmp_path, "fulldisk", options, table(4, 20), "batch_runs = 16")
    done = mpiapp("run", config, ranks=ranks)
    assert done.returncode == 2
    assert "results.h5.parts: cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    with open_results(tmp_path / "results.h5") as results:
        assert len(results) == n_safe
    config.write_text(config.read_text().replace(f"room = {room}", "room = 100000000"))
    assert mpiapp("run", config, "--resume", "--force", ranks=ranks).returncode == 0
    with open_results(tmp_path / "results.h5") as results:
        assert len(results) == 400


@pytest.mark.parametrize("folder", ["job.toml", "/proc/none"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, folder):
    config = write_job(tmp_path)
    done = mpiapp("run", config, "--output", tmp_path / folder / "results.h5")
    assert done.returncode == 2
    assert f"{folder}/results.h5.parts: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("engine", ["dying", "crashing"])
@needs_mpiexec
def test_a_rank_that_dies_or_crashes_ends_the_job_at_once(tmp_path, engine):
    config = write_job(tmp_path, engine)
    done = mpiapp("run", config, ranks=3)
    assert done.returncode not in (0, 2, 3, 4)
    if engine == "crashing":
        assert "a crash outside of any run" in done.stderr
    with open_results(tmp_path / "results.h5") as results:
        assert len(results) == 0


@pytest.mark.parametrize("ranks", [0, pytest.param(2, marks=under_mpi)])
def test_a_bad_configuration_is_named_and_ends_with_2(tmp_path, ranks):
    config = write_job(tmp_path, extra="chians = 3\n")
    done = mpiapp("run", config, ranks=ranks)
    assert done.returncode == 2
    assert f"{config}: unknown key engine.chians" in done.stderr
    assert "Traceback" not in done.stderr


def test_existing_results_are_never_overwritten(tmp_path):
    config = write_job(tmp_path)
    (tmp_path / "results.h5").write_text("precious")
    done = mpiapp("run", config)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (tmp_path / "results.h5").read_text() == "precious"


def test_a_file_that_cannot_be_read_costs_its_stack_and_no_other(tmp_path):
    config = write_job(tmp_path, text=table(2, 2, "S T"))
    broken = tmp_path / "prep3" / "S_101_prep3.fits"
    broken.write_bytes(broken.read_bytes()[:4000])
    done = mpiapp("run", config)
    assert done.returncode == 4
    assert str(broken) in done.stderr
    rows = photometry(tmp_path / "results.h5")
    lost = (rows["level"] == b"stack") & np.char.startswith(rows["target"], b"S/")
    assert (rows["outcome"][~lost] <= Outcome.UPPER_LIMIT).all()
    assert (rows["outcome"][lost] == Outcome.NULL_BAD_INPUT).all()
    assert (lost.sum(), len(rows)) == (2 * 2 * 2, (3 * 2 + 2 * 2) * 2 * 2)
    with open_results(tmp_path / "results.h5") as results:
        assert str(broken) in results.table("failures")["where"].tolist()


def test_bad_input_can_be_made_to_stop_the_job(tmp_path):
    config = write_job(tmp_path, extra="[ladder]\non_bad_input = 'abort'\n")
    (tmp_path / "prep3" / "S_101_prep3.fits").write_text("not FITS")
    done = mpiapp("run", config)
    assert done.returncode == 4
    assert "stopped at bad input" in done.stderr
    assert not (tmp_path / "results.h5").exists()


def test_astropy_reads_units_and_descriptions(serial):
    t = Table.read(serial / "results.h5", path="photometry")
    assert "mode of the MPDF" in t["value"].description
    assert set(t["unit"].astype(str)) == {"count", "count s-1"}
    runs = Table.read(serial / "results.h5", path="runs")
    assert str(runs["sample"].unit) == "s"
    assert all(runs[name].description for name in runs.colnames)
    with h5py.File(serial / "results.h5") as file:
        assert file["runs"].attrs["FIELD_15_UNITS"] == "s"


def test_a_run_can_be_repeated_from_its_row(serial):
    """The seed in /runs is all that its draws depend on."""
    from mpiapp import measure

    with open_results(serial / "results.h5") as results:
        runs, rows = results.table("runs"), results.table("photometry")
    wanted = (
        (runs["target"] == b"S/101/r2") & (runs["quantity"] == b"rate") & (runs["band"] == b"h")
    )
    run = runs[wanted][0]
    (row,) = rows[rows["run_id"] == run["run_id"]]
    # row r2 of obsid 101 in jobs.table: 5 + 7 * 2 + 1 counts, 30 + 2 in the background
    F = 10_000 * np.array([[0.9, 20], [0.05, 400]])
    again = measure([20, 32], F, 1, "rate", engine="gibbs", seed=int(run["seed"]))[0]
    # F is a product of three numbers, here and in the file in another order
    for name in ("value", "lolim", "hilim"):
        assert getattr(again, name) == pytest.approx(row[name], rel=1e-12)


def test_import_lists_what_it_rejects(tmp_path):
    (tmp_path / "t.csv").write_text(table(1, 2).replace(",30,", ",-30,", 1))
    done = mpiapp("import", tmp_path / "t.csv", tmp_path / "prep3")
    assert done.returncode == 4
    assert "t.csv" in done.stderr
    assert "-30" in done.stderr
    assert "3 rows accepted, 1 rejected" in done.stdout


def test_a_selection_of_nothing_is_a_usage_error_that_tells_what_there_is(tmp_path):
    config = write_job(tmp_path)
    config.write_text(config.read_text() + "[select]\nbands = ['m']\n")
    done = mpiapp("run", config)
    assert done.returncode == 2
    assert "nothing to measure" in done.stderr
    assert "bands: selected m; there are b, h" in done.stderr
    assert mpiapp("plan", config).returncode == 2
    assert not list(tmp_path.glob("results*"))


def test_a_job_goes_on_when_nobody_reads_what_it_says(tmp_path):
    config = write_job(tmp_path)
    command = f"{sys.executable} -m mpiapp run {config} 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=environment(), timeout=HANGING)
    assert done.returncode == 0
    assert len(photometry(tmp_path / "results.h5")) > 0


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_job_whose_streams_are_closed_is_measured_and_writes_nothing_into_its_files(
    tmp_path, closed
):
    config = write_job(tmp_path, "failing")  # which has something to say
    command = f'exec "{sys.executable}" -m mpiapp run "{config}" {closed}'
    assert subprocess.run(["sh", "-c", command], env=environment(), timeout=HANGING).returncode == 4
    assert len(photometry(tmp_path / "results.h5")) == N_RUNS


@pytest.mark.parametrize("name", ["results.h5", "results.h5.parts"])
def test_a_link_to_nothing_in_the_place_of_the_results_is_told_before_anything_is_measured(
    tmp_path, name
):
    config = write_job(tmp_path)
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    done = mpiapp("run", config)
    assert done.returncode == 2
    assert f"{name}: is a link to a file that is not there" in done.stderr


@pytest.mark.parametrize("name", ["nosuchmodule:X", "os:", "json:loads", "os:getcwd"])
@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_engine_that_cannot_be_used_is_one_line_before_any_file_is_made(tmp_path, name, command):
    config = write_job(tmp_path, name)
    done = mpiapp(command, config)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"engine.name = '{name}' cannot be used" in line
    assert "gibbs, exact" in line
    assert not list(tmp_path.glob("results.h5*"))


@pytest.mark.parametrize("ranks", [0, 2])
@needs_mpiexec
def test_a_job_without_scratch_for_its_engine_is_refused_before_any_file_is_left(tmp_path, ranks):
    config = write_job(tmp_path, "compiling", "scratch = '/proc/nowhere'")
    done = mpiapp("run", config, ranks=ranks)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mpiapp: ")]
    assert "scratch directory /proc/nowhere cannot be written" in line and "rank 0 on " in line
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("results.h5*"))


@needs_mpiexec
def test_one_rank_of_a_host_compiles_and_the_others_get_the_code(tmp_path):
    options = f"scratch = '{tmp_path}'\n[engine.options]\nlog = '{tmp_path / 'log'}'\n"
    done = mpiapp("run", write_job(tmp_path, "compiling", options), ranks=3)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "log").read_text() == "warm\n"


def test_names_that_are_not_utf8_are_escaped_where_they_are_recorded(tmp_path):
    folder = os.fsencode(tmp_path) + b"/c\xff"
    os.mkdir(folder)
    config = os.fsencode(write_job(tmp_path))
    os.rename(config, folder + b"/job.toml")
    output = folder + b"/o\xff.h5"
    command = [os.fsencode(sys.executable), b"-m", b"mpiapp", b"run", folder + b"/job.toml"]
    done = subprocess.run(
        [*command, b"--output", output], env=environment(), capture_output=True, timeout=HANGING
    )
    assert done.returncode == 0, done.stderr
    with open_results(os.fsdecode(output)) as results:
        assert r"c\xff/job.toml" in results.table("jobs")["command"][0]


def test_an_input_whose_name_is_not_utf8_is_refused_in_one_line(tmp_path):
    config = write_job(tmp_path)
    file = next((tmp_path / "prep3").iterdir())
    os.rename(file, os.fsencode(file.parent) + b"/\xff_prep3.fits")
    done = mpiapp("run", config)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert r"\udcff_prep3.fits': this name is not UTF-8; rename the file" in line
    assert not list(tmp_path.glob("results*"))


def test_a_host_name_that_is_not_utf8_is_escaped(monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "caf\udce9")
    assert provenance.host() == provenance.this_rank()["host"] == r"caf\xe9"
