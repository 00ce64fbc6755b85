"""A file for HDF5 to write to, whose errors wait until HDF5 has closed.

HDF5 that cannot write, as on a full disk, cannot close its file either and may crash when the
process ends.
"""

from __future__ import annotations

import io
import os
from pathlib import Path


class ShelteredFile(io.RawIOBase):
    """A new file for h5py's driver for file objects; after an error the rest stays in memory.

    HDF5 reads its own writing again, so `check` is to be asked often, and ends the writing.

    Parameters
    ----------
    path : path
        FileExistsError if it is there.

    Attributes
    ----------
    error : OSError, optional
        The first that has been met.
    """

    def __init__(self, path: Path):
        self.error: OSError | None = None
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._position = self._size = 0
        self._in_memory: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self.error:
            raise self.error

    def close(self) -> None:
        """Have everything on the disk and close."""
        if not self.closed:
            try:
                if not self.error:
                    os.fsync(self._fd)
            except OSError as error:
                self.error = error
            finally:
                os.close(self._fd)
        super().close()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(
            whence, self._size
        )
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer) -> int:
        view, start, done = memoryview(buffer).cast("B"), self._position, 0
        while done < len(view) and (read := os.pread(self._fd, len(view) - done, start + done)):
            view[done : done + len(read)] = read
            done += len(read)
        for at, data in self._in_memory:
            first, last = max(at, start), min(at + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - at : last - at]
        done = max(done, min(len(view), self._size - start))
        self._position += done
        return done

    def write(self, data) -> int:
        view, done = memoryview(data).cast("B"), 0
        try:
            while done < len(view) and not self.error:
                done += os.pwrite(self._fd, view[done:], self._position + done)
        except OSError as error:
            self.error = error
        if self.error:
            self._in_memory.append((self._position, bytes(view)))
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._position if size is None else size
        try:
            if not self.error:
                os.ftruncate(self._fd, self._size)
        except OSError as error:
            self.error = error
        return self._size

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
