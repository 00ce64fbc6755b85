"""Input is read from regular files that are not compressed; anything else is one message."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket

import pytest
from example_files import write_example

from mpiapp.catalog.fault import InputError
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.files.regular import open_regular

READERS = [read_prep3, scan_prep3, read_mst3, lambda path: import_table(path, path / "out")]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("suffix", [".fits", ".csv", ".jsonl", ".vot"])
def test_a_fifo_is_refused_at_once(tmp_path, read, suffix):
    path = tmp_path / f"t{suffix}"
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"^{path}: cannot be read .a FIFO.; name a regular file$"):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_devices_folders_and_sockets_are_refused(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    (tmp_path / "folder.fits").mkdir()
    (tmp_path / "zero.fits").symlink_to("/dev/zero")
    for name, kind in (("folder.fits", "a folder"), ("zero.fits", "a device")):
        with pytest.raises(
            InputError, match=f"{name}: cannot be read .{kind}.; name a regular file$"
        ):
            read(tmp_path / name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.fits")
        with pytest.raises(InputError, match=r"s\.fits: cannot be read"):
            read(tmp_path / "s.fits")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_refused_before_they_are_unpacked(tmp_path, read, pack):
    if read is READERS[-1] and pack is gzip.compress:
        pytest.skip("tables are unpacked, see test_catalog_tables.py")
    path = tmp_path / "t.fits"
    path.write_bytes(pack(write_example(path).read_bytes()))
    with pytest.raises(InputError, match=f"^{path}: compressed .*; unpack it first$"):
        read(path)


def test_a_regular_file_is_read_from_its_beginning_and_links_are_followed(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "b").symlink_to("a")
    with open_regular(tmp_path / "b") as file:
        assert file.read() == b"0123456789"
    with pytest.raises(InputError, match=r"absent: cannot be read .No such file"):
        open_regular(tmp_path / "absent")
    with pytest.raises(InputError, match=r"cannot be read .*null"):
        open_regular("a\0b")
