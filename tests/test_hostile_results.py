"""Results files of others: well-formed HDF5 with any values, shown or refused in one line."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import traceback
import warnings

import h5py
import numpy as np
import pytest
from hdf5_damage import damaged, lookup3
from jobs import mpiapp, table, write_job
from results_files import exit_code, in_a_fork

from mpiapp.cli import main
from mpiapp.files.hdf5_tables import create_table
from mpiapp.files.results import ResultsError
from mpiapp.files.schema import TABLES
from mpiapp.files.writer import Writer
from mpiapp.photometry.extras import ASKED

NUMBERS = (-1, 0, 1, 77, 2**62, np.nan, np.inf, -1e300)
FIXED = (b"", b"\xff\xfe", b"x", b"\x1b[2J", b"obsid", b"77")
FREE = ("", "{", "null", "[5]", '{"a": [{}]}', "\x1b[2J", "1e999", "2026-13-45T99:99")
DAMAGED = 1000 if "MPIAPP_SLOW" in os.environ else 40
COLUMNS = [(name, column) for name, (columns, _) in TABLES.items() for column in columns]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small results file with all that may be asked for, and with an input that failed."""
    folder = tmp_path_factory.mktemp("job")
    extras = f"[extras]\nnumbers = {[*ASKED]}\n"
    config = write_job(folder, extra=extras, text=table(1, 1))
    (folder / "prep3" / "broken_prep3.fits").write_text("broken")
    assert mpiapp("run", config).returncode == 4
    return folder / "results.h5"


def spoilt(path, name: str, column, value) -> None:
    """Write one value into a column of a table's first row, or of a row made for it."""
    with h5py.File(path, "r+") as file:
        if name not in file:
            create_table(file, name, 0)
        rows = file[name]
        if not len(rows):
            rows.resize((1,))
        row = rows[0]
        with np.errstate(all="ignore"):
            kind = row.dtype[column.name].base
            row[column.name] = kind.type(value) if kind.kind in "iuf" else value
        rows[0] = row


def commands(path, out) -> list[tuple]:
    return [
        ("show", path, "--rows"),
        ("show", path),
        ("show", path, "--failures"),
        ("timing", path),
        ("compare", path, path),
        ("export", path, out / "e.csv", "--level", "obsid", "--with", "no_source,hdi_lo"),
        ("check", path, "--sample", "0"),
        ("merge", out / "merged.h5", path),
    ]


def check(capsys, *argv) -> str:
    """The command ends with a code of its own, and what it refuses is one line; what it says."""
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    assert code in (0, 2, 3, 4, 5), argv
    if code == 2:
        assert err.startswith("mpiapp: ") and err.count("\n") == 1, err
    return out + err


def values(column) -> list:
    """What the column can hold of the values above."""
    if column.dtype == "text":
        return list(FREE)
    kind = np.dtype(column.dtype).base.kind
    if kind == "S":
        return list(FIXED)
    if kind == "f":
        return list(NUMBERS)
    limits = np.iinfo(column.dtype)
    return [v for v in NUMBERS if isinstance(v, int) and limits.min <= v <= limits.max]


def test_any_value_in_any_column_is_shown_or_refused_in_one_line(tmp_path, finished, capsys):
    """A sample of all pairs of a column and a value, each with one command."""
    rng = random.Random(5)
    path = tmp_path / "spoilt.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy, of infinities
        for name, column in COLUMNS:
            shutil.copy(finished, path)
            spoilt(path, name, column, rng.choice(values(column)))
            check(capsys, *rng.choice(commands(path, tmp_path)))
            (tmp_path / "merged.h5").unlink(missing_ok=True)


COLUMN = {(name, column.name): column for name, column in COLUMNS}


