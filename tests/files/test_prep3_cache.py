"""Obsids in use: their files read once, and memory bounded by what they really take."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from example_files import damage, make_bundle, write_example

from mpiapp.files import prep3_cache
from mpiapp.files.prep3 import read_obsid, read_prep3
from mpiapp.files.prep3_cache import Prep3Cache


@pytest.fixture
def opened(monkeypatch):
    """How often each obsid has been read."""
    times = Counter()

    def counting(files):
        times[files] += 1
        return read_obsid(files)

    monkeypatch.setattr(prep3_cache, "read_obsid", counting)
    return times


def alone(path) -> tuple[tuple[str, str]]:
    return ((str(path), ""),)


def test_targets_of_many_obsids_read_each_file_once(tmp_path, opened):
    data = write_example(tmp_path / "0.fits", [make_bundle("b1", ("r1",))]).read_bytes()
    paths = [tmp_path / f"{i}.fits" for i in range(50)]
    for path in paths:
        path.write_bytes(data)
    cache = Prep3Cache()
    for _ in range(3):
        for path in paths:
            assert cache.get(alone(path)).bundles.keys() == {"b1"}
    assert opened == {alone(path): 1 for path in paths}


def test_what_exceeds_the_memory_goes_beginning_with_the_least_recently_used(tmp_path, opened):
    paths = [write_example(tmp_path / f"{i}.fits") for i in range(3)]
    cache = Prep3Cache(limit=2 * read_prep3(paths[0]).nbytes)
    for i in (0, 1, 0, 2, 0, 1):  # 2 displaces 1
        cache.get(alone(paths[i]))
    assert [opened[alone(path)] for path in paths] == [1, 2, 1]
    assert Prep3Cache(limit=0).get(alone(paths[0])).faults == []


def crowded(i):
    return [make_bundle(f"b{k}", tuple(f"r{k}_{j}" for j in range(8)), seed=i) for k in range(40)]


def singles(i):
    return [make_bundle(f"b{k}", (f"r{k}",), seed=i) for k in range(300)]


@pytest.mark.parametrize("bundles", [crowded, singles])
def test_the_memory_of_a_rank_stays_under_its_limit(tmp_path, bundles):
    """What Python and numpy hold for the files is what is counted, to a tenth."""
    n_files, n_held = 8, 4
    paths = [write_example(tmp_path / f"{i}.fits", bundles(i)) for i in range(n_files)]
    read_prep3(paths[0])  # what astropy and the caches of names keep for themselves is there
    one = read_prep3(paths[0]).nbytes
    cache = Prep3Cache(limit=n_held * one)
    tracemalloc.start()
    try:
        for path in paths:
            held = cache.get(alone(path))
            held.arrays(len(next(iter(held.bundles.values())).components))
        del held
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert n_held * 0.9 * one < cache.nbytes <= cache.limit
    assert 0.5 * cache.nbytes < taken < 1.1 * cache.nbytes


def test_faults_that_are_held_are_counted(tmp_path):
    def spoil(hdus):
        hdus["PSF_CNTS"].data["F"][:] = -1.0

    path = write_example(tmp_path / "prep3.fits", singles(0))
    sound = read_prep3(path)
    damage(path, spoil)
    spoiled = read_prep3(path)
    assert len(spoiled.faults) == 1200
    assert spoiled.nbytes > sound.nbytes + sum(len(f.message) for f in spoiled.faults)
    assert np.all([len(bundle.F) == 4 for bundle in spoiled.bundles.values()])
