"""The time limit of a run: when it breaks a block off, and when it waits."""

from __future__ import annotations

import time
import types

import pytest

from mpiapp.photometry.time_limit import RunTimeLimit, time_limit


def test_a_block_that_takes_too_long_is_broken_off():
    with pytest.raises(RunTimeLimit, match=r"0\.05 s"), time_limit(0.05):
        while True:
            time.sleep(0.01)


def test_numba_gets_its_functions_ready_before_a_block_is_broken_off():
    loader = types.ModuleType("numba.core.caching")
    exec("def load(sleep, done):\n    sleep(0.3)\n    done.append(True)", loader.__dict__)
    done = []
    with pytest.raises(RunTimeLimit), time_limit(0.05):
        loader.load(time.sleep, done)
        while True:
            time.sleep(0.01)
    assert done
