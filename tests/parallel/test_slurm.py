"""The job scripts under a real SLURM of one node; needs root, slurm-wlm and munge."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from jobs import (
    LOGGED_RUNS,
    by_the_clock,
    environment,
    logged_job,
    mpiapp,
    mpiexec,
    n_computed,
    photometry,
)

from mpiapp.files.results import open_results
from mpiapp.jobscript import Machine, render

NODE = Path(__file__).with_name("slurm_node.sh")
DONE = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY"}
MACHINE = Machine(
    scheduler="slurm",
    cores=4,
    memory_gb=2,
    launcher="srun --kill-on-bad-exit=1 --mpi=pmi2",
    environment=sys.prefix,
)

pytestmark = [
    pytest.mark.slow,
    by_the_clock,
    pytest.mark.mpi,
    pytest.mark.skipif(os.geteuid() != 0, reason="starting SLURM needs root"),
    pytest.mark.skipif(
        not (shutil.which("slurmctld") and shutil.which("munged")),
        reason="SLURM is not installed: apt-get install slurm-wlm munge",
    ),
    pytest.mark.skipif(mpiexec() is None, reason="no MPI: install the extra mpich"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Environment in which sbatch and its kin find the SLURM that runs for these tests."""
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    try:
        started = subprocess.run([NODE, "start", folder], capture_output=True, text=True)
        assert started.returncode == 0, started.stdout + started.stderr
        yield environment() | {"SLURM_CONF": str(folder / "slurm.conf")}
    finally:
        subprocess.run([NODE, "stop", folder], check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert mpiapp("run", logged_job(folder, 0.0)).returncode == 0
    return photometry(folder / "results.h5")


def submit(slurm, folder, kind, *options, **values) -> str:
    script = folder / f"{kind}.slurm"
    script.write_text(render(kind, MACHINE, "job.toml", **{"ranks": 3, **values}))
    done = subprocess.run(
        ["sbatch", "--parsable", *options, script.name],
        cwd=folder, env=slurm, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ended(slurm, folder, number, timeout) -> dict[str, str]:
    """What scontrol says of a job, once it has ended for good."""
    deadline = time.monotonic() + timeout
    while True:
        text = subprocess.run(
            ["scontrol", "show", "job", "-o", number], env=slurm, capture_output=True, text=True
        ).stdout
        jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines()]
        if jobs and all(found["JobState"] in DONE for found in jobs):
            return jobs[0]
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            subprocess.run(["scancel", number], env=slurm, check=False)
            pytest.fail(f"job {number} did not end:\n{text}\n{logs}")
        time.sleep(0.5)


def test_a_job_measures_everything(slurm, undisturbed, tmp_path):
    logged_job(tmp_path, 0.0)
    number = submit(slurm, tmp_path, "job", walltime="00:10:00")
    found = ended(slurm, tmp_path, number, 120)
    log = (tmp_path / f"mpiapp-{number}.log").read_text()
    assert (found["JobState"], found["ExitCode"]) == ("COMPLETED", "0:0"), log
    assert photometry(tmp_path / "results.h5").tobytes() == undisturbed.tobytes()
    with open_results(tmp_path / "results.h5") as results:
        runs, jobs = results.table("runs"), results.table("jobs")
    assert set(runs["rank"]) == {1, 2}
    assert f'"SLURM_JOB_ID": "{number}"' in jobs["scheduler"][0]


def test_a_job_signalled_before_its_walltime_is_requeued_and_ends(slurm, undisturbed, tmp_path):
    # 100 runs of 1.5 s on two workers take 75 s; the signal comes 120 to 150 s before 180 s.
    logged_job(tmp_path, 1.5)
    number = submit(slurm, tmp_path, "requeue", walltime="00:03:00")
    found = ended(slurm, tmp_path, number, 400)
    log = (tmp_path / f"mpiapp-{number}.log").read_text()
    assert (found["JobState"], found["ExitCode"]) == ("COMPLETED", "0:0"), log
    assert int(found["Restarts"]) >= 1
    assert "SIGUSR1" in log
    assert photometry(tmp_path / "results.h5").tobytes() == undisturbed.tobytes()
    with open_results(tmp_path / "results.h5") as results:
        reasons = results.table("jobs")["exit_reason"].tolist()
    assert all("SIGUSR1" in reason for reason in reasons[:-1])
    assert reasons[-1] == "complete"
    assert n_computed(tmp_path) == LOGGED_RUNS  # none was done twice


def test_an_array_and_the_merge_after_it_give_the_whole(slurm, undisturbed, tmp_path):
    logged_job(tmp_path, 0.0)
    number = submit(slurm, tmp_path, "array", walltime="00:10:00", shards=3)
    merge = submit(slurm, tmp_path, "merge", f"--dependency=afterany:{number}", walltime="00:10:00")
    found = ended(slurm, tmp_path, merge, 180)
    logs = "\n".join(path.read_text() for path in tmp_path.glob("mpiapp-*.log"))
    assert (found["JobState"], found["ExitCode"]) == ("COMPLETED", "0:0"), logs
    assert photometry(tmp_path / "results.h5").tobytes() == undisturbed.tobytes()
    with open_results(tmp_path / "results.h5") as results:
        jobs = results.table("jobs")
        assert np.bincount(results.table("runs")["job"]).tolist() == jobs["planned"].tolist()
    assert len(jobs) == 3
