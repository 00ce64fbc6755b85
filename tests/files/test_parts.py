"""The parts of a job: whole at any moment, whichever call was the last or failed.

A kill is tried at every change that a job makes to its files, and each of them fails once.  What a
loss of power can take is what was not synced, so the order of syncs and names is checked instead.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from file_changes import at_change
from results_files import N_RUNS, batch, exit_code, in_a_fork, small_chunks, steps, values

from mpiapp.files.merge import merge
from mpiapp.files.results import ResultsError, open_results, work_path
from mpiapp.files.writer import Writer

CHANGES = [(os, name) for name in ("open", "pwrite", "ftruncate", "fsync", "rename", "link")]
CHANGES += [(Path, name) for name in ("mkdir", "unlink", "rmdir")]
# Every change is tried with MPIAPP_SLOW, else a sample.
STEP = 1 if "MPIAPP_SLOW" in os.environ else 7
WHOLE = [row for run in range(N_RUNS) for row in batch(run, 1).photometry["value"].tolist()]


def check(final: Path, n_told: int) -> None:
    """What was told safe is there, once, and a job that goes on ends with all rows."""
    if final.exists() or work_path(final).exists():
        found = values(final)
        assert found == WHOLE[: len(found)] and len(found) >= 2 * n_told
    else:
        assert not n_told
    if not final.exists():
        steps(final)
    assert values(final) == WHOLE
    with open_results(final) as results:
        assert len(results.table("attempts")) == 2 * N_RUNS
        assert results.table("failures")["run_id"].tolist() == list(range(N_RUNS))


def n_told(path: Path) -> int:
    return int([0, *path.read_text().split()][-1])


@pytest.mark.parametrize("chunks", [2, 1024])
@pytest.mark.parametrize("end", ["kill", "fail"])
def test_a_job_that_ends_at_any_change_of_its_files_is_resumed_with_equal_rows(
    tmp_path, monkeypatch, end, chunks
):
    """With chunks of two runs most rows are copied in chunks."""
    small_chunks(monkeypatch, chunks)
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    last, codes = 0, []
    while not codes or codes[-1]:
        last += STEP
        folder = tmp_path / str(last)
        folder.mkdir()
        final, told = folder / "r.h5", folder / "told"

        def act():
            if end == "kill":
                os._exit(1)
            raise OSError(errno.EIO, "broken")

        def job(final=final, told=told, act=act, last=last):
            with open(told, "w") as file:
                at_change(monkeypatch, CHANGES, last, act)
                try:
                    steps(final, lambda n: print(n, file=file, flush=True))
                except (ResultsError, OSError):
                    return 1
            return 0

        codes.append(exit_code(in_a_fork(job)))
        assert codes[-1] in (0, 1)
        check(final, n_told(told))
        left = {path.name for path in folder.iterdir()} - {"told", "r.h5"}
        assert left <= {"r.h5.parts"}
        shutil.rmtree(folder)
    assert last > 60


def test_whatever_gets_a_name_is_on_the_disk_before_and_its_name_before_it_is_told(
    tmp_path, monkeypatch
):
    synced: dict[int, int] = {}  # size of each file at its last sync, by inode
    folders: set[Path] = set()  # with names that are not synced
    real = {name: getattr(os, name) for name in ("fsync", "rename", "link")}
    named = []

    def fsync(fd):
        found = os.fstat(fd)
        synced[found.st_ino] = found.st_size
        folders.difference_update([f for f in folders if os.path.samestat(os.stat(f), found)])

    def naming(kind):
        def name(source, target):
            found = os.stat(source)
            assert synced.get(found.st_ino) == found.st_size, source
            real[kind](source, target)
            named.append(Path(target).name)
            folders.add(Path(target).parent)

        return name

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", naming("rename"))
    monkeypatch.setattr(os, "link", naming("link"))

    def told(n):
        assert not folders

    steps(tmp_path / "r.h5", told)
    assert named == [f"{k:06}.h5" for k in range(4)] + ["r.h5"]


def test_a_job_is_read_while_it_writes_and_every_time_a_commit_of_it_is_seen(tmp_path):
    final = tmp_path / "r.h5"
    was_told, tell = os.pipe()  # however slow the reader is, it sees ten of the hundred commits

    def job():
        os.close(tell)
        writer = Writer(work_path(final), batch_runs=40)
        for first in range(0, 4000, 40):
            writer.append(batch(first, 40))
            if first % 400 == 0:
                os.read(was_told, 1)
        writer.publish(final)
        return 0

    child = in_a_fork(job)
    seen, refusals = set(), set()
    while len(seen) < 2 or max(seen) < 4000:
        try:
            found = values(final)
        except ResultsError as error:  # before it begins, or just as it ends
            refusals.add(str(error).removeprefix(str(final)))
            time.sleep(0.001)
            continue
        assert sorted(found) == list(range(len(found))) and len(found) % 80 == 0
        if len(found) and len(found) // 2 not in seen:
            os.write(tell, b".")
        seen.add(len(found) // 2)
    assert exit_code(child) == 0
    assert len(seen) >= 10
    before, after = ("No such file", "without results"), "read it again"
    assert not [text for text in refusals if not any(w in text for w in (*before, after))]


def test_parts_are_read_as_the_file_that_they_become(tmp_path):
    work = work_path(tmp_path / "r.h5")
    writer = Writer(work, batch_runs=500)
    for first in range(0, 3000, 300):
        writer.append(batch(first, 300))
    writer.close()
    found = []
    for path in (work, tmp_path / "r.h5"):
        with open_results(path) as results:
            tables = [results.table(n) for n in ("runs", "photometry", "mpdf")]
            places = results.mpdf_rows()
            assert len(results) == results.n_rows("runs") == len(tables[0]) == 3000
            assert (results.rows("photometry", 995, 2105) == tables[1][995:2105]).all()
            some = places[[7, 2500, 3, 999]]
            assert (results.at("photometry", some) == tables[1][some]).all()
            pieces = list(results.chunks("runs", 700, ["run_id"]))
            assert sum(map(len, pieces)) == 3000 and max(map(len, pieces)) <= 700
            found.append([np.sort(t, order=t.dtype.names[0]).tobytes() for t in tables[:1]])
            found[-1].append(np.sort(tables[1]["value"]).tobytes())
            assert (tables[1]["run_id"][places] == tables[2]["run_id"]).all()
        if path == work:
            Writer(work, resume=True).publish(tmp_path / "r.h5")
    assert found[0] == found[1]


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ResultsError, match="a folder without results"), open_results(tmp_path):
        pass


def test_commits_grow_rarer_as_a_job_goes_on(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    writer = Writer(tmp_path / "r.h5.parts")
    day = 86_400
    while now[0] < 3 * day:
        now[0] += 60.0
        writer.append(batch(int(now[0]), 1))
    n_parts = len(list((tmp_path / "r.h5.parts").glob("*.h5")))
    # one in 60 s for 12,000 s, one in t / 200 from then on: 200 + 200 ln(259,200 / 12,000)
    assert 500 < n_parts < 850


def test_a_name_that_was_planted_where_a_part_is_written_harms_no_other_file(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    work = work_path(tmp_path / "r.h5")
    work.mkdir()
    for name in ("part.new", "whole.new"):
        (work / name).symlink_to(victim)
    writer = Writer(work, resume=True)
    writer.append(batch(0, 1))
    writer.publish(tmp_path / "r.h5")
    assert victim.read_text() == "mine"
    assert values(tmp_path / "r.h5") == [0, 1]


def test_a_merge_that_is_killed_at_any_change_is_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    shards = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for number, path in enumerate(shards, 1):
        writer = Writer(work_path(path))
        writer.add("jobs", [(0, path.name, *[""] * 2, 0.0, *[""] * 7, f"{number}/2", 3)])
        writer.append(batch(10 * number, 3))
        writer.publish(path)
    contents = [path.read_bytes() for path in shards]
    expected = [v for k in (1, 2) for v in batch(10 * k, 3).photometry["value"]]
    code, last = 1, 0
    while code:
        last += 3 * STEP
        out = tmp_path / str(last) / "all.h5"

        def job(out=out, last=last):
            at_change(monkeypatch, CHANGES, last, lambda: os._exit(1))
            merge(out, shards)
            return 0

        code = exit_code(in_a_fork(job))
        assert merge(out, shards).n_runs == 6
        assert values(out) == expected
        assert not work_path(out).exists()
    assert last > 20
    assert [path.read_bytes() for path in shards] == contents
