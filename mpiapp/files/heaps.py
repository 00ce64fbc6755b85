"""The heaps in which HDF5 keeps text, checked before it reads them.

An entry of no index and no size, as zeros are, keeps HDF5 in a loop that never ends.
"""

from __future__ import annotations

import os
from typing import BinaryIO

# Global heap collection, version 1, of the HDF5 file format: signature, size, then entries.
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = 16
_CHUNK = 16 << 20


# Of a superblock's first bytes: signature, and by its version where the end of the file stands.
_FORMAT = b"\x89HDF\r\n\x1a\n"
_END = {0: 40, 1: 44, 2: 28, 3: 28}


def broken_heap(file: BinaryIO) -> int | None:
    """Where a heap begins that HDF5 would read for ever; None if there is none.

    What lies beyond the end that the file itself tells, as pages of a commit that has not been,
    HDF5 never reads.
    """
    begin, end = 0, _end(file)
    while True:
        file.seek(begin)
        data = file.read(min(_CHUNK + len(_SIGNATURE), max(0, end - begin)))
        at = data.find(_SIGNATURE)
        while at >= 0:
            if not _is_sound(file, begin + at):
                return begin + at
            at = data.find(_SIGNATURE, at + 1)
        if len(data) <= _CHUNK:
            return None
        begin += _CHUNK


def _end(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(52)
    if not head.startswith(_FORMAT) or head[8] not in _END:
        return file.seek(0, os.SEEK_END)
    return int.from_bytes(head[(at := _END[head[8]]) : at + 8], "little")


def _is_sound(file: BinaryIO, begin: int) -> bool:
    file.seek(begin + len(_SIGNATURE))
    size = int.from_bytes(file.read(8), "little")
    if size > _CHUNK:  # HDF5 sees by itself that it does not fit into the file
        return True
    file.seek(begin)
    heap = file.read(size)
    at = _HEADER
    while at + _HEADER <= len(heap):
        index = int.from_bytes(heap[at : at + 2], "little")
        n = int.from_bytes(heap[at + 8 : at + 16], "little")
        need = _HEADER + n + -n % 8 if index else n
        if need == 0:
            return False
        at += need
    return True