@pytest.mark.parametrize(
    ("name", "column", "value", "command", "said"),
    [
        ("photometry", "outcome", 77, "show", "unknown outcome 77"),
        ("photometry", "target", b"\xff", "show", "/photometry cannot be read"),
        ("photometry", "quantity", b"colour", "export", "column quantity holds b'colour'"),
        ("photometry", "target", b"one", "export", "/photometry, column target"),
        ("jobs", "ranks", "{", "timing", "/jobs, column ranks cannot be read"),
        ("jobs", "ranks", "[5]", "timing", "/jobs, column ranks cannot be read"),
        ("jobs", "config", "null", "export", "/jobs, column config cannot be read"),
    ],
)
def test_a_value_of_no_meaning_is_named(
    tmp_path, finished, capsys, name, column, value, command, said
):
    path = tmp_path / "spoilt.h5"
    shutil.copy(finished, path)
    spoilt(path, name, COLUMN[name, column], value)
    argv = next(c for c in commands(path, tmp_path) if c[0] == command)
    assert said in check(capsys, *argv)


def link_away(file, kind: str, other) -> None:
    """Have /failures lead elsewhere."""
    columns = file["failures"].dtype
    if kind == "soft":
        file["moved"] = file["failures"]
    del file["failures"]
    if kind == "soft":
        file["failures"] = h5py.SoftLink("/moved")
    elif kind == "dangling":
        file["failures"] = h5py.SoftLink("/nowhere")
    elif kind == "external link":
        file["failures"] = h5py.ExternalLink(str(other), "/failures")
    elif kind == "virtual":
        layout = h5py.VirtualLayout((1,), columns)
        layout[:] = h5py.VirtualSource(str(other), "failures", (1,))
        file.create_virtual_dataset("failures", layout)
    else:
        plain = np.dtype([("run_id", "u8"), ("text", "S8")])
        file.create_dataset("failures", (1,), plain, external=[(str(other), 0, plain.itemsize)])


@pytest.mark.parametrize("kind", ["soft", "dangling", "external link", "virtual", "external data"])
def test_a_table_that_leads_elsewhere_is_not_followed(tmp_path, finished, capsys, kind):
    """A link to a FIFO would never end, and one to a private file be copied into a merged one."""
    other = tmp_path / "other"
    os.mkfifo(other)
    path = tmp_path / "spoilt.h5"
    shutil.copy(finished, path)
    with h5py.File(path, "r+") as file:
        link_away(file, kind, other)
    for argv in commands(path, tmp_path):
        assert f"{path}: /failures " in check(capsys, *argv)


def resumed(path, folder) -> None:
    """As a part that a job would go on with, and complete."""
    folder.mkdir()
    shutil.copy(path, folder / "000000.h5")
    with contextlib.suppress(ResultsError):
        Writer(folder, resume=True).publish(folder.with_suffix(".h5"))


def test_the_checksum_of_the_damage_is_that_of_hdf5(finished):
    content = finished.read_bytes()
    assert lookup3(content[:44]) == int.from_bytes(content[44:48], "little")  # the superblock's


def test_a_damaged_file_is_read_or_refused_in_one_line_and_never_read_for_ever(
    tmp_path, finished, capsys
):
    """Each in a process of its own: a crash of HDF5 is one of the command, and counts."""
    rng = random.Random(12)
    content = finished.read_bytes()
    path, out = tmp_path / "spoilt.h5", tmp_path / "out"
    wrong = []
    for case in range(DAMAGED):
        spoilt = damaged(content, rng)
        path.write_bytes(spoilt)
        out.mkdir()
        command = rng.choice([*commands(path, out), None])

        def act(case=case, command=command):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            warnings.simplefilter("ignore")
            try:
                check(capsys, *command) if command else resumed(path, out / "parts")
            except BaseException:
                (tmp_path / f"case{case}").write_text(traceback.format_exc())
                return 1
            return 0

        if code := exit_code(in_a_fork(act)):
            wrong.append((case, code, command and command[0]))
            (tmp_path / f"case{case}.h5").write_bytes(spoilt)
        shutil.rmtree(out)
    assert not wrong
    assert finished.read_bytes() == content
