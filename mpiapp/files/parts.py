"""The folder of parts: a job's results on the disk until its results file is complete.

Beside the results file NAME, `NAME.parts` holds

    000000.h5, 000001.h5, …   parts: each is a results file of its own, and never changes
    lock                      tells who writes
    *.new                     files without a name of their own yet; nobody reads them

A part has its name from the moment it is whole and on the disk.  So a kill, at whatever moment,
costs the runs that were in no part yet, and nothing has to be mended afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
from datetime import datetime
from pathlib import Path

from .schema import ResultsError

# Names of files have 255 bytes; the folder's is longer by 6.
MAX_NAME = 230
_PART = re.compile(r"\d{6,}\.h5")


def work_path(path: str | Path) -> Path:
    """The folder of parts of a results file.

    Raises ResultsError if the path is none for a file and the folder beside it.
    """
    path = Path(path)
    if path.name in ("", "..") or "\0" in str(path) or len(os.fsencode(path.name)) > MAX_NAME:
        raise ResultsError(
            f"{str(path)!r} cannot be the name of a results file; give one of 1 to {MAX_NAME} bytes"
        )
    return path.with_name(path.name + ".parts")


def list_parts(folder: Path) -> list[Path]:
    """The parts in a folder, in their order."""
    found = (path for path in folder.iterdir() if _PART.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.stem))


class Parts:
    """The folder of parts, locked by whoever writes.

    Parameters
    ----------
    path : path
        The folder; it is made if it is not there.

    Raises
    ------
    OSError
        BlockingIOError, with who it is, if another process writes there.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            _sync(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._lock = os.fdopen(os.open(path / "lock", flags, 0o666), "r+b", buffering=0)
        try:
            self._take_lock()
        except BaseException:
            self._lock.close()
            raise

    def _take_lock(self) -> None:
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = self._lock.read(200).decode(errors="replace").strip() or "just started"
            raise BlockingIOError(f"another job is writing to it ({holder})") from None
        except OSError:
            pass  # a file system without locks
        if not self.is_ours():
            raise BlockingIOError("another job has just been writing to it")
        now = datetime.now().isoformat(timespec="seconds")
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {platform.node()} since {now}\n".encode())

    def is_ours(self) -> bool:
        """Whether the path still means the folder that was locked."""
        try:
            return os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._lock.fileno()))
        except (FileNotFoundError, NotADirectoryError):
            return False

    @property
    def whole(self) -> Path:
        """Where a file is written, and synced, that is to get a name of its own."""
        return self.path / "whole.new"

    def add(self, image: bytes) -> Path:
        """Have a file with these bytes on the disk, the last of the parts."""
        new = self.path / "part.new"
        new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o666), "wb", buffering=0) as file:
            left = memoryview(image)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        return self._name(new)

    def replace_all(self) -> None:
        """Make the file at `whole` the only part."""
        if self.is_ours():
            for part in list_parts(self.path):
                part.unlink()
        self._name(self.whole)

    def _name(self, new: Path) -> Path:
        if not self.is_ours():
            raise FileNotFoundError(errno.ENOENT, "removed or replaced meanwhile")
        parts = list_parts(self.path)
        part = self.path / f"{int(parts[-1].stem) + 1 if parts else 0:06}.h5"
        os.rename(new, part)
        _sync(self.path)
        return part

    def publish(self, final: Path) -> None:
        """Give the file at `whole` its name, and remove the folder.

        FileExistsError if another file has got that name meanwhile.
        """
        if not self.is_ours():
            raise FileNotFoundError(errno.ENOENT, "removed or replaced meanwhile")
        try:
            os.link(self.whole, final)  # which, other than a rename, replaces nothing
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if os.path.lexists(final):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            os.rename(self.whole, final)
        _sync(final.parent)
        self.discard()

    def discard(self) -> None:
        """Remove the parts and the folder, unless the path means another by now."""
        if self.is_ours():
            self.clear()
            (self.path / "lock").unlink()
            with contextlib.suppress(OSError):  # somebody else's file, or a link to a folder
                self.path.rmdir()
        self.close()

    def clear(self) -> None:
        """Remove the parts; `whole` last, by which a folder is known that is not needed."""
        for path in [*list_parts(self.path), self.path / "part.new", self.whole]:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others write."""
        self._lock.close()


def remove_leftover(final: Path) -> None:
    """Remove the folder of parts that a killed job left when its file had got its name."""
    folder = work_path(final)
    with contextlib.suppress(OSError):
        if folder.is_dir():
            parts = Parts(folder)
            if not list_parts(folder) or os.path.samefile(parts.whole, final):
                parts.discard()
            parts.close()


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
