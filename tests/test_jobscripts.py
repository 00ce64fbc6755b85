"""The batch scripts: as recorded, safe whatever they are given, and working under PBS's rules."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import environment, mpiapp, mpiexec, needs_mpiexec, photometry, table, write_job

from mpiapp.config import ConfigError
from mpiapp.jobscript import KINDS, Machine, load_machine, render

ROOT = Path(__file__).resolve().parent.parent
MACHINES = ROOT / "config" / "machines.toml"
N_RUNS = (4 * 5 + 5) * 2 * 2
BOTH = pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
ALL = pytest.mark.parametrize("kind", KINDS)
NASTY = "a folder/$(touch owned) `touch owned`; touch owned 'x' \"y\" \\ & |*.toml"


@ALL
@BOTH
def test_the_shipped_scripts_are_what_the_table_gives(scheduler, kind):
    """They are the record: a change of the templates shows in them."""
    shipped = (ROOT / "jobscripts" / f"{kind}.{scheduler}").read_text()
    assert render(kind, load_machine(MACHINES, scheduler), "config/example.toml") == shipped


def test_nothing_else_is_shipped():
    expected = {f"{kind}.{scheduler}" for kind in KINDS for scheduler in ("slurm", "pbs")}
    assert {path.name for path in (ROOT / "jobscripts").iterdir()} == expected


def nasty(scheduler):
    return Machine(
        scheduler=scheduler, cores=2, memory_gb=1, launcher="./launcher --flag='$(touch owned)'",
        modules=["$(touch owned)", "b c"], environment=NASTY,
    )  # fmt: skip


@ALL
@BOTH
def test_scripts_are_sound_whatever_they_are_given(tmp_path, scheduler, kind):
    script = tmp_path / "script"
    script.write_text(render(kind, nasty(scheduler), NASTY, name="n $(touch owned)\n; x"))
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        # SC2016 wonders whether $( ) in single quotes is meant: it is.
        command = ["shellcheck", "--exclude=SC2016", script]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@BOTH
def test_no_value_is_ever_run_as_a_command(tmp_path, scheduler):
    """The block that a user edits, run by a shell, gives back what went in."""
    text = render("job", nasty(scheduler), NASTY, name="$(touch owned)")
    block = text.partition("# ----")[0]
    show = 'printf \'%s\\0\' "$config" "$environment" "${modules[@]}" "${launcher[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{block}\n{show}"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\0")[:-1] == [
        NASTY, NASTY, "$(touch owned)", "b c", "./launcher", "--flag=$(touch owned)",
    ]  # fmt: skip
    assert not (tmp_path / "owned").exists()
    directives = [line for line in text.splitlines() if line.startswith(("#SBATCH", "#PBS"))]
    assert not any("$(" in line for line in directives)
    assert any("__touch_owned_" in line for line in directives)


def test_the_command_prints_a_script_and_names_what_is_wrong(tmp_path):
    done = mpiapp("jobscript", "pbs", "my job.toml", "--nodes", "3", "--machines", MACHINES)
    assert done.returncode == 0
    assert "select=3:ncpus=16:mpiprocs=16:ompthreads=1" in done.stdout
    assert "config='my job.toml'" in done.stdout
    done = mpiapp("jobscript", "nowhere", "c.toml", "--machines", MACHINES)
    assert done.returncode == 2
    assert "no machine 'nowhere'; there are pbs, slurm, slurm-mpich" in done.stderr
    with pytest.raises(ConfigError, match="expected HH:MM:SS"):
        render("job", load_machine(MACHINES, "pbs"), "c", walltime="4h; rm -rf")


# PBS by its rules: it starts scripts in the home folder, with these variables, and says nothing
# of the rest.


@pytest.fixture
def pbs(tmp_path):
    """(folder of submission, function that runs a script there as PBS does)."""
    home, folder, tools = (tmp_path / name for name in ("home", "sub mit", "tools"))
    for path in (home, folder, tools):
        path.mkdir()
    (tools / "qsub").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$PBS_O_WORKDIR/qsub.args"\n')
    (tools / "qsub").chmod(0o755)
    nodes = tmp_path / "nodefile"
    nodes.write_text("localhost\n" * 3)

    def run(kind, config="job.toml", turn="", **extra):
        machine = Machine(
            scheduler="pbs", cores=3, memory_gb=1, launcher=mpiexec(), environment=sys.prefix
        )
        script = home / f"{kind}.SC"  # a copy, as in PBS's spool
        script.write_text(render(kind, machine, config, shards=2))
        inherited = environment()
        path = f"{tools}{os.pathsep}{inherited['PATH']}"
        variables = {
            "PBS_O_WORKDIR": str(folder), "PBS_NODEFILE": str(nodes), "PBS_JOBID": "17.server",
            "PBS_ENVIRONMENT": "PBS_BATCH", "OMP_NUM_THREADS": "3", "HOME": str(home), "PATH": path,
        }  # fmt: skip
        return subprocess.run(
            ["bash", script], cwd=home, env=inherited | variables | extra, timeout=120, check=False
        ).returncode

    return folder, run


def pbs_job(folder, seconds=0.0, limits=""):
    options = f"[engine.options]\nlog = '{folder / 'log'}'\nseconds = {seconds}\n{limits}"
    write_job(folder, "logged", options, table(4, 5))


@needs_mpiexec
@pytest.mark.slow
def test_a_pbs_job_runs_in_the_folder_it_was_submitted_from(pbs):
    folder, run = pbs
    pbs_job(folder)
    assert run("job") == 0
    assert len(photometry(folder / "results.h5")) == N_RUNS
    assert f"{N_RUNS} runs, 0 failed" in (folder / "mpiapp-17.log").read_text()


@needs_mpiexec
@pytest.mark.slow
def test_a_pbs_array_is_merged(pbs):
    folder, run = pbs
    pbs_job(folder)
    for index in ("1", "2"):
        assert run("array", PBS_ARRAY_INDEX=index, PBS_JOBID=f"17[{index}].server") == 0
    assert run("merge", PBS_JOBID="18.server") == 0
    assert len(photometry(folder / "results.h5")) == N_RUNS
    assert (folder / "mpiapp-17[2].log").exists()


@needs_mpiexec
@pytest.mark.slow
def test_a_pbs_job_that_stops_in_time_queues_itself_again(pbs):
    folder, run = pbs
    pbs_job(folder, 0.5, "[limits]\njob_seconds = 8\n")
    assert run("requeue") == 3
    assert (folder / "qsub.args").read_text().split() == [
        "-v", "MPIAPP_TURN=1", "jobscripts/requeue.pbs",
    ]  # fmt: skip
    (folder / "qsub.args").unlink()
    assert run("requeue", MPIAPP_TURN="20") == 3  # often enough
    assert not (folder / "qsub.args").exists()


@needs_mpiexec
@pytest.mark.slow
def test_a_script_hands_on_the_exit_code(pbs):
    folder, run = pbs
    pbs_job(folder)
    (folder / "job.toml").write_text("nonsense = 1")
    for kind in ("job", "requeue"):
        assert run(kind) == 2
    assert not (folder / "qsub.args").exists()
