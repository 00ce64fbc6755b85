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


@pytest.mark.parametrize("version", [0, 2, 3])
def test_what_lies_beyond_the_end_of_the_file_by_its_own_word_is_no_heap_of_it(tmp_path, version):
    path, libver = tmp_path / "x.h5", {0: "earliest", 2: ("v108", "v108"), 3: "latest"}[version]
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("a", data=["text"], dtype=h5py.string_dtype())
    content = path.read_bytes()
    assert content[8] == version
    left = b"GCOL\x01\0\0\0" + (4096).to_bytes(8, "little") + bytes(4080)
    assert broken_heap(io.BytesIO(content + left)) is None
    path.write_bytes(content + left)
    with h5py.File(path) as file:
        assert file["a"][0] == b"text"
    begin = content.rfind(b"GCOL")
    spoiled = content[: begin + 16] + bytes(len(content) - begin - 16)
    assert broken_heap(io.BytesIO(spoiled + left)) == begin
