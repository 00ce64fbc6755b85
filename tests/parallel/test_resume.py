"""Killed at any moment, a job is resumed and ends with the rows of an undisturbed one."""

import itertools
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

from mpiapp.files.journal import PAGE, JournaledFile, journal_path, snapshot
from mpiapp.files.results import ResultsError, open_results, work_path
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


def check_work_file(folder):
    """Whatever there is opens, and every run in it has its rows."""
    for path in (work_path(folder / "results.h5"), folder / "results.h5"):
        if path.exists():
            try:
                with open_results(path) as results:
                    runs, rows = results.table("runs"), results.table("photometry")
            except ResultsError:
                assert not path.exists()  # it has just got its final name, which comes next
                continue
            assert len(rows) == runs["n_rows"].sum()
            assert (rows["run_id"] == np.repeat(runs["run_id"], runs["n_rows"])).all()
            assert len(np.unique(runs["run_id"])) == len(runs)


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
        start = time.monotonic()
        child = run_here(config)
        time.sleep(rng.uniform(0.0, 0.9))
        check_work_file(folder)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        interrupted += not (folder / "results.h5").exists()
        assert time.monotonic() - start < 60
        check_work_file(folder)
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
        deadline = time.monotonic() + 60
        while not (folder / "log").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.4))
        os.killpg(launched.pid, signal.SIGKILL)
        launched.wait()
        time.sleep(0.1)
        check_work_file(folder)
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
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "log").exists() and n_computed(folder) >= after:
            break
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


def test_how_often_it_flushes_is_no_other_configuration(cut):
    cut.write_text(cut.read_text().replace(f"batch_runs = {BATCH}", "batch_runs = 3"))
    assert mpiapp("run", cut, "--resume").returncode == 0


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

    with h5py.File(cut.parent / "results.h5.part", "r+") as file:
        file.attrs["schema_version"] = 99
    done = mpiapp("run", cut, "--resume", "--force")
    assert done.returncode == 2
    assert "schema 99" in done.stderr


def test_two_jobs_never_write_one_file(cut):
    holder = JournaledFile(cut.parent / "results.h5.part", writable=True)
    done = mpiapp("run", cut, "--resume")
    holder.close()
    assert done.returncode == 2
    assert "another job is writing" in done.stderr


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


def test_a_reader_of_a_file_being_written_sees_one_commit_and_no_mixture(tmp_path):
    """Commit k fills a growing file with the byte k; a process commits while this one reads."""
    path = tmp_path / "file"
    path.write_bytes(b"")

    def fill(file, k):
        file.seek(0)
        file.write(bytes([k]) * (PAGE * 20 + 1000 * k))
        file.commit()

    writer = JournaledFile(path, writable=True)
    fill(writer, 0)
    child = os.fork()
    if child == 0:
        for k in range(1, 250):
            fill(writer, k)
        os._exit(0)
    seen = []
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        with snapshot(path) as copy:
            copy.seek(0)
            seen.append(copy.read())
    for content in seen:
        k = content[0]
        # Pages of a commit that has not happened yet may lie behind the end.
        assert content[: PAGE * 20 + 1000 * k] == bytes([k]) * (PAGE * 20 + 1000 * k)
    assert len({content[0] for content in seen}) > 5


class Torn(Exception):
    pass


def test_a_commit_is_whole_or_not_at_all_wherever_it_is_cut(tmp_path, monkeypatch):
    """Every system call that a commit makes is in turn the last one."""
    path = tmp_path / "file"

    def fresh():
        path.write_bytes(b"old" * 3000)
        journal_path(path).unlink(missing_ok=True)
        file = JournaledFile(path, writable=True)
        file.seek(100)
        file.write(b"NEW" * 50)
        file.seek(8000)
        file.write(b"MORE" * 1500)
        return file

    old = b"old" * 3000
    file = fresh()
    file.commit()
    new = path.read_bytes()
    assert new != old
    file.close()
    seen = set()
    write = os.pwrite
    for last in range(30):
        file = fresh()
        n_calls = itertools.count(1)

        def cut(call, n_calls=n_calls, last=last):
            def limited(*args):
                n = next(n_calls)
                if n > last:
                    raise Torn
                if call is write and n == last:
                    return write(args[0], args[1][: len(args[1]) // 2], args[2])
                return call(*args)

            return limited

        with monkeypatch.context() as patch:
            for name in ("pwrite", "fsync", "ftruncate", "truncate"):
                patch.setattr(os, name, cut(getattr(os, name)))
            try:
                file.commit()
                complete = True
            except Torn:
                complete = False
        file.close()
        with JournaledFile(path) as reader:
            content = reader.read()
        # Until the commit counts, pages may lie behind the end: nothing refers to them.
        state = new if content == new else content[: len(old)]
        assert state in (old, new)
        seen.add(state)
        writer = JournaledFile(path, writable=True)
        writer.close()
        assert path.read_bytes()[: len(content)] == content
        if complete:
            assert content == new
            break
    assert complete
    assert seen == {old, new}


def test_a_work_file_that_cannot_be_opened_leaves_nothing_to_close(tmp_path):
    """Else Python tells of an error when the object goes."""
    file = JournaledFile.__new__(JournaledFile)
    with pytest.raises(FileNotFoundError):
        file.__init__(tmp_path / "absent")
    assert file.closed
