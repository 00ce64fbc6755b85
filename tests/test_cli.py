"""The command line: what goes wrong with files and folders is one line and exit code 2."""

from __future__ import annotations

import json
import os

import pytest
from example_files import PAIR
from jobs import mpiapp, table, write_job

from mpiapp.cli import main
from mpiapp.files.replacing import check_folder_of, replacing


def refused(capsys, *argv) -> str:
    """The one line that a command which exits with 2 writes."""
    assert main([str(a) for a in argv]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mpiapp: ")
    return line


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(PAIR) + "\n")
    return path


def test_a_folder_that_is_a_file_is_named(tmp_path, capsys, pairs):
    file = tmp_path / "file"
    file.write_text("mine")
    assert str(file) in refused(capsys, "simulate", file)
    assert str(file) in refused(capsys, "import", pairs, file)
    assert file.read_text() == "mine"


def test_files_of_an_earlier_import_that_are_replaced_are_counted(tmp_path, capsys, pairs):
    said = []
    for _ in range(2):
        assert main(["import", str(pairs), str(tmp_path / "out")]) == 0
        said.append(capsys.readouterr().out)
    assert "in place of older ones" not in said[0]
    assert ", 1 of them in place of older ones" in said[1]


def test_a_full_disk_is_named(tmp_path, capsys):
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / f".truth.{os.getpid()}.part.fits").symlink_to("/dev/full")
    line = refused(capsys, "simulate", tmp_path / "sim", "--detections", "1")
    assert line.endswith("sim/truth.fits: No space left on device")
    assert not (tmp_path / "sim" / "truth.fits").exists()


@pytest.mark.parametrize("call", ["export --level obsid", "report"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, capsys, call):
    out, results = tmp_path / "out" / "page.vot", tmp_path / "results.h5"
    mpiapp("run", write_job(tmp_path, text=table(1, 1)))
    assert main([*call.split(), str(results), str(out)]) == 0
    before = out.read_bytes()
    (out.parent / f".page.{os.getpid()}.part.vot").symlink_to("/dev/full")
    capsys.readouterr()
    line = refused(capsys, *call.split(), results, out)
    assert line.endswith("out/page.vot: No space left on device")
    assert (out.read_bytes(), os.listdir(out.parent)) == (before, ["page.vot"])


def test_a_device_is_written_to_and_stays_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with replacing(tmp_path / "fifo") as new:
        new.write_text("a page")
    assert os.read(reader, 10) == b"a page" and (tmp_path / "fifo").is_fifo()
    check_folder_of(tmp_path / "fifo")
    os.close(reader)


def test_a_place_where_nothing_can_be_written_is_named_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for call in ("measure absent.csv", "export absent.h5", "run absent.toml --export"):
        line = refused(capsys, *call.split(), tmp_path / "file" / "new" / "out.vot")
        assert line == f"mpiapp: {tmp_path}/file: Not a directory"


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "n" * 256])
def test_what_cannot_be_the_name_of_results_is_refused_at_once(tmp_path, capsys, name):
    assert "the name of a results file" in refused(capsys, "merge", name, tmp_path)


@pytest.mark.mpi
@pytest.mark.parametrize("shard", [(), ("--shard", "1/2")])
def test_a_job_whose_results_cannot_have_their_name_does_not_begin(tmp_path, shard):
    config = tmp_path / "job.toml"
    config.write_text("[[input]]\nprep3 = 'nowhere'\n[output]\nresults = '..'\n")
    run = mpiapp("run", config, *shard)
    assert run.returncode == 2
    assert "the name of a results file" in run.stderr


def test_a_negative_seed_is_refused(tmp_path, capsys):
    line = refused(capsys, "simulate", tmp_path / "sim", "--seed", "-1")
    assert "seed -1, expected a whole number" in line
    assert not (tmp_path / "sim").exists()


def test_a_command_that_is_none_says_which_was_meant(capsys):
    with pytest.raises(SystemExit) as left:
        main(["measur", "t.csv"])
    assert left.value.code == 2
    assert "no command measur (did you mean measure?)" in capsys.readouterr().err
    assert main([]) == 2
    assert "measure" in capsys.readouterr().err
