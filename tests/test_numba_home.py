"""Where numba keeps compiled code: on scratch if it could keep it nowhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mpiapp import numba_home
from mpiapp.parallel.numba_cache import stamp


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A home and a scratch; the home and the installation are read-only to `os.access`."""
    for name in ("home", "scratch"):
        (tmp_path / name).mkdir()
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: tmp_path / "scratch" == path and real(path, mode)
    )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "SLURM_TMPDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def test_a_read_only_installation_and_home_leave_scratch(places):
    numba_home.find()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == places / "scratch"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_another_could_have_filled_is_not_taken(places):
    """What is in it would be run."""
    planted = places / "scratch" / f"mpiapp-numba-{os.getuid()}"
    (places / "others").mkdir()
    planted.symlink_to(places / "others")
    numba_home.find()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == places / "scratch" and folder.resolve() != planted.resolve()


def test_a_read_only_installation_is_filled_once_in_the_users_cache(places, monkeypatch):
    """Where numba writes is where the next job looks for the mark of a filled cache."""
    cache = places / "scratch" / "made" / "when needed"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    numba_home.find()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == cache / "mpiapp-numba"
    assert stamp("exact").parent == cache / "mpiapp-numba"


def test_where_numba_can_write_beside_the_modules_it_is_left_alone(places, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    numba_home.find()
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_the_users_own_choice_counts(places, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/mine")
    numba_home.find()
    assert os.environ["NUMBA_CACHE_DIR"] == "/mine"
