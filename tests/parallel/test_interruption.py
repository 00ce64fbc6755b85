"""Jobs that have to end early: by a signal, by their time budget, by a lost or stuck rank."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime

import pytest
from jobs import (
    HANGING,
    LOGGED_RUNS,
    by_the_clock,
    environment,
    logged_job,
    mpiapp,
    mpiexec,
    n_computed,
    needs_mpiexec,
    photometry,
    table,
    write_job,
)
from scripted_engines import PLACES, RANK_0_PLACES

from mpiapp.catalog.outcome import Outcome
from mpiapp.config import Limits
from mpiapp.files.results import open_results, work_path
from mpiapp.parallel.stop import Stop
from mpiapp.photometry.time_limit import RunTimeLimit, time_limit
from mpiapp.scheduler import scheduled_end

pytestmark = [pytest.mark.slow, by_the_clock]

# MPIAPP_STOPS=4 pytest tests/test_interruption.py stops 20 jobs.
ROUNDS = int(os.environ.get("MPIAPP_STOPS", "1"))  # of five jobs each


def start(config, *args, ranks=0, **extra) -> subprocess.Popen:
    command = [sys.executable, "-m", "mpiapp", "run", str(config), *args]
    if ranks:
        command = [mpiexec(), "-n", str(ranks), *command]
    return subprocess.Popen(command, env=environment() | extra, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def pace(tmp_path_factory):
    """Seconds that a small job takes here from its start to its end: 3 on a quiet machine.

    What the clock decides below is allowed twice as long more than the program promises.
    """
    config = write_job(tmp_path_factory.mktemp("pace"))
    begun = time.monotonic()
    assert mpiapp("run", config, ranks=3 if mpiexec() else 0).returncode == 0
    return max(3.0, time.monotonic() - begun)


def wait_for_runs(job, folder, n=1):
    while n_computed(folder) < n:
        assert job.poll() is None, job.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize(
    ("ranks", "request_"),
    [
        (0, "USR1"),
        (0, "walltime"),
        pytest.param(3, "USR1", marks=pytest.mark.mpi),
        pytest.param(3, "TERM", marks=pytest.mark.mpi),
        pytest.param(3, "walltime", marks=pytest.mark.mpi),
    ],
)
def test_a_job_stops_when_asked_and_loses_nothing(tmp_path, pace, ranks, request_, round_):
    if ranks and mpiexec() is None:
        pytest.skip("no mpiexec: install the extra mpich")
    rng = random.Random(f"{ranks} {request_} {round_}")
    config = logged_job(tmp_path, 0.03)
    extra = {}
    if request_ == "walltime":
        # At a pace of 3 s: runs of 0.4 s, 40 s or 20 s of work in 13 to 16 s
        seconds = 0.4 / 3 * pace
        config = logged_job(tmp_path, seconds)
        end = int(time.time() + rng.uniform(13, 16) / 3 * pace)
        extra["SLURM_JOB_END_TIME"] = str(end)
    job = start(config, ranks=ranks, **extra)
    if request_ != "walltime":
        wait_for_runs(job, tmp_path)
        time.sleep(rng.uniform(0, 0.7))
        asked = time.monotonic()
        job.send_signal(getattr(signal, f"SIG{request_}"))
    stderr = job.communicate(timeout=HANGING)[1]
    if request_ == "walltime":
        # Schedulers kill some 10 s after they ask; everything is on disk before they do.
        assert time.time() < end + 10 + 2 * pace
        text = config.read_text().replace(f"seconds = {seconds}", "seconds = 0.01")
        config.write_text(text)
        args = ("--resume", "--force")
    else:
        assert time.monotonic() - asked < 8 + 2 * pace
        args = ("--resume",)
    assert job.returncode == 3, stderr
    assert "--resume" in stderr
    with open_results(work_path(tmp_path / "results.h5")) as results:
        assert len(results) == n_computed(tmp_path) < LOGGED_RUNS
        last = results.table("jobs")[-1]
    assert last["exit_reason"].startswith("stopped")
    if request_ == "walltime":
        assert datetime.fromisoformat(last["ended"]).timestamp() <= end
    again = mpiapp("run", config, *args, ranks=ranks)
    assert again.returncode == 0, again.stderr
    assert n_computed(tmp_path) == LOGGED_RUNS  # none was done twice
    assert len(photometry(tmp_path / "results.h5")) == LOGGED_RUNS


@needs_mpiexec
def test_a_signal_that_reaches_one_worker_stops_the_job(tmp_path):
    config = logged_job(tmp_path, 0.1)
    job = start(config, ranks=3)
    wait_for_runs(job, tmp_path)
    os.kill(worker_pid(tmp_path), signal.SIGUSR1)
    stderr = job.communicate(timeout=HANGING)[1]
    assert job.returncode == 3, stderr
    assert "stopped (signal SIGUSR1)" in stderr
    with open_results(work_path(tmp_path / "results.h5")) as results:
        assert len(results) == n_computed(tmp_path) < LOGGED_RUNS


def worker_pid(folder, rank=2) -> int:
    with open_results(work_path(folder / "results.h5")) as results:
        return json.loads(results.table("jobs")["ranks"][-1])[rank]["pid"]


@needs_mpiexec
def test_a_dead_rank_ends_the_job_in_ten_seconds_and_the_rest_is_resumed(tmp_path, pace):
    config = logged_job(tmp_path, 0.1, output="flush_seconds = 0.01")
    job = start(config, ranks=3)
    wait_for_runs(job, tmp_path, 10)
    killed = time.monotonic()
    os.kill(worker_pid(tmp_path), signal.SIGKILL)
    job.communicate(timeout=HANGING)
    assert time.monotonic() - killed < 10 + 2 * pace
    assert job.returncode not in (0, 2, 3, 4)
    with open_results(work_path(tmp_path / "results.h5")) as results:
        assert len(results) > 0
    assert mpiapp("run", config, "--resume", ranks=3).returncode == 0
    assert len(photometry(tmp_path / "results.h5")) == LOGGED_RUNS


def test_a_second_signal_ends_the_job_at_once(tmp_path):
    job = start(logged_job(tmp_path, 60.0))
    wait_for_runs(job, tmp_path)
    job.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert job.poll() is None  # it waits for the run in hand
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=HANGING)
    assert job.returncode == -signal.SIGTERM


@needs_mpiexec
def test_runs_longer_than_the_reserve_are_not_waited_for(tmp_path, pace):
    job = start(logged_job(tmp_path, 20 * pace, limits="job_seconds = 8"), ranks=3)
    begun = time.monotonic()
    stderr = job.communicate(timeout=HANGING)[1]
    assert job.returncode == 3, stderr
    assert time.monotonic() - begun < 17 + 2 * pace
    assert "not waited for: " in stderr
    assert "Resume with" in stderr


@pytest.mark.parametrize("ranks", [0, pytest.param(3, marks=pytest.mark.mpi)])
def test_a_run_over_its_limit_is_recorded_and_the_others_go_on(tmp_path, ranks):
    if ranks and mpiexec() is None:
        pytest.skip("no mpiexec: install the extra mpich")
    stuck = f"stuck = '{tmp_path / 'stuck'}'"
    done = mpiapp("run", logged_job(tmp_path, 0.0, stuck, "run_seconds = 2"), ranks=ranks)
    assert done.returncode == 4, done.stderr
    check_one_lost(tmp_path, "not finished after 2 s")


def check_one_lost(folder, message):
    rows = photometry(folder / "results.h5")
    assert len(rows) == LOGGED_RUNS
    assert (rows["outcome"] == Outcome.NULL_TIME_LIMIT).sum() == 1
    with open_results(folder / "results.h5") as results:
        failures = results.table("failures")
    assert message in failures["message"][0]


@needs_mpiexec
def test_a_run_stuck_in_compiled_code_on_two_ranks_costs_no_other(tmp_path):
    engine = f"stuck = '{tmp_path / 'stuck'}'\nin_c = true"
    done = mpiapp("run", logged_job(tmp_path, 0.0, engine, "run_seconds = 2"), ranks=4)
    assert done.returncode == 4, done.stderr
    assert "late, and given out again piece by piece: " in done.stderr
    assert "late again, recorded as failed: " in done.stderr
    check_one_lost(tmp_path, "given out twice, and not back in time")
    assert not work_path(tmp_path / "results.h5").exists()


@needs_mpiexec
def test_a_job_whose_only_worker_is_stuck_ends_and_is_resumed_with_more(tmp_path):
    engine = f"stuck = '{tmp_path / 'stuck'}'\nin_c = true"
    config = logged_job(tmp_path, 0.0, engine, "run_seconds = 2")
    done = mpiapp("run", config, ranks=2)
    assert done.returncode == 3, done.stderr
    assert "resume with more ranks" in done.stderr
    done = mpiapp("run", config, "--resume", ranks=4)
    assert done.returncode == 4, done.stderr
    check_one_lost(tmp_path, "given out twice, and not back in time")


@needs_mpiexec
def test_a_rank_that_comes_back_and_freezes_again_does_not_keep_the_job(tmp_path):
    config = logged_job(tmp_path, 0.5, limits="run_seconds = 3")
    job = start(config, ranks=3)
    wait_for_runs(job, tmp_path)
    pid = worker_pid(tmp_path)
    os.kill(pid, signal.SIGSTOP)
    seen = []
    for line in job.stderr:
        seen.append(line)
        if "late" in line:
            os.kill(pid, signal.SIGCONT)
            if sum("late" in line for line in seen) == 1:
                time.sleep(2.0)  # it goes on with new work, or with the old
                os.kill(pid, signal.SIGSTOP)
    code = job.wait(HANGING)
    lost = photometry(tmp_path / "results.h5")["outcome"] == Outcome.NULL_TIME_LIMIT
    assert len(lost) == LOGGED_RUNS, "".join(seen)
    # What it froze at again is either new to it or was late before.
    assert (lost.sum(), code) in ((0, 0), (1, 4)), "".join(seen)


@needs_mpiexec
def test_a_worker_comes_home_in_time_where_the_cost_model_is_wrong(tmp_path):
    """Parcels of half a minute by the cost model, of which a run takes 500 times as long."""
    config = logged_job(tmp_path, 0.5, limits="run_seconds = 1")
    done = mpiapp("run", config, ranks=2)
    assert done.returncode == 0, done.stderr
    assert "late" not in done.stderr
    assert n_computed(tmp_path) == LOGGED_RUNS


# What ends the job is the same at all places, so a time limit ends it at two.
@pytest.mark.parametrize(
    ("place", "request_"),
    [(place, "TERM") for place in ("starting", *PLACES)]
    + [(place, "job_seconds") for place in ("starting", "leaving", "measuring")],
)
@needs_mpiexec
def test_a_rank_that_freezes_anywhere_is_named_and_does_not_keep_the_job(
    tmp_path, pace, place, request_
):
    options = f"[engine.options]\nlog = '{tmp_path / 'log'}'\nplace = '{place}'\nseconds = 0.05\n"
    seconds = 9 * pace
    limits = f"[limits]\njob_seconds = {seconds}\n" if request_ == "job_seconds" else ""
    config = write_job(tmp_path, "freezing", options + limits, table(4, 5))
    job = start(config, ranks=3)
    if request_ == "TERM":
        wait_for(job, tmp_path / "log.frozen")
        time.sleep(3)
        job.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    stderr = job.communicate(timeout=HANGING)[1]
    # PBS kills 10 s after TERM; starting takes seconds before job_seconds begin to count
    assert time.monotonic() - begun < (10 if request_ == "TERM" else seconds) + 2 * pace, stderr
    where = "".join(line for line in stderr.splitlines() if "not waited for" in line)
    assert where.count("rank 1") == 1 and "rank 2" not in where, stderr
    # Frozen at the end, it costs nothing: all runs are done.
    at_the_end = place in ("leaving", "ending")
    known = {"starting": "starting", "scanning": "scanning"}
    assert ("all results being on disk" if at_the_end else known.get(place, "aper cnts")) in where
    assert job.returncode == (0 if at_the_end else 3), stderr
    again = mpiapp("run", config, "--resume", ranks=3)
    assert again.returncode == 0, again.stderr
    assert len(photometry(tmp_path / "results.h5")) == LOGGED_RUNS


@pytest.mark.parametrize(
    ("rank", "place"),
    [(1, place) for place in ("starting", *PLACES)] + [(0, place) for place in RANK_0_PLACES],
)
@needs_mpiexec
def test_a_rank_that_dies_anywhere_ends_the_job_and_the_rest_is_resumed(
    tmp_path, pace, rank, place
):
    options = f"[engine.options]\nlog = '{tmp_path / 'log'}'\nplace = '{place}'\nrank = {rank}\n"
    config = write_job(tmp_path, "freezing", options + "signal_name = 'SIGKILL'\n", table(4, 5))
    job = start(config, ranks=3)
    wait_for(job, tmp_path / "log.frozen")
    begun = time.monotonic()
    stderr = job.communicate(timeout=HANGING)[1]
    assert time.monotonic() - begun < 10 + 2 * pace, stderr
    assert job.returncode not in (0, 2, 3, 4)
    again = mpiapp("run", config, "--resume", ranks=3)
    assert again.returncode == 0, again.stderr
    assert len(photometry(tmp_path / "results.h5")) == LOGGED_RUNS


def wait_for(job, path):
    while not path.exists():
        assert job.poll() is None or path.exists(), job.communicate()
        time.sleep(0.01)


def forgiving_loop():
    while True:
        with contextlib.suppress(Exception):
            time.sleep(1)


def test_a_time_limit_is_none_that_a_ladder_could_catch():
    with pytest.raises(RunTimeLimit), time_limit(0.05):
        forgiving_loop()
    with time_limit(0.05):
        pass
    time.sleep(0.1)  # no alarm is left over


def test_the_earlier_of_budget_and_walltime_counts():
    def limited(end, **limits):
        stop = Stop()
        stop.limit(Limits(**limits), end)
        return stop

    now = time.time()
    assert not limited(None).poll()
    assert not limited(now + 2000, job_seconds=1000).poll()
    # 100 s before the end of a walltime: the reserve is no 120 s, but a fifth at most
    assert not limited(now + 100).poll()
    late = limited(now - 1, job_seconds=5000, reserve_seconds=1e-3)
    assert late.poll()
    assert "walltime" in late.reason
    assert late.out_of_patience


@pytest.mark.parametrize(
    ("environ", "qstat", "expected"),
    [
        ({}, "", None),
        ({"SLURM_JOB_END_TIME": "1700000000"}, "", 1700000000.0),
        ({"SLURM_JOB_END_TIME": "Unknown"}, "", None),
        ({"SLURM_JOB_END_TIME": "²"}, "", None),
        (
            {"PBS_JOBID": "0.server"},
            "Job Id: 0.server\n    Resource_List.walltime = 01:30:05\n"
            "    stime = Sun Nov 22 10:00:00 2026\n",
            time.mktime((2026, 11, 22, 11, 30, 5, 0, 0, -1)),
        ),
        ({"PBS_JOBID": "0.server"}, "", None),
    ],
)
def test_the_end_is_what_the_scheduler_says(tmp_path, monkeypatch, environ, qstat, expected):
    script = tmp_path / "qstat"
    script.write_text(f"#!/bin/sh\n[ \"$*\" = '-f 0.server' ] && cat <<'END'\n{qstat}END\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert scheduled_end(environ) == expected


def test_torque_tells_the_length_of_a_job_in_a_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # no qstat
    end = scheduled_end({"PBS_JOBID": "1", "PBS_WALLTIME": "600"})
    assert end == pytest.approx(time.time() + 600, abs=5)
