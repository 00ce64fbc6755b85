"""A place for what numba compiles where neither the installation nor the home folder is one.

On many clusters both are read-only on the nodes, and numba would refuse to import.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from . import scheduler


def find() -> None:
    """Have numba use the node's scratch if it has nothing better; to be called before its import.

    It looks beside the modules first, then into the user's cache, unless NUMBA_CACHE_DIR is set.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if "NUMBA_CACHE_DIR" not in os.environ and not any(
        _writable(Path(place)) for place in (Path(__file__).parent, cache)
    ):
        os.environ["NUMBA_CACHE_DIR"] = str(_private(f"mpiapp-numba-{os.getuid()}"))


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
