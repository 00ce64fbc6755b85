"""`mpiapp check`: what is right passes; a changed number, input or work list is named."""

from __future__ import annotations

import shutil

import h5py
import pytest
from jobs import TABLE, mpiapp

from mpiapp.cli import main
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import write_mst3

# Stack A has two obsids, and a pair of sources; stack B has one obsid, and so has its master.
COUNTS = {("A", 1, "r1", "x1"): 30, ("A", 2, "r1", "x1"): 35, ("B", 3, "r1", "x1"): 12}


def write_input(folder, counts=COUNTS) -> None:
    rows = [
        f"{obsid},{stack},{component},ACIS,{band},aper,{n},{90 + obsid},0.9,0.05,20,400,10000"
        for (stack, obsid, component, _), n in counts.items()
        for band in "bh"
    ]
    folder.mkdir(exist_ok=True)
    (folder / "table.csv").write_text(TABLE + "\n".join(rows) + "\n")
    import_table(folder / "table.csv", folder / "prep3")
    write_mst3(
        folder / "mst3.fits",
        [("both", "u", "A", "r1"), ("one", "u", "B", "r1")],
        [("both", 1, "A", "1", 1e4), ("both", 2, "A", "2", 2e4), ("one", 1, "B", "3", 1e4)],
    )


def write_config(folder, engine, name="results.h5"):
    config = folder / f"{engine}.toml"
    config.write_text(
        f"seed = 7\n[[input]]\nprep3 = '{folder / 'prep3'}'\nmst3 = '{folder / 'mst3.fits'}'\n"
        f"[output]\nresults = '{folder / name}'\n[engine]\nname = '{engine}'\n"
    )
    return config


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of finished jobs of both engines."""
    folder = tmp_path_factory.mktemp("check") / "job"
    write_input(folder)
    for engine in ("exact", "gibbs"):
        assert mpiapp("run", write_config(folder, engine, f"{engine}.h5")).returncode == 0
    return folder


@pytest.fixture
def job(done, tmp_path):
    """A copy of the results, whose inputs are where they were."""

    def copy(engine="exact"):
        return shutil.copy(done / f"{engine}.h5", tmp_path / "results.h5")

    return copy


def spoil(path, where, **changes) -> None:
    """Change columns of the first row of /photometry that has certain values."""
    with h5py.File(path, "r+") as file:
        rows = file["photometry"][:]
        i = next(i for i, row in enumerate(rows) if all(row[n] == v for n, v in where.items()))
        for name, change in changes.items():
            rows[name][i] = change(rows[name][i])
        file["photometry"][i] = rows[i]


@pytest.mark.parametrize("engine", ["exact", "gibbs"])
def test_results_of_their_inputs_pass(job, engine, capsys):
    assert main(["check", str(job(engine)), "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Obsids 3, stacks 2, averages 2 and blocks 3, in two bands, of rates and net counts
    assert lines[0] == "40 runs, 40 rows: as they should be"
    assert lines[1] == "3 inputs: as they should be"
    # obsid 3 is stack B, the average and the block of `one`; 1 and 2 are blocks of `both`;
    # stack A is its average
    assert lines[3].startswith(f"{(3 + 1 + 1 + 1) * 4} pairs")
    assert lines[4] == "40 rows of 40 runs measured again: as they should be"


@pytest.mark.parametrize(("engine", "change"), [("exact", 1e-5), ("gibbs", 1.0)])
def test_a_number_that_is_another_one_is_named(job, engine, change, capsys):
    path = job(engine)
    where = {"level": b"stack", "target": b"A/r1", "band": b"b", "quantity": b"rate"}
    spoil(path, where, hilim=lambda v: v * (1 + change))
    assert main(["check", str(path), "--all"]) == 5
    out = capsys.readouterr().out
    # once beside its twin, the average of `both`, and once measured again
    assert "stack A/r1 b aper rate r1: hilim" in out
    assert out.count("stack A/r1") == 2 and out.count("1 wrong") == 2


def test_a_sample_is_of_so_many_runs(job, capsys):
    assert main(["check", str(job()), "--sample", "7"]) == 0
    assert "7 rows of 7 runs measured again" in capsys.readouterr().out


def test_numbers_that_no_outcome_has_are_named_without_measuring(job, capsys):
    path = job()
    spoil(path, {"outcome": 0}, lolim=lambda v: -v)
    assert main(["check", str(path), "--sample", "0"]) == 5
    out = capsys.readouterr().out
    assert "40 runs, 40 rows: 1 wrong\n  row 0: measured, but value" in out
    assert "measured again" not in out


def test_inputs_are_found_where_they_have_been_moved_to(done, job, tmp_path, capsys):
    path = job()
    shutil.copytree(done, tmp_path / "moved" / "job")
    (done / "prep3").rename(done / "away")
    try:
        assert main(["check", str(path)]) == 2
        assert "--inputs" in capsys.readouterr().err
        assert main(["check", str(path), "--inputs", str(tmp_path / "moved")]) == 0
        assert main(["check", str(path), "--inputs", str(tmp_path / "moved" / "job")]) == 0
        assert main(["check", str(path), "--inputs", str(tmp_path)]) == 2
    finally:
        (done / "away").rename(done / "prep3")


def test_another_input_and_what_follows_from_it_is_told(job, tmp_path, capsys):
    counts = COUNTS | {("B", 3, "r1", "x1"): 13, ("B", 4, "r1", "x1"): 10}
    write_input(tmp_path / "job", counts)
    assert main(["check", str(job()), "--inputs", str(tmp_path), "--all"]) == 5
    out = capsys.readouterr().out
    assert "3 inputs: 2 wrong" in out
    assert out.count("is another file than the one that was measured") == 1
    assert "was not there when the runs were measured" in out
    assert "4 runs of the work list have not been measured" in out  # obsid 4
    assert "obsid B/3/r1 b aper cnts r1: mode" in out


def test_an_engine_that_the_file_names_is_never_loaded(job, capsys):
    path = job()
    with h5py.File(path, "r+") as file:
        row = file["jobs"][0]
        row["config"] = row["config"].replace(b'"name":"exact"', b'"name":"no:Eg"')
        file["jobs"][0] = row
    assert main(["check", str(path)]) == 0
    assert "40 rows of 40 runs measured again: as they should be" in capsys.readouterr().out
