"""Each rank's own compile directory: where it is made, what theano is told, what is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpiapp.parallel import compiledir


def run(code, **environment):
    """Run `code` in a new process and return what it printed; its stderr if it failed."""
    env = {**os.environ, **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def claim(rank, scratch, compiler="THEANO"):
    """Code that claims a directory and prints it, what the compiler is told, and if it is there."""
    return (
        "import os; from mpiapp.parallel.compiledir import claim;"
        f"d = claim({rank}, {scratch!r}); print(d, os.environ['{compiler}_FLAGS'], d.is_dir())"
    )


@pytest.mark.parametrize("compiler", ["THEANO", "PYTENSOR"])
def test_each_rank_of_a_job_has_a_directory_that_the_users_flags_lead_to_and_nothing_is_left(
    tmp_path, compiler
):
    flags = {f"{compiler}_FLAGS": "floatX=float64,base_compiledir=/nowhere"}
    code = claim(rank=3, scratch=str(tmp_path), compiler=compiler)
    path, told, made = run(code, SLURM_JOB_ID="123_4", **flags)
    assert made == "True"
    job = Path(path).parent
    assert Path(path).name == "rank3" and job.parent == tmp_path
    assert job.name.startswith(f"mpiapp-123-4-{os.getuid()}-")
    assert told == f"floatX=float64,base_compiledir=/nowhere,base_compiledir={path}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.pymc3
def test_theano_compiles_there(tmp_path):
    pytest.importorskip("pymc3")
    code = (
        "from mpiapp.parallel.compiledir import claim;"
        f"d = claim(0, {str(tmp_path)!r}); import pymc3, theano;"
        "print(d, theano.config.base_compiledir)"
    )
    path, used = run(code, THEANO_FLAGS="base_compiledir=/nowhere")[-2:]
    assert path == used


def test_a_directory_of_another_step_is_neither_shared_nor_removed(tmp_path):
    # The outer process holds rank 0 of job 7 while the inner one claims it again.
    inner = f"from mpiapp.parallel.compiledir import claim; print(claim(0, {str(tmp_path)!r}))"
    code = (
        "import subprocess, sys; from mpiapp.parallel.compiledir import claim\n"
        f"d = claim(0, {str(tmp_path)!r}); (d / 'mine').touch()\n"
        f"out = subprocess.run([sys.executable, '-c', {inner!r}], capture_output=True, text=True)\n"
        "print(d, out.stdout.strip(), (d / 'mine').exists())"
    )
    outer, inner, kept = run(code, PBS_JOBID="7.server")
    assert outer != inner
    assert Path(inner).parent == Path(outer).parent
    assert kept == "True"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("compiler", "library"), [("theano", "pymc3"), ("pytensor", "pymc")])
def test_refuses_when_the_compiler_is_imported(monkeypatch, tmp_path, compiler, library):
    for name in ("theano", "pytensor"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, compiler, object())
    with pytest.raises(RuntimeError, match=f"before anything that imports {library}$"):
        compiledir.claim(0, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_configured_scratch_that_cannot_be_used_is_an_error(tmp_path, monkeypatch):
    for name in ("theano", "pytensor"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(OSError, match="missing"):
        compiledir.claim(0, tmp_path / "missing")


@pytest.mark.parametrize("set_as", ["SLURM_TMPDIR", "TMPDIR"])
def test_the_jobs_own_scratch_comes_before_tmp(tmp_path, set_as):
    code = claim(rank=0, scratch=None)
    path, _, _ = run(code, **{"SLURM_TMPDIR": "", "TMPDIR": "", set_as: str(tmp_path)})
    assert Path(path).parent.parent == tmp_path


def test_fill_copies_everything_but_locks(tmp_path):
    source, target = tmp_path / "rank0", tmp_path / "rank1"
    (source / "compiledir_x" / "tmp1").mkdir(parents=True)
    (source / "compiledir_x" / "tmp1" / "key.pkl").write_bytes(b"k")
    (source / "compiledir_x" / ".lock").touch()
    target.mkdir()
    compiledir.fill(target, source)
    assert (target / "compiledir_x" / "tmp1" / "key.pkl").read_bytes() == b"k"
    assert not (target / "compiledir_x" / ".lock").exists()
