"""The simulation of the scheduler, against what must come out where that is known."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from benchmarks import scheduler
from benchmarks.scheduler import Costs, Sent, stream

from mpiapp.files.schema import CHUNK_ROWS

FREE = Costs(*[0.0] * len(Costs._fields))


@pytest.fixture(autouse=True)
def _awake(monkeypatch):
    """Rank 0 never sleeps, so that times are what the parts say."""
    monkeypatch.setattr(scheduler, "BACKOFF", 0.0)


def sent(seconds, runs=100, files=(), columns=()):
    return Sent(float(seconds), runs, 1, frozenset(files), frozenset(columns))


def greedy(seconds, n_workers):
    """When the last is done if each goes to the worker that is free first (Graham 1966)."""
    free = [0.0] * n_workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


@pytest.mark.parametrize("n_workers", [1, 3, 40])
def test_with_a_rank_0_that_costs_nothing_workers_take_turns(n_workers):
    seconds = np.sort(np.random.default_rng(3).exponential(1.0, 200))[::-1]
    passed = stream(map(sent, seconds), n_workers, FREE, 1000)
    assert passed.seconds == pytest.approx(greedy(seconds, n_workers))
    assert passed.workers == pytest.approx(seconds.sum())
    assert passed.rank0 == 0.0


@pytest.mark.parametrize(("runs", "loose"), [(100, 100), (2 * CHUNK_ROWS + 52, 52)])
def test_with_workers_that_take_no_time_rank_0_is_the_limit(runs, loose):
    costs = FREE._replace(
        message=1e-3, make=2e-3, unpack=1e-6, unpack_loose=1e-5, row=2e-6, row_loose=3e-5,
        byte=1e-6, run_bytes=4.0, flush=7e-3,
    )  # fmt: skip
    n = 500
    passed = stream([sent(0.0, runs)] * n, 64, costs, 10 * runs)
    rows = loose * (1e-5 + 3e-5) + (runs - loose) * (1e-6 + 2e-6)
    expected = n * (2e-3 + 2 * 1e-3 + 4e-6 * runs + rows) + n / 10 * 7e-3
    assert passed.rank0 == pytest.approx(expected)
    assert passed.seconds == pytest.approx(expected)


def test_rank_0_hands_on_while_the_disk_is_at_work():
    costs = FREE._replace(sync=1.0)
    passed = stream([sent(1.0, 1000)] * 20, 1, costs, 1000)
    # The next payload has been made before: only the last rows are waited for.
    assert passed.seconds == pytest.approx(21.0)
    # Three workers bring three flushes in the time of one, which wait for each other.
    assert stream([sent(1.0, 1000)] * 21, 3, costs, 1000).seconds == pytest.approx(22.0)


def test_a_look_at_all_that_is_under_way_costs_its_number():
    costs = FREE._replace(future=1e-3)
    passed = stream([sent(1.0)] * 30, 1, costs, 1000)
    # One comes home each time: two are under way but at the last.
    assert passed.rank0 == pytest.approx((29 * 2 + 1) * 1e-3)


def test_a_worker_reads_what_it_has_not_and_compiles_once():
    costs = FREE._replace(read=10.0)
    parcels = [sent(1.0, files="ab"), sent(1.0, files="bc"), sent(1.0, files="bc")]
    assert stream(parcels, 1, costs, 1000).workers == pytest.approx(3.0 + 30.0)
    parcels = [sent(1.0, columns=(2, 3)), sent(1.0, columns=(2,)), sent(1.0, columns=(4,))]
    assert stream(parcels, 1, FREE, 1000, compiling=10.0).workers == pytest.approx(3.0 + 30.0)
    assert stream(parcels, 1, FREE, 1000).workers == pytest.approx(3.0)
