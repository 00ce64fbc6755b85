"""Writing a results file: one writer at a time, whole at any moment, and nothing overwritten."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest
from astropy.table import Table
from astropy.units import Unit
from file_changes import at_change
from results_files import batch, exit_code, in_a_fork, values

from mpiapp.catalog.quantities import TABLE_1
from mpiapp.files.merge import merge
from mpiapp.files.results import ResultsError, open_results, work_path
from mpiapp.files.schema import TABLES
from mpiapp.files.writer import Writer

CHANGES = [(os, name) for name in ("open", "fsync", "rename", "link")]
CHANGES += [(Path, name) for name in ("mkdir", "unlink", "rmdir", "iterdir")]

IN_FULL = "MPIAPP_SLOW" in os.environ


def job(final, number: int) -> int:
    """A small job as the command line does it; its exit code."""
    try:
        writer = Writer(work_path(final), resume=work_path(final).exists())
        writer.append(batch(1000 * number, 4))
        writer.publish(final)
    except ResultsError:
        return 2
    return 0


def test_of_two_jobs_with_one_output_one_wins_whenever_the_second_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    n_changes, last = 1, 0
    while last < n_changes:
        last = min(last + (1 if IN_FULL else 3), n_changes)
        final = tmp_path / f"{last}.h5"
        codes = []

        def second(final=final, codes=codes):
            codes.append(exit_code(in_a_fork(lambda: job(final, 2))))

        with monkeypatch.context() as patch:
            made = at_change(patch, CHANGES, last, second)
            codes.append(job(final, 1))
        n_changes = max(n_changes, len(made))
        assert sorted(codes) == [0, 2], (made[: last + 1], codes)
        winner = 2 - codes.index(0)
        assert values(final) == batch(1000 * winner, 4).photometry["value"].tolist()
    assert last > 25


def test_every_unit_in_a_file_is_one_that_astropy_reads(tmp_path):
    path = tmp_path / "r.h5"
    one = batch(0, 1, len(TABLE_1))
    one.photometry["unit"] = [quantity.unit.encode() for quantity in TABLE_1.values()]
    writer = Writer(work_path(path))
    writer.append(one)
    writer.publish(path)
    expected = [Unit(quantity.unit, parse_strict="raise") for quantity in TABLE_1.values()]
    with open_results(path) as results:
        found = results.table("photometry")["unit"]
    assert [Unit(unit.decode(), parse_strict="raise") for unit in found] == expected
    for name in TABLES:
        for column in Table.read(path, path=name).itercols():
            assert column.unit is None or Unit(str(column.unit), parse_strict="raise")


def test_a_file_that_appears_while_a_job_runs_is_left_as_it_is(tmp_path):
    final = tmp_path / "r.h5"
    writer = Writer(work_path(final))
    writer.append(batch(0, 1))
    final.write_text("mine")
    with pytest.raises(ResultsError, match=r"r\.h5: has appeared .* move it and continue"):
        writer.publish(final)
    del writer
    assert final.read_text() == "mine"
    final.unlink()
    Writer(work_path(final), resume=True).publish(final)
    assert values(final) == [0, 1]


@pytest.mark.parametrize("how", ["remove", "rename", "replace"])
def test_parts_that_are_taken_away_are_told_at_the_next_commit(tmp_path, how):
    path = tmp_path / "r.h5.parts"
    writer = Writer(path, batch_runs=1)
    writer.append(batch(0, 1))
    if how == "replace":
        shutil.copytree(path, tmp_path / "other")
    shutil.rmtree(path) if how == "remove" else path.rename(tmp_path / "moved")
    if how == "replace":
        (tmp_path / "other").rename(path)
    with pytest.raises(ResultsError, match="has been removed, renamed or replaced"):
        writer.append(batch(1, 1))


def test_who_writes_is_told_to_the_second(tmp_path):
    shard(tmp_path / "a.h5", 0, "", 1, 1)
    other = Writer(work_path(tmp_path / "all.h5"))
    who = f"another job is writing to it .process {os.getpid()} on "

    def second():
        with pytest.raises(ResultsError, match=who):
            merge(tmp_path / "all.h5", [tmp_path / "a.h5"])
        with pytest.raises(ResultsError, match=who):
            Writer(work_path(tmp_path / "all.h5"), resume=True)
        return 0

    assert exit_code(in_a_fork(second)) == 0
    del other  # as a merge that was killed leaves it
    assert merge(tmp_path / "all.h5", [tmp_path / "a.h5"]).n_runs == 1
    assert not work_path(tmp_path / "all.h5").exists()


def shard(path, first: int, shard: str, planned: int, n_runs: int) -> None:
    """Parts of a job that did not end."""
    writer = Writer(work_path(path))
    writer.add("jobs", [(0, f"{path.stem}", *[""] * 2, 0.0, *[""] * 7, shard, planned)])
    writer.append(batch(first, n_runs))
    writer.close()


def test_a_merge_of_merged_files_claims_no_gaps_and_finds_those_there_are(tmp_path):
    for k in range(4):
        shard(tmp_path / f"s{k}.h5", 10 * k, f"{k + 1}/4", 3, 3)
    for pair in (0, 2):
        merged = merge(tmp_path / f"m{pair}.h5", [tmp_path / f"s{pair + i}.h5" for i in (0, 1)])
        assert [gap.split()[1] for gap in merged.gaps] == [f"{3 - pair + i}/4" for i in (0, 1)]
    halves = [work_path(tmp_path / f"m{pair}.h5") for pair in (0, 2)]
    whole = merge(tmp_path / "all.h5", halves)
    assert (whole.gaps, whole.n_runs) == ([], 12)
    assert len(values(tmp_path / "all.h5")) == 24
    shard(tmp_path / "short.h5", 30, "4/4", 3, 2)
    parts = [halves[0], tmp_path / "s2.h5", tmp_path / "short.h5"]
    assert merge(tmp_path / "again.h5", parts).gaps == [f"{tmp_path / 'short.h5'}: 2 of 3 runs"]


def test_a_complete_merge_replaces_what_one_with_gaps_has_left(tmp_path):
    paths = [tmp_path / f"s{k}.h5" for k in range(3)]
    for k in range(2):
        shard(paths[k], 10 * k, f"{k + 1}/3", 3, 3)
    assert merge(tmp_path / "all.h5", paths[:1]).gaps
    assert len(merge(tmp_path / "all.h5", paths[:2]).gaps) == 1
    shard(paths[2], 20, "3/3", 3, 3)
    whole = merge(tmp_path / "all.h5", paths)
    assert (whole.path, whole.gaps, whole.n_runs) == (tmp_path / "all.h5", [], 9)
    assert not work_path(tmp_path / "all.h5").exists()
    assert merge(tmp_path / "all.h5", paths).already


def test_a_merge_keeps_parts_that_a_job_has_gone_on_with(tmp_path):
    paths = [tmp_path / f"s{k}.h5" for k in range(2)]
    for k in range(2):
        shard(paths[k], 10 * k, f"{k + 1}/2", 3, 3)
    work = merge(tmp_path / "all.h5", paths[:1]).path
    writer = Writer(work, resume=True)
    writer.add("jobs", [(1, "later", *[""] * 2, 0.0, *[""] * 7, "", 6)])
    writer.append(batch(10, 1))
    writer.close()
    with pytest.raises(ResultsError, match=r"all\.h5\.parts: exists already, with a job that none"):
        merge(tmp_path / "all.h5", paths)
    assert len(values(tmp_path / "all.h5")) == 8


def test_a_merge_that_finds_no_room_says_what_to_do_and_leaves_nothing(tmp_path, monkeypatch):
    shard(tmp_path / "a.h5", 0, "", 3000, 3000)

    def full():
        limit = 100_000  # bytes of any file
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with pytest.raises(ResultsError, match=r"large; make room and merge again$"):
            merge(tmp_path / "all.h5", [tmp_path / "a.h5"])
        return 0

    assert exit_code(in_a_fork(full)) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5.parts"]
