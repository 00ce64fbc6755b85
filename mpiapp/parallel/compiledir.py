"""A compile directory of Theano or PyTensor for every rank, private and node-local.

Two processes that compile into one directory crash each other, and a directory
on a shared file system slows every import.  So each rank claims a directory
before either is imported; the first rank of a node fills its own by
the engine's `warm`, then the others copy it:

    directory = claim(rank, scratch)   # every rank, before pymc3 or pymc is imported
    engine.warm()                      # the first rank of each node
    (barrier; the first rank's directory is broadcast on the node)
    fill(directory, first)             # the other ranks of the node
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from .. import scheduler
from ..provenance import cpu_model

_COMPILERS = {"theano": "pymc3", "pytensor": "pymc"}


def claim(rank: int = 0, scratch: str | os.PathLike | None = None) -> Path:
    """Make a compile directory for this process and have theano and pytensor use it.

    The directory is `<scratch>/mpiapp-<job>-<uid>-<cpu>/rank<rank>`: they
    compile for the CPU that they run on.  If there is one already, of another
    step of the same job, a suffix tells them apart.  `scratch` defaults to the
    first of $SLURM_TMPDIR, $TMPDIR and /tmp that can hold compiled code.  The
    directory is removed when the process exits (one that is killed leaves it to
    the scheduler's clean-up).  Other settings in the user's
    THEANO_FLAGS and PYTENSOR_FLAGS are kept.

    Raises
    ------
    RuntimeError
        If theano or pytensor is imported already, which freezes its compile directory.
    OSError
        If `scratch`, or else every default, cannot be written or executed from.
    """
    for compiler, library in _COMPILERS.items():
        if compiler in sys.modules:
            raise RuntimeError(
                f"{compiler} is imported already, so its compile directory can no longer be "
                f"chosen: call compiledir.claim before anything that imports {library}"
            )
    job = _scratch(scratch) / f"mpiapp-{_job()}-{os.getuid()}-{_slug(cpu_model())}"
    job.mkdir(mode=0o700, exist_ok=True)
    if job.is_symlink() or job.stat().st_uid != os.getuid():
        raise PermissionError(f"{job} belongs to someone else: set another scratch directory")
    directory = job / f"rank{rank}"
    try:
        directory.mkdir()
    except FileExistsError:
        directory = Path(tempfile.mkdtemp(prefix=f"rank{rank}-", dir=job))
    atexit.register(remove, directory)
    for compiler in _COMPILERS:
        variable = f"{compiler.upper()}_FLAGS"
        flags = os.environ.get(variable, "").strip(", ")
        # The last setting of a flag counts.
        os.environ[variable] = ",".join(filter(None, [flags, f"base_compiledir={directory}"]))
    return directory


def fill(directory: Path, source: Path) -> None:
    """Copy the compiled code of `source`, another rank's directory, into `directory`."""
    locks = shutil.ignore_patterns("lock_dir", ".lock")
    shutil.copytree(source, directory, dirs_exist_ok=True, ignore=locks)


def remove(directory: Path) -> None:
    """Remove a directory that `claim` made, and its job's when no rank is left in it."""
    shutil.rmtree(directory, ignore_errors=True)
    # Other ranks are still there, or have removed it.
    with contextlib.suppress(OSError):
        directory.parent.rmdir()


def _scratch(configured: str | os.PathLike | None) -> Path:
    """The configured directory or the first usable default."""
    if configured is not None:
        if not _usable(Path(configured)):
            raise OSError(
                f"scratch directory {configured} cannot be written, or code in it cannot be "
                "executed: set one that is node-local and not mounted noexec"
            )
        return Path(configured)
    candidates = [Path(path) for path in scheduler.scratch()]
    for path in candidates:
        if _usable(path):
            return path
    raise OSError(
        f"none of {', '.join(map(str, candidates))} can hold compiled code: "
        "configure a scratch directory"
    )


def _usable(path: Path) -> bool:
    if not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        return False
    return not os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0)


def _job() -> str:
    """The scheduler's name for this job, or the process that started all ranks."""
    return _slug(scheduler.job_id() or f"p{os.getppid()}")


def _slug(text: str) -> str:
    """Lower-case letters and digits joined by single hyphens, 40 at most."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
