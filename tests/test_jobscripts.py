"""The batch scripts: as recorded, safe whatever they are given, and working under PBS's rules."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import environment, mpiapp, mpiexec, needs_mpiexec, photometry, table, write_job

from mpiapp.config import ConfigError
from mpiapp.jobscript import KINDS, MACHINES, Machine, load_machine, render

ROOT = Path(__file__).resolve().parent.parent
N_RUNS = (4 * 5 + 5) * 2 * 2
BOTH = pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
ALL = pytest.mark.parametrize("kind", KINDS)
NASTY = "a folder/$(touch owned) `touch owned`; touch owned 'x' \"y\" \\ & |*.toml"


@ALL
@BOTH
def test_the_shipped_scripts_are_what_the_table_gives(scheduler, kind):
    """They are the record: a change of the templates shows in them."""
    path = f"jobscripts/{kind}.{scheduler}"
    machine = load_machine(MACHINES, scheduler)
    text = render(kind, machine, "config/example.toml", script=path)
    assert text == (ROOT / path).read_text()


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
    done = mpiapp("jobscript", "pbs", "my job.toml", "--nodes", "3", cwd=tmp_path)
    assert done.returncode == 0
    assert "select=3:ncpus=16:mpiprocs=16:ompthreads=1" in done.stdout
    assert "config='my job.toml'" in done.stdout
    done = mpiapp("jobscript", "nowhere", "c.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "no machine 'nowhere'; there are pbs, slurm, slurm-mpich" in done.stderr
    with pytest.raises(ConfigError, match="expected HH:MM:SS"):
        render("job", load_machine(MACHINES, "pbs"), "c", walltime="4h; rm -rf")


def directives(text):
    return [line.split(" ", 1)[1] for line in text.splitlines() if line.startswith(("#S", "#P"))]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("slurm", ["--account=x-1", "--partition=long", "--qos=high", "--constraint=a&b",
                   "--mail-type=END,FAIL --mail-user=me@site.org", "--licenses=$(touch owned)"]),
        ("pbs", ["-A x-1", "-q long", "-l qos=high", "-m ae -M me@site.org",
                 "--licenses=$(touch owned)"]),
    ],
)  # fmt: skip
def test_a_site_can_ask_for_accounts_partitions_and_anything_else(tmp_path, machine, expected):
    options = [
        "--account=x-1", "--partition=long", "--qos=high", "--mail=me@site.org",
        "--directive=--licenses=$(touch owned)",
    ]  # fmt: skip
    if machine == "slurm":
        options.append("--constraint=a&b")
    done = mpiapp("jobscript", machine, "job.toml", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert directives(done.stdout)[-len(expected) :] == expected
    plain = mpiapp("jobscript", machine, "job.toml", cwd=tmp_path).stdout
    assert len(directives(plain)) == len(directives(done.stdout)) - len(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"account": "a\nrm -rf x"}, "account: "),
        ({"directives": ["a\nrm -rf x"]}, "directives.0: "),
        ({"constraint": "x"}, "PBS has no directive for it"),
        ({"launcher": "'"}, "No closing quotation"),
        ({"memory_gb": float("inf")}, "memory_gb: "),
    ],
)
def test_a_machine_that_is_none_is_refused_in_one_line(given, message):
    with pytest.raises(ConfigError, match=message) as found:
        load_machine(MACHINES, "pbs", **{name: given[name] for name in given})
    assert "\n" not in str(found.value)


def test_no_name_of_a_script_leaves_its_comment():
    with pytest.raises(ConfigError, match="on one line"):
        render("job", load_machine(MACHINES, "slurm"), "c", script="a\nrm -rf x")


@BOTH
def test_a_script_names_the_place_where_it_lies(scheduler):
    """What is queued again is this script, and the merge lies beside the array."""
    machine = load_machine(MACHINES, scheduler)
    text = render("requeue", machine, "c", script="my scripts/again")
    submit = {"slurm": "sbatch", "pbs": "qsub"}[scheduler]
    assert f"then: {submit} 'my scripts/again'" in text
    assert ("script='my scripts/again'" in text) == (scheduler == "pbs")
    text = render("array", machine, "c", script="my scripts/parts")
    assert f"'my scripts/merge.{scheduler}'" in text


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
            ["bash", script], cwd=home, env=inherited | variables | extra, check=False
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
        "-v", "MPIAPP_TURN=1", "requeue.pbs",
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
