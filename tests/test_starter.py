"""A configuration for a folder: what `init` writes and a folder instead of one means."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from example_files import three_bundles, write_example
from jobs import environment

from mpiapp.cli import main
from mpiapp.config import Config, ConfigError, load
from mpiapp.files.mst3 import write_mst3
from mpiapp.starter import starter
from mpiapp.toml import tomllib


@pytest.fixture(params=[".", "prep3"])
def folder(tmp_path, request):
    """A folder with a prep3 file, in it or in its folder prep3, and an mst3 file."""
    inside = tmp_path / "data" / request.param
    inside.mkdir(parents=True)
    bundle, *_ = bundles = three_bundles()
    write_example(inside / "1_prep3.fits", bundles)
    match = ("M1", "u", bundle.key.stack, bundle.components[0])
    write_mst3(tmp_path / "data" / "mst3.fits", [match], [])
    return tmp_path / "data"


def test_init_writes_what_the_folder_stands_for(folder, tmp_path, capsys):
    path = tmp_path / "job.toml"
    assert main(["init", str(folder), str(path)]) == 0
    assert f"mpiapp run {path}" in capsys.readouterr().out
    assert load(path) == load(folder)
    (group,) = load(path).input
    assert group.mst3 == str(folder / "mst3.fits")
    assert load(path).output.results == str(folder / "results.h5")


def test_the_defaults_in_the_comments_are_the_defaults(folder):
    text = starter(folder, "exact")
    # Of every comment that is a setting the sign is taken away, but of those without a value.
    plain = re.sub(r"^# ([a-z_0-9]+ = )", r"\1", text, flags=re.MULTILINE)
    settings = tomllib.loads(plain)
    assert Config.model_validate(settings) == Config.model_validate(tomllib.loads(text))
    assert settings["engine"]["exact"] == {"accuracy": 0.01}
    assert {"select", "summary", "ladder", "limits"} <= set(settings)


def test_init_needs_no_docstrings(folder, tmp_path):
    command = [sys.executable, "-OO", "-m", "mpiapp", "init", str(folder), str(tmp_path / "a.toml")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "a.toml") == load(folder)


def test_no_file_is_written_over_and_a_folder_without_files_is_named(folder, tmp_path, capsys):
    path = tmp_path / "job.toml"
    path.write_text("mine")
    assert main(["init", str(folder), str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match=r"no|neither here"):
        load(empty)


def test_a_folder_can_be_planned(folder, capsys):
    assert main(["plan", str(folder)]) == 0
    assert "obsid" in capsys.readouterr().out
