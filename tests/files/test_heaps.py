"""Text heaps that HDF5 would read for ever are found before it does."""

from __future__ import annotations

import io

import h5py
import pytest

from mpiapp.files.heaps import broken_heap


@pytest.fixture
def content(tmp_path):
    """A file with two heaps of text."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name in "ab":
            file.create_dataset(name, data=["long text " * 9] * 60, dtype=h5py.string_dtype())
    return path.read_bytes()


def test_sound_heaps_are_passed(content):
    assert content.count(b"GCOL") >= 2
    assert broken_heap(io.BytesIO(content)) is None


def test_zeros_in_any_heap_are_found(content):
    begin = content.rfind(b"GCOL")
    size = int.from_bytes(content[begin + 8 : begin + 16], "little")
    # a whole number of pages is missing, as where a file has been cut and written beyond
    spoiled = content[: begin + 512] + bytes(size - 512) + content[begin + size :]
    assert broken_heap(io.BytesIO(spoiled)) == begin
