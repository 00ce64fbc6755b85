"""Who may import whom: each library has one door, and the rooms know each other one way only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from jobs import environment

import mpiapp

HOME = Path(mpiapp.__file__).parent
DOORS = {
    "h5py": {
        f"files/{n}.py" for n in ("hdf5_tables", "joining", "results", "results_file", "writer")
    },
    "mpi4py": {"parallel/world.py"},
    "pymc3": {"engines/pymc3_nuts.py"},
    "theano": {"engines/pymc3_nuts.py"},
    "pymc": {"engines/pymc_nuts.py"},
    "nutpie": {"engines/pymc_nuts.py"},
    "pytensor": {"engines/pymc_nuts.py"},
    "sherpa": {"engines/get_draws.py"},
}


@cache
def imported() -> dict[str, set[str]]:
    """The modules that every file of the package imports, by their full names."""
    found = {}
    for path in HOME.rglob("*.py"):
        here = ("mpiapp", *path.relative_to(HOME).parent.parts)
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = here[: len(here) + 1 - node.level] if node.level else ()
                module = ".".join([*base, *filter(None, [node.module])])
                names |= {f"{module}.{alias.name}" for alias in node.names}
        found[path.relative_to(HOME).as_posix()] = names
    return found


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library):
    users = {
        file for file, names in imported().items() if library in {n.split(".")[0] for n in names}
    }
    assert users == DOORS[library]


def rooms() -> dict[str, set[str]]:
    """The folders of the package that each folder knows."""
    folders = {path.parent.name for path in HOME.glob("*/__init__.py")}
    known = {folder: set() for folder in folders}
    for file, names in imported().items():
        room = file.split("/")[0]
        if room in folders:
            known[room] |= {name.split(".")[1] for name in names if name.startswith("mpiapp.")}
    for path in HOME.glob("*/cpp/*.?pp"):
        known[path.parts[-3]] |= set(re.findall(r'#include "(\w+)/cpp/', path.read_text()))
    return {room: (others & folders) - {room} for room, others in known.items()}


def test_the_rooms_know_each_other_one_way_only():
    known = rooms()
    assert known["catalog"] == set()
    assert len(list(TopologicalSorter(known).static_order())) == len(known)  # no circle


def test_no_two_files_import_each_other():
    """Whether at the top or when needed."""
    files = {f"mpiapp.{f[:-3].replace('/', '.')}".removesuffix(".__init__"): f for f in imported()}

    def file_of(name):
        if "_compiled" in name.split("."):  # that imports nothing
            return None
        while name not in files and name:
            name = name.rpartition(".")[0]
        return files.get(name)

    known = {f: {*map(file_of, names)} - {f, None} for f, names in imported().items()}
    assert known["parallel/job.py"] > {"parallel/rank0.py", "parallel/task.py"}
    assert len(list(TopologicalSorter(known).static_order())) == len(known)  # no circle


@pytest.mark.parametrize("module", ["mpiapp", "mpiapp.cli"])
def test_importing_the_package_imports_none_of_them(module):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not DOORS.keys() & set(done.stdout.split())


def test_a_worker_rank_imports_nothing_that_only_rank_0_needs():
    """What every rank imports is asked of a shared file system once a rank."""
    code = "import sys; from mpiapp.parallel import job, world; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "mpiapp.photometry.photometer" in loaded
    unwanted = {"h5py", "pydantic", "tqdm", "setuptools", "scipy", "numba", "astropy.table"}
    assert not unwanted & loaded
    assert not {"mpiapp.config", "mpiapp.parallel.rank0", "mpiapp.files.results"} & loaded
