"""The heaps in which HDF5 keeps text, checked before it reads them.

An entry of no index and no size, as zeros are, keeps HDF5 in a loop that never ends.
"""

from __future__ import annotations

from typing import BinaryIO

# Global heap collection, version 1, of the HDF5 file format: signature, size, then entries.
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = 16
_CHUNK = 16 << 20


def broken_heap(file: BinaryIO) -> int | None:
    """Where a heap begins that HDF5 would read for ever; None if there is none."""
    begin = 0
    while True:
        file.seek(begin)
        data = file.read(_CHUNK + len(_SIGNATURE))
        at = data.find(_SIGNATURE)
        while at >= 0:
            if not _is_sound(file, begin + at):
                return begin + at
            at = data.find(_SIGNATURE, at + 1)
        if len(data) <= _CHUNK:
            return None
        begin += _CHUNK


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
