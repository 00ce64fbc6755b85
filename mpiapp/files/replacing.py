"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_folder_of(path: str | os.PathLike) -> None:
    """Raise OSError that names the folder if no file, or folder for it, can be made there.

    path : a file, or a folder for files; there or not
    """
    path = Path(path).absolute()
    if _is_stream(path):
        return
    folder = path if os.path.isdir(path) else next(filter(os.path.exists, path.parents))
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A new file beside `path` to be written inside, which then takes its name in one step.

    Its folder is made, its suffix is that of `path`, and if writing fails nothing of it is left.
    Raises OSError that names `path`.
    """
    path = Path(path)
    if _is_stream(path):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem[:200]}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        # A full disk does not say by itself which file it was.
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _is_stream(path: Path) -> bool:
    """Whether it is written to as it is, such as /dev/null."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)
