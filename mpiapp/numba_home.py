"""A place for what numba compiles where the installation is read-only.

On many clusters the home folder is too on the nodes, and numba would refuse to import.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from . import scheduler


def find() -> None:
    """Name the user's cache, or else the node's scratch; to be called before numba's import.

    Not where numba can write beside the modules, or NUMBA_CACHE_DIR is set.
    """
    if "NUMBA_CACHE_DIR" in os.environ or _writable(Path(__file__).parent):
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    here = cache / "mpiapp-numba" if _writable(cache) else _private(f"mpiapp-numba-{os.getuid()}")
    os.environ["NUMBA_CACHE_DIR"] = str(here)


def _writable(path: Path) -> bool:
    while not os.path.exists(path):  # it would be made
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def _private(name: str) -> Path:
    """A folder on scratch that nobody else can write code into."""
    folder = Path(next(filter(os.path.isdir, scheduler.scratch())), name)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return Path(tempfile.mkdtemp(prefix=name, dir=folder.parent))
    return folder
