"""Small jobs for tests: inputs, a configuration, and the command line."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mpiapp.cli import main
from mpiapp.files.results import open_results

TABLE = """\
obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg,\
exposure_rate
"""
TESTS = Path(__file__).resolve().parent
# Seconds after which a process hangs: more than any needs on a slow machine that others use.
HANGING = 1800.0


def table(n_obsids: int = 3, n_sources: int = 4, stacks: str = "S") -> str:
    """A flat table: every source of a stack in every obsid of it, in bands b and h."""
    rows = [
        f"{100 + k},{stack},r{i},ACIS,{band},aper,{5 + 7 * i + k},{30 + i},0.9,0.05,20,400,10000"
        for stack in stacks.split()
        for k in range(n_obsids)
        for i in range(n_sources)
        for band in "bh"
    ]
    return TABLE + "\n".join(rows) + "\n"


def write_job(
    folder: Path, engine: str = "gamma", extra: str = "", text: str = "", output: str = ""
) -> Path:
    """Import a table into `folder` and write a configuration beside it; returns its path.

    `extra` follows [engine], `output` [output]; `text` is the table.
    """
    from mpiapp.files.flat_tables import import_table

    (folder / "table.csv").write_text(text or table())
    import_table(folder / "table.csv", folder / "prep3")
    name = f"scripted_engines:{engine.capitalize()}Engine" if engine in LOCAL else engine
    config = folder / "job.toml"
    config.write_text(
        f"seed = 7\n[[input]]\nprep3 = '{folder / 'prep3'}'\nlevels = ['obsid', 'stack']\n"
        f"[output]\nresults = '{folder / 'results.h5'}'\n{output}\n"
        f"[engine]\nname = '{name}'\n{extra}"
    )
    return config


LOGGED_RUNS = (4 * 5 + 5) * 2 * 2  # (obsids × sources + stack sources) × bands × quantities


def logged_job(
    folder: Path, seconds: float, options: str = "", limits: str = "", output: str = ""
) -> Path:
    """A job of LOGGED_RUNS runs of so many seconds, which leaves a line for each one computed."""
    folder.mkdir(exist_ok=True)
    return write_job(
        folder,
        "logged",
        f"[engine.options]\nlog = '{folder / 'log'}'\nseconds = {seconds}\n{options}\n"
        f"[limits]\n{limits}\n",
        table(4, 5),
        output,
    )


def n_computed(folder: Path) -> int:
    """How many runs the job of `logged_job` has computed, those computed twice counted twice."""
    log = folder / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


LOCAL = ("gamma", "fulldisk", "failing", "dying", "crashing", "logged", "freezing", "compiling")


def environment() -> dict[str, str]:
    """This process's environment without what a launcher put there, with the tests' engines."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PMI", "PMIX", "OMPI_", "MPI_", "HYDRA", "SLURM", "MPIR_"))
    }
    kept["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return kept


def share() -> tuple[int, int]:
    """This process's rank among those that share the tests, and their number.

    They learn of each other from the launcher (MPICH, Open MPI, PMIx): no test talks to another
    rank, those that need ranks start them.
    """
    env = os.environ
    rank = int(env.get("PMI_RANK") or env.get("OMPI_COMM_WORLD_RANK") or 0)
    size = int(env.get("PMI_SIZE") or env.get("OMPI_COMM_WORLD_SIZE") or 1)
    return rank, size


def mpiexec() -> str | None:
    """The launcher beside this interpreter, or the one on the PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def needs_pymc(test):
    """Mark a test of the pymc engine, and skip it where nutpie is not installed."""
    return pytest.mark.pymc(without_nutpie(test))


def needs_pymc3(test):
    """Mark a test of the pymc3 engine, and skip it where pymc3 is not installed."""
    return pytest.mark.pymc3(without_pymc3(test))


without_pymc3 = pytest.mark.skipif(find_spec("pymc3") is None, reason="no pymc3: Python 3.10 only")
without_nutpie = pytest.mark.skipif(find_spec("nutpie") is None, reason="no nutpie: the extra pymc")


# Signals and schedulers: minutes long and judged by the clock, so not on a busy machine.
by_the_clock = pytest.mark.skipif(
    "MPIAPP_SLOW" not in os.environ, reason="minutes, on a quiet machine: make test-cluster"
)


def needs_mpiexec(test):
    """Mark a test that starts mpiexec, and skip it where there is none."""
    skip = pytest.mark.skipif(mpiexec() is None, reason="no mpiexec: install the extra mpich")
    return pytest.mark.mpi(skip(test))


def mpiapp(
    *args, ranks: int = 0, timeout: float = HANGING, cwd: Path | None = None
) -> subprocess.CompletedProcess:
    """Run `mpiapp …`, in `cwd`: a job in a process of its own, all else in this one.

    A job is under mpiexec if `ranks` is given.  Ranks that share the tests start none.
    """
    words = [str(word) for word in args]
    if words[0] != "run" and not ranks:
        return _mpiapp_here(words, cwd)
    if share()[1] > 1:
        pytest.skip("jobs are started by the tests that no launcher started")
    command = [sys.executable, "-m", "mpiapp", *words]
    if ranks:
        command = [mpiexec(), "-n", str(ranks), *command]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=environment(), cwd=cwd
    )


def _mpiapp_here(words: list[str], cwd: Path | None) -> subprocess.CompletedProcess:
    before, out, err = os.getcwd(), io.StringIO(), io.StringIO()
    os.chdir(cwd or before)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main(words)
    except SystemExit as end:  # argparse's
        code = end.code
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def photometry(path: Path) -> np.ndarray:
    """All rows of /photometry, sorted by run and component."""
    with open_results(path) as results:
        rows = results.table("photometry")
    return np.sort(rows, order=("run_id", "component"))
