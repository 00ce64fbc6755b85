"""The time limit of a run: when it breaks a run off, and when it waits."""

from __future__ import annotations

import time
import types

import pytest

from mpiapp.photometry.time_limit import RunTimeLimit, time_limit


def within(seconds, *steps):
    with time_limit(seconds):
        for step in steps:
            step()


def for_ever():
    while True:
        time.sleep(0.01)


def test_a_run_that_takes_too_long_is_broken_off():
    with pytest.raises(RunTimeLimit, match=r"0\.05 s"):
        within(0.05, for_ever)


def test_numba_gets_its_functions_ready_before_a_run_is_broken_off():
    loader = types.ModuleType("numba.core.caching")
    exec("def load():\n    sleep(0.3)\n    done.append(True)", loader.__dict__)
    loader.sleep, loader.done = time.sleep, []
    with pytest.raises(RunTimeLimit):
        within(0.05, loader.load, for_ever)
    assert loader.done
