"""Prep3 files in use: read once, bounded in memory, matrices only when they are asked for."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from example_files import KINDS, make_bundle, same_bundle, three_bundles, write_example

from mpiapp.catalog.fault import InputError
from mpiapp.files import fitsio, prep3_cache
from mpiapp.files.prep3 import open_prep3
from mpiapp.files.prep3_cache import Prep3Cache


@pytest.fixture
def opened(monkeypatch):
    """How often each path has been opened."""
    times = Counter()

    def counting(path, digest):
        times[path] += 1
        return open_prep3(path, digest=digest)

    monkeypatch.setattr(prep3_cache, "open_prep3", counting)
    return times


def test_targets_of_many_obsids_read_each_file_once(tmp_path, opened):
    data = write_example(tmp_path / "0.fits", [make_bundle("b1", ("r1",))]).read_bytes()
    paths = [str(tmp_path / f"{i}.fits") for i in range(50)]
    for path in paths:
        with open(path, "wb") as file:
            file.write(data)
    cache = Prep3Cache()
    for _ in range(3):
        for path in paths:
            assert cache.get(path).bundles.keys() == {"b1"}
    assert opened == dict.fromkeys(paths, 1)


def test_what_exceeds_the_memory_goes_beginning_with_the_least_recently_used(tmp_path, opened):
    paths = [str(write_example(tmp_path / f"{i}.fits")) for i in range(3)]
    cache = Prep3Cache(limit=2 * open_prep3(paths[0]).nbytes)
    for i in (0, 1, 0, 2, 0, 1):  # 2 displaces 1
        cache.get(paths[i])
    assert [opened[path] for path in paths] == [1, 2, 1]
    assert Prep3Cache(limit=0).get(paths[0]).faults == []


def test_a_file_that_cannot_be_used_is_tried_once(tmp_path, opened):
    path = str(tmp_path / "absent.fits")
    cache = Prep3Cache()
    assert all(isinstance(cache.get(path), InputError) for _ in range(3))
    assert opened == {path: 1}


@pytest.mark.parametrize("small", [0, fitsio.SMALL])
def test_matrices_that_are_asked_for_are_those_of_the_file(tmp_path, monkeypatch, small):
    monkeypatch.setattr(fitsio, "SMALL", small)
    bundles = open_prep3(write_example(tmp_path / "prep3.fits")).bundles
    for bundle in three_bundles():
        assert same_bundle(bundles[bundle.key.bundle], bundle)
    F = bundles["b1"].F
    assert list(F) == KINDS
    assert len(F) == len(KINDS)
    assert ("h", "aper", "cnts") not in F
    with pytest.raises(KeyError):
        F["h", "aper", "cnts"]


def test_of_a_large_file_only_the_matrices_that_are_asked_for_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(fitsio, "SMALL", 0)
    names = tuple(f"r{i}" for i in range(200))
    path = write_example(tmp_path / "prep3.fits", [make_bundle(f"b{i}", names) for i in range(3)])
    matrix_bytes = 201**2 * 8
    assert path.stat().st_size > 3 * len(KINDS) * matrix_bytes
    open_prep3(path)  # what astropy keeps for itself is there
    tracemalloc.start()
    try:
        bundle = open_prep3(path).bundles["b1"]
        F = bundle.F[KINDS[0]]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(F, make_bundle("b1", names).F[KINDS[0]])
    # A chunk of the checksum in two forms; a matrix as bytes, numbers and their checks.
    assert peak < 3 * fitsio._CHUNK + 5 * matrix_bytes < path.stat().st_size / 1.5


def test_a_large_file_that_changes_while_in_use_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(fitsio, "SMALL", 0)
    path = write_example(tmp_path / "prep3.fits")
    F = open_prep3(path).bundles["b1"].F
    write_example(path, [make_bundle("b1", ("r1",), seed=9)])
    with pytest.raises(InputError, match=f"{path}: changed while it was in use"):
        F[KINDS[0]]
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: cannot be read"):
        F[KINDS[0]]
