"""Opening input: regular files only, since a FIFO or a device would never end."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from ..catalog.fault import InputError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"PK\3\4": "zip"}
_COMPRESSED |= {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x9d": "compress"}


def open_regular(path: str | os.PathLike, packed: bool = False) -> BinaryIO:
    """The file, open for reading bytes; with `packed` even if it is compressed.

    Raises
    ------
    InputError
        If it cannot be opened, is no regular file, or is compressed: what a
        small file unpacks to may not fit into any memory.
    """
    try:
        # Opening a FIFO would otherwise wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}); check the path") from error
    try:
        _check(path, fd, packed)
    except BaseException:
        os.close(fd)
        raise
    return os.fdopen(fd, "rb")


def _check(path: str | os.PathLike, fd: int, packed: bool) -> None:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise InputError(f"{path}: cannot be read ({kind}); name a regular file")
    start = os.pread(fd, 8, 0)
    for magic, packer in _COMPRESSED.items():
        if start.startswith(magic) and not packed:
            raise InputError(f"{path}: compressed ({packer}); unpack it first")
