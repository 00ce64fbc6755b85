"""Killed at any moment, a job is resumed and ends with the rows of an undisturbed one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback

import numpy as np
import pytest
from jobs import (
    LOGGED_RUNS,
    environment,
    logged_job,
    mpiapp,
    mpiexec,
    n_computed,
    needs_mpiexec,
    photometry,
)

from mpiapp.files.results import ResultsError, open_results, work_path
from mpiapp.files.writer import Writer
from mpiapp.parallel import job
from mpiapp.parallel.task import Options
from mpiapp.parallel.world import World

pytestmark = pytest.mark.slow

# MPIAPP_KILLS=200 pytest tests/test_resume.py kills more often.
KILLS = int(os.environ.get("MPIAPP_KILLS", "12"))
MPI_KILLS = KILLS if "MPIAPP_KILLS" in os.environ else 2
BATCH = 16
UNIT = 4  # runs of one target: the smallest unit, and what one process is at
# With two workers: four parcels under way of at most three targets, all of which may be measured
# while the batch before them is written.
UNDER_WAY = 4 * 3 * UNIT


def batched_job(folder):
    return logged_job(folder, 0.004, output=f"batch_runs = {BATCH}")


def check_what_is_there(folder):
    """Whatever there is opens, and every run in it has its rows."""
    final = folder / "results.h5"
    while final.exists() or work_path(final).exists():
        try:
            with open_results(final) as results:
                runs, rows = results.table("runs"), results.table("photometry")
        except ResultsError:
            if not work_path(final).exists():
                continue  # it has just got its name
            raise
        assert len(rows) == runs["n_rows"].sum()
        assert (rows["run_id"] == np.repeat(runs["run_id"], runs["n_rows"])).all()
        assert len(np.unique(runs["run_id"])) == len(runs)
        return


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert mpiapp("run", batched_job(folder)).returncode == 0
    assert n_computed(folder) == LOGGED_RUNS
    return photometry(folder / "results.h5")


def run_here(config) -> int:
    """A serial job in a fork of this process, which spares the imports."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open(config.parent / "stderr", "w") as file:
                os.dup2(file.fileno(), 2)
            sys.stderr = os.fdopen(2, "w")
            code = job.run(config, World(), Options(resume=True))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return child


def test_a_job_killed_at_random_moments_ends_with_the_rows_of_an_undisturbed_one(
    tmp_path, undisturbed
):
    rng = random.Random(1)
    interrupted = 0
    for k in range(KILLS):
        folder = tmp_path / str(k)
        config = batched_job(folder)
        child = run_here(config)
        time.sleep(rng.uniform(0.0, 0.9))
        check_what_is_there(folder)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        interrupted += not (folder / "results.h5").exists()
        check_what_is_there(folder)
        status = os.waitpid(run_here(config), 0)[1]
        assert status == 0, (folder / "stderr").read_text()
        assert photometry(folder / "results.h5").tobytes() == undisturbed.tobytes()
        assert not work_path(folder / "results.h5").exists()
        assert n_computed(folder) <= LOGGED_RUNS + BATCH + UNIT
        shutil.rmtree(folder)
    assert interrupted > KILLS / 2  # or the moments were not within the job


@needs_mpiexec
def test_a_job_under_mpi_killed_at_random_moments_ends_with_the_same_rows(tmp_path, undisturbed):
    rng = random.Random(2)
    for k in range(MPI_KILLS):
        folder = tmp_path / str(k)
        config = batched_job(folder)
        launched = subprocess.Popen(
            [mpiexec(), "-n", "3", sys.executable, "-m", "mpiapp", "run", str(config)],
            env=environment(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not (folder / "log").exists():
            assert launched.poll() is None
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.4))
        os.killpg(launched.pid, signal.SIGKILL)
        launched.wait()
        time.sleep(0.1)
        check_what_is_there(folder)
        done = mpiapp("run", config, "--resume", ranks=3)
        assert done.returncode == 0, done.stderr
        assert photometry(folder / "results.h5").tobytes() == undisturbed.tobytes()
        assert n_computed(folder) <= LOGGED_RUNS + BATCH + UNDER_WAY


def cut_short(folder, config, after):
    """Kill a serial job once it has computed `after` runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mpiapp", "run", str(config)],
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    while n_computed(folder) < after:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert work_path(folder / "results.h5").exists()


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A job that was killed, and a copy of its folder."""
    folder = tmp_path_factory.mktemp("killed")
    config = batched_job(folder)
    cut_short(folder, config, after=40)
    return config, shutil.copytree(folder, tmp_path_factory.mktemp("kept") / "folder")


@pytest.fixture
def cut(killed):
    """The configuration of a job that was killed, in whose folder all is as it was left."""
    config, kept = killed
    shutil.rmtree(config.parent)
    shutil.copytree(kept, config.parent)
    return config


