"""A file that moves from one committed state to the next as a whole, whenever it is killed.

HDF5 overwrites its own index while it flushes, so that a process that dies in
the middle of a flush can leave a file that no longer opens.  Here what HDF5
writes stays in memory until `commit`, which brings it to the disk so:

1. pages beyond the end of the committed file are written in place;
2. pages that replace committed ones go into `<file>.journal`, with a checksum;
3. the same pages are written in place, and the journal is reduced to its header.

A journal with the right checksum is the newest state, and opening the file
finishes step 3; any other journal was never committed and counts for nothing.
Each step is on the disk before the next begins, names in their folder included.

A writer takes a lock before it changes anything.  The lock belongs to the file and
not to its name, so it holds while the file is renamed; who gets it looks whether the
name still means the same file.

Every change of the journal has another number in its header, so that a reader of a
file that a job still writes knows whether its copy is of one state (`snapshot`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import shutil
import stat
import struct
import tempfile
import time
import zlib
from pathlib import Path
from typing import BinaryIO

PAGE = 4096
# magic, serial number, number of pages, size of the file; then the CRC-32 of these and the pages
_HEADER = struct.Struct("<8sQQQ")
_CHECKSUM = struct.Struct("<I")
_HEADER_BYTES = _HEADER.size + _CHECKSUM.size
_MAGIC = b"mpiappJ3"


class JournaledFile(io.RawIOBase):
    """A binary file for h5py's driver for file objects.

    Parameters
    ----------
    path : path
        An existing file; it may be empty.
    writable : bool
        A writer holds a lock on the file and finishes an interrupted commit.  A
        reader changes nothing and sees the newest committed state.
    new : bool
        A writer begins with an empty file, whatever there was.

    Raises
    ------
    OSError
        If the file cannot be opened, or BlockingIOError if another process
        writes to it.
    """

    def __init__(self, path: str | Path, *, writable: bool = False, new: bool = False):
        self.path = Path(path)
        flags = (os.O_RDWR | (os.O_CREAT if new else 0)) if writable else os.O_RDONLY
        self._fd = -1
        self._writable = writable
        self._pages: dict[int, bytearray] = {}
        self._position = 0
        self._serial = time.time_ns()  # beyond those of any earlier job
        try:
            # A FIFO would otherwise wait for its other end.
            self._fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if writable:
                self._lock()
            if new:
                journal_path(self.path).unlink(missing_ok=True)
                os.ftruncate(self._fd, 0)
            elif writable:  # a job that was killed may not have synced the name it gave
                _sync(self.path.parent)
            self._committed = self._size = os.fstat(self._fd).st_size
            self._recover()
        except BaseException:
            if self._fd >= 0:
                os.close(self._fd)
            super().close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise BlockingIOError("another job is writing to it") from None
        except OSError:
            pass  # a file system without locks
        if not self._has_name():
            raise BlockingIOError("another job has just been writing to it")

    def _has_name(self) -> bool:
        """Whether the path still means this file."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self._fd))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _recover(self) -> None:
        pages, size = _newest(_journal(self.path))
        if pages:
            self._pages, self._size = pages, size
        if self._writable:
            if pages:
                # What was read may not be on the disk, where an older journal would then be.
                _sync(journal_path(self.path))
                self._write_in_place(pages)
            self._finish()

    def commit(self) -> None:
        """Make everything written so far the state that any reader and any later job sees.

        Raises FileNotFoundError if the file has been removed, renamed or replaced meanwhile.
        """
        if not self._has_name():
            raise FileNotFoundError(errno.ENOENT, "removed or replaced meanwhile")
        first_new = -(-self._committed // PAGE)
        new = {n: page for n, page in self._pages.items() if n >= first_new}
        if new:
            self._write_in_place(new)
            os.fsync(self._fd)
        replaced = {n: page for n, page in self._pages.items() if n < first_new}
        if replaced:
            self._write_journal(replaced)
            self._write_in_place(replaced)
        self._finish()

    def _write_journal(self, pages: dict[int, bytearray]) -> None:
        self._serial += 1
        header = _HEADER.pack(_MAGIC, self._serial, len(pages), self._size)
        body = b"".join(n.to_bytes(8, "little") + bytes(page) for n, page in pages.items())
        checksum = _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(header)))
        path = journal_path(self.path)
        is_new = not path.exists()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            _write_all(fd, header + checksum + body, 0)
            if pages:
                os.fsync(fd)
            else:
                os.ftruncate(fd, _HEADER_BYTES)
        finally:
            os.close(fd)
        if is_new:
            _sync(path.parent)

    def _write_in_place(self, pages: dict[int, bytearray]) -> None:
        for number in sorted(pages):
            start = number * PAGE
            _write_all(self._fd, pages[number][: max(0, self._size - start)], start)

    def _finish(self) -> None:
        os.ftruncate(self._fd, self._size)
        os.fsync(self._fd)
        self._committed = self._size
        self._pages.clear()
        self._write_journal({})

    def rename(self, path: str | Path) -> None:
        """Give the file, fully committed, another name under which it is written on."""
        old, self.path = self.path, Path(path)
        self._write_journal({})
        os.replace(old, path)
        journal_path(old).unlink()
        _sync(self.path.parent)

    def publish(self, path: str | Path) -> None:
        """Give the file, fully committed, its last name; FileExistsError if another has it."""
        journal_path(self.path).unlink()
        try:
            os.link(self.path, path)  # which, other than a rename, replaces nothing
            _sync(Path(path).parent)
            self.path.unlink()
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
            os.rename(self.path, path)
        _sync(Path(path).parent)

    def close(self) -> None:
        """Close without committing; a writer's journal without pages is removed."""
        if not self.closed:
            if self._writable and self._has_name():
                with contextlib.suppress(FileNotFoundError):
                    if journal_path(self.path).stat().st_size <= _HEADER_BYTES:
                        journal_path(self.path).unlink()
            os.close(self._fd)
        super().close()

    def discard(self) -> None:
        """Close and remove the file, unless its name means another by now."""
        if not self.closed and self._has_name():
            journal_path(self.path).unlink(missing_ok=True)
            self.path.unlink()
        self.close()

    # What h5py asks of a file object.

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        start, stop = self._position, min(self._position + len(view), self._size)
        done = 0
        while start + done < stop:
            number, offset = divmod(start + done, PAGE)
            n = min(PAGE - offset, stop - start - done)
            if number in self._pages:
                view[done : done + n] = self._pages[number][offset : offset + n]
            elif not self._pages:
                n = stop - start - done
                view[done:] = self._from_disk(start + done, len(view) - done)
            else:
                view[done : done + n] = self._from_disk(start + done, n)
            done += n
        self._position += done
        return done

    def write(self, data) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            number, offset = divmod(self._position + done, PAGE)
            n = min(PAGE - offset, len(view) - done)
            page = self._pages.get(number)
            if page is None:
                whole = n == PAGE or number * PAGE >= self._committed
                page = bytearray(PAGE) if whole else self._from_disk(number * PAGE, PAGE)
                self._pages[number] = page
            page[offset : offset + n] = view[done : done + n]
            done += n
        self._position += done
        self._size = max(self._size, self._position)
        return done

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        return self._size

    def flush(self) -> None:
        """Nothing: only `commit` reaches the disk."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self._writable

    def seekable(self) -> bool:
        return True

    def _from_disk(self, start: int, length: int) -> bytearray:
        """Bytes of the committed file; zeros beyond its end."""
        content = bytearray(length)
        read = os.pread(self._fd, length, start)
        content[: len(read)] = read
        return content


def journal_path(path: str | Path) -> Path:
    """Where the journal of a file lies."""
    path = Path(path)
    return path.with_name(path.name + ".journal")


def snapshot(path: str | Path) -> BinaryIO:
    """A copy in a temporary file of the newest committed state, while a job may go on writing.

    Raises
    ------
    OSError
        If there is no such file, no room for the copy, or the job commits without a pause.
    """
    for _ in range(100):  # attempts
        before = _journal(path)
        with JournaledFile(path) as source:
            copy = tempfile.TemporaryFile()  # noqa: SIM115 (the caller's)
            shutil.copyfileobj(source, copy, 256 * PAGE)
        if _journal(path) == before:
            return copy
        copy.close()
    raise OSError("a job writes to it without a pause: try again")


def _journal(path: str | Path) -> bytes:
    path = journal_path(path)
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "its journal is not a regular file")
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _newest(journal: bytes) -> tuple[dict[int, bytearray], int]:
    """The pages of a complete journal and the size of the file with them; of another, none."""
    if len(journal) < _HEADER_BYTES:
        return {}, 0
    magic, _, n_pages, size = _HEADER.unpack_from(journal)
    (checksum,) = _CHECKSUM.unpack_from(journal, _HEADER.size)
    body = memoryview(journal)[_HEADER_BYTES : _HEADER_BYTES + n_pages * (8 + PAGE)]
    if magic != _MAGIC or len(body) != n_pages * (8 + PAGE):
        return {}, 0
    if zlib.crc32(body, zlib.crc32(journal[: _HEADER.size])) != checksum:
        return {}, 0
    return {
        int.from_bytes(body[start : start + 8], "little"): bytearray(
            body[start + 8 : start + 8 + PAGE]
        )
        for start in range(0, len(body), 8 + PAGE)
    }, size


def _sync(path: Path) -> None:
    """Have a file, or a folder's names, on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:  # some file systems cannot do it for folders
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def _write_all(fd: int, data, start: int) -> None:
    view = memoryview(data)
    while view:
        n = os.pwrite(fd, view, start)
        view, start = view[n:], start + n
