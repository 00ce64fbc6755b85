"""Writing a results file: one writer at a time, whole at any moment, and nothing overwritten."""

from __future__ import annotations

import os
import random
import time

import numpy as np
import pytest

from mpiapp.files.results import ResultsError, Writer, open_results, work_path
from mpiapp.files.schema import PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch


def batch(first: int, n_runs: int, rows_each: int = 2) -> Batch:
    """Runs `first` to `first + n_runs`, each with rows that tell whose they are."""
    runs = np.zeros(n_runs, RUNS_DTYPE)
    runs["run_id"] = np.arange(first, first + n_runs)
    runs["n_rows"] = rows_each
    rows = np.zeros(n_runs * rows_each, PHOTOMETRY_DTYPE)
    rows["run_id"] = np.repeat(runs["run_id"], rows_each)
    rows["value"] = np.arange(len(rows)) + rows_each * first
    return Batch(rows, runs, [], [])


def values(path) -> list[float]:
    with open_results(path) as results:
        return results.table("photometry")["value"].tolist()


def in_a_fork(act) -> int:
    """The process id of a fork of this process that does `act` and exits with what it returns."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = act()
        finally:
            os._exit(code)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


CHANGES = ("fsync", "pwrite", "ftruncate", "replace", "rename", "link", "unlink")


def at_change(monkeypatch, last: int, act) -> list[str]:
    """Have `act` called before change number `last` that is made to files; returns all changes."""
    made: list[str] = []

    def hooked(name, call):
        def hook(*args, **kwargs):
            made.append(name)
            if len(made) == last:
                act()
            return call(*args, **kwargs)

        return hook

    for name in CHANGES:
        monkeypatch.setattr(os, name, hooked(name, getattr(os, name)))
    return made


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
    n_changes, last = 1, 0
    while last < n_changes:
        last += 1
        final = tmp_path / f"{last}.h5"
        codes = []

        def second(final=final, codes=codes):
            codes.append(exit_code(in_a_fork(lambda: job(final, 2))))

        with monkeypatch.context() as patch:
            made = at_change(patch, last, second)
            codes.append(job(final, 1))
        n_changes = max(n_changes, len(made))
        assert sorted(codes) == [0, 2], (made[: last + 1], codes)
        winner = 2 - codes.index(0)
        assert values(final) == batch(1000 * winner, 4).photometry["value"].tolist()
    assert last > 30


@pytest.mark.slow
def test_of_two_jobs_that_start_together_one_wins(tmp_path, monkeypatch):
    rng = random.Random(3)
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (time.sleep(0.005), fsync(fd)))
    for k in range(100):
        final = tmp_path / f"{k}.h5"

        def late(number, delay, final=final):
            time.sleep(delay)
            return job(final, number)

        delays = [rng.uniform(0, 0.02), rng.uniform(0, 0.02)]
        children = [in_a_fork(lambda i=i, d=d: late(i, d)) for i, d in enumerate(delays)]
        codes = [exit_code(child) for child in children]
        assert sorted(codes) == [0, 2], (k, delays)
        winner = codes.index(0)
        assert values(final) == batch(1000 * winner, 4).photometry["value"].tolist()