def test_every_row_names_its_job_and_each_job_its_provenance(cut):
    assert mpiapp("run", cut, "--resume").returncode == 0
    with open_results(cut.parent / "results.h5") as results:
        runs, jobs, inputs = (results.table(name) for name in ("runs", "jobs", "inputs"))
    assert jobs["job"].tolist() == [0, 1]
    assert jobs["exit_reason"].tolist() == ["", "complete"]
    assert jobs["config_hash"][0] == jobs["config_hash"][1]
    counts = np.bincount(runs["job"])
    assert counts.sum() == LOGGED_RUNS
    assert (counts > 0).all()
    assert len(inputs) == 4  # each file once: the second job found it unchanged


def test_a_work_file_is_not_started_over_without_being_told(cut):
    done = mpiapp("run", cut)
    assert done.returncode == 2
    assert "continue it with --resume" in done.stderr


def test_another_configuration_is_refused_unless_forced(cut):
    cut.write_text(cut.read_text().replace("seed = 7", "seed = 8"))
    done = mpiapp("run", cut, "--resume")
    assert done.returncode == 2
    assert "seed: 7, now 8" in done.stderr
    assert mpiapp("run", cut, "--resume", "--force").returncode == 0
    done = mpiapp("run", cut, "--resume")
    assert done.returncode == 2  # also once it is complete


@pytest.mark.parametrize(("change", "word"), [("edit", "changed"), ("remove", "gone")])
def test_input_that_changed_is_refused_unless_forced(cut, change, word):
    path = cut.parent / "prep3" / "S_101_prep3.fits"
    if change == "edit":
        path.write_bytes(path.read_bytes() + bytes(2880))
    else:
        path.unlink()
    done = mpiapp("run", cut, "--resume")
    assert done.returncode == 2
    assert f"{path}: this input" in done.stderr
    assert word in done.stderr
    assert mpiapp("run", cut, "--resume", "--force").returncode in (0, 4)
    assert (cut.parent / "results.h5").exists()


def test_another_schema_is_refused(cut):
    import h5py

    part = sorted((cut.parent / "results.h5.parts").glob("*.h5"))[0]
    with h5py.File(part, "r+") as file:
        file.attrs["schema_version"] = 99
    done = mpiapp("run", cut, "--resume", "--force")
    assert done.returncode == 2
    assert f"{part}: results schema 99" in done.stderr


def test_a_work_file_of_an_earlier_version_is_not_measured_anew_unasked(tmp_path):
    logged_job(tmp_path, 0.0)
    (tmp_path / "results.h5.part").write_bytes(b"")
    done = mpiapp("run", "job.toml", "--resume", cwd=tmp_path)
    assert done.returncode == 2
    assert "results.h5.part: from a job of an earlier version" in done.stderr
    assert "continue it with that version, or measure everything anew" in done.stderr
    assert not (tmp_path / "results.h5").exists()
    assert mpiapp("run", "job.toml", cwd=tmp_path).returncode == 0


def test_two_jobs_never_write_one_file(cut):
    holder = Writer(work_path(cut.parent / "results.h5"), resume=True)
    done = mpiapp("run", cut, "--resume")
    holder.close()
    assert done.returncode == 2
    assert f"another job is writing to it (process {os.getpid()} on " in done.stderr


def test_a_part_that_cannot_be_read_is_named_and_its_runs_are_measured_again(cut, undisturbed):
    """Once it is removed: no other part depends on it."""
    part = sorted((cut.parent / "results.h5.parts").glob("*.h5"))[1]
    part.write_bytes(bytes(4096))
    done = mpiapp("run", cut, "--resume")
    assert done.returncode == 2 and f"{part}: " in done.stderr
    assert "Traceback" not in done.stderr
    part.unlink()
    assert mpiapp("run", cut, "--resume").returncode == 0
    assert photometry(cut.parent / "results.h5").tobytes() == undisturbed.tobytes()


def test_parts_that_a_kill_left_beside_the_complete_file_are_removed(cut):
    parts = work_path(cut.parent / "results.h5")
    kept = shutil.copytree(parts, cut.parent / "kept")
    assert mpiapp("run", cut, "--resume").returncode == 0
    kept.rename(parts)
    os.link(cut.parent / "results.h5", parts / "whole.new")
    done = mpiapp("run", cut, "--resume")
    assert done.returncode == 0 and "complete already" in done.stderr
    assert not parts.exists()


def test_resuming_what_is_complete_changes_nothing(cut):
    assert mpiapp("run", cut, "--resume").returncode == 0
    before = (cut.parent / "results.h5").read_bytes()
    done = mpiapp("run", cut, "--resume")
    assert done.returncode == 0
    assert "complete already" in done.stderr
    assert (cut.parent / "results.h5").read_bytes() == before


def test_input_faults_are_recorded_once(cut):
    (cut.parent / "prep3" / "S_101_prep3.fits").write_text("not FITS")
    for _ in range(2):
        assert mpiapp("run", cut, "--resume", "--force").returncode in (0, 4)
    with open_results(cut.parent / "results.h5") as results:
        failures = results.table("failures")
    assert (failures["run_id"] == 0).sum() == 1
