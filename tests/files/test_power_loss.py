"""A loss of power at any moment: whatever the disk then holds, nothing told safe is lost.

Every change that a job makes to its files is recorded; after each one every loss and many
reorderings of what was not synced are made, opened and resumed.  A kill is the state in which
nothing is lost.  The suite tries a sample; with MPIAPP_SLOW all, and 25 after each kill.
"""

from __future__ import annotations

import os
import random
import shutil

import pytest
from disks import Change, Disk, recorded, states
from results_files import N_RUNS, batch, small_chunks, steps, values

from mpiapp.files.merge import merge
from mpiapp.files.results import open_results, work_path
from mpiapp.files.writer import Writer

pytestmark = pytest.mark.slow

IN_FULL = "MPIAPP_SLOW" in os.environ
SAMPLE = 60
RESUMED = 16 if IN_FULL else 4  # one of so many states is resumed, all are opened

WHOLE = [row for run in range(N_RUNS) for row in batch(run, 1).photometry["value"].tolist()]


@pytest.fixture
def rng():
    return random.Random(4)


def recorded_job(monkeypatch, folder, disk: Disk, act=None) -> list[Change]:
    """What a job, or what is left of it, does to a disk."""
    numbers = disk.write_to(folder)
    with recorded(monkeypatch, folder, numbers) as changes:
        if act:
            act(folder)
        else:
            steps(folder / "r.h5", lambda n: changes.append(Change("told", at=n)))
    shutil.rmtree(folder)
    return changes


def check(disk: Disk, n_told: int, folder, monkeypatch, resume: bool) -> None:
    """What was told safe is there, once; the job, if it goes on, ends with all rows."""
    disk.write_to(folder)
    final = folder / "r.h5"
    work = work_path(final)
    found = final if final.exists() else work if work.exists() else None
    n = len(values(found)) if found else 0
    assert n % 2 == 0 and n >= 2 * n_told
    assert not found or values(found) == WHOLE[:n]
    if final.exists():
        assert n == len(WHOLE)
        assert not work.exists() or work.samefile(final)
    elif resume:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda fd: None)
            steps(final)
        assert values(final) == WHOLE
        with open_results(final) as results:
            assert len(results.table("attempts")) == 2 * N_RUNS
            assert results.table("failures")["run_id"].tolist() == list(range(N_RUNS))
        # Without pages the journal of an earlier name means nothing.
        assert {path.name for path in folder.iterdir()} - {"r.h5.part.new.journal"} == {"r.h5"}
    shutil.rmtree(folder)


def sample(found, rng) -> list:
    """All of what was found, or some."""
    found = list(found)
    return found if IN_FULL else rng.sample(found, min(len(found), SAMPLE))


@pytest.mark.parametrize("in_blocks", [False, True])
def test_a_job_that_loses_its_power_anywhere_is_resumed_and_has_equal_rows(
    tmp_path, monkeypatch, rng, capsys, in_blocks
):
    if in_blocks:
        small_chunks(monkeypatch, 2)
    changes = recorded_job(monkeypatch, tmp_path / "job", Disk())
    found = list(states(Disk(), changes, rng))
    tried = sample(found, rng)
    for k, (disk, n_told) in enumerate(tried):
        check(disk, n_told, tmp_path / str(k), monkeypatch, resume=k % RESUMED == 0)
    with capsys.disabled():
        print(f"\n{len(changes)} changes, {len(tried)} of {len(found)} states")
    assert len(found) > 500


def test_a_resumed_job_that_loses_its_power_anywhere_is_resumed_and_has_equal_rows(
    tmp_path, monkeypatch, rng, capsys
):
    """Killed first, which loses nothing of what is written but syncs nothing either."""
    changes = recorded_job(monkeypatch, tmp_path / "job", Disk())
    kills = [i for i, change in enumerate(changes) if change.kind != "told"]
    n_tried = 0
    for kill in kills if IN_FULL else rng.sample(kills, 4):
        disk = Disk()
        for change in changes[:kill]:
            disk.apply(change)
        if "r.h5" in disk.names:
            continue
        told = [c for c in changes[:kill] if c.kind == "told"]
        resumed = recorded_job(monkeypatch, tmp_path / "job", disk)
        resumed = [c for c in resumed if c.kind != "told" or c.at or not told]
        found = list(states(Disk(), changes[:kill] + resumed, rng, first=kill + 1))
        for disk, n_told in rng.sample(found, min(len(found), 25 if IN_FULL else 6)):
            check(disk, n_told, tmp_path / "state", monkeypatch, resume=n_tried % RESUMED == 0)
            n_tried += 1
    with capsys.disabled():
        print(f"\n{n_tried} states after {len(kills)} kills")


def shard(path, first: int) -> None:
    writer = Writer(path)
    writer.add("jobs", [(0, *[""] * 3, 0.0, *[""] * 7, "", 3)])
    writer.append(batch(first, 3))
    writer.close()


def test_a_merge_that_loses_its_power_anywhere_is_done_again(tmp_path, monkeypatch, rng, capsys):
    disk = Disk()
    for number in (1, 2):
        path = tmp_path / f"s{number}.h5"
        shard(path, 10 * number)
        disk.names[path.name] = number
        disk.files[number] = bytearray(path.read_bytes())

    def merged(folder):
        merge(folder / "all.h5", [folder / "s1.h5", folder / "s2.h5"])

    changes = recorded_job(monkeypatch, tmp_path / "job", disk, merged)
    found = list(states(disk, changes, rng))
    tried = sample(found, rng)
    expected = [v for first in (10, 20) for v in batch(first, 3).photometry["value"]]
    for k, (state, _) in enumerate(tried):
        folder = tmp_path / str(k)
        state.write_to(folder)
        if k % RESUMED == 0:
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", lambda fd: None)
                merged(folder)
        if k % RESUMED == 0 or (folder / "all.h5").exists():
            assert values(folder / "all.h5") == expected
        assert (folder / "s1.h5").read_bytes() == disk.files[1]
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{len(changes)} changes, {len(tried)} of {len(found)} states")
