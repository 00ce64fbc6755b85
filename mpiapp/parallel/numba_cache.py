"""Fills numba's cache: `python -m mpiapp.parallel.numba_cache ENGINE`.

A process of its own, at the start of a job whose engine has not been compiled on this kind of
processor since the program changed, so it imports no more than it needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

import llvmlite
import numba
import numpy as np

from ..engines import ENGINES, Engine, create
from ..posterior.diagnostics import rhat_and_ess
from ..posterior.mpdf import summarise

_PACKAGE = Path(__file__).parents[1]


def fill_cache(engine_name: str) -> None:
    """Compile the summaries, the diagnostics and the engine, where numba compiles it."""
    summarise(np.linspace(0.0, 1.0, 10))
    rhat_and_ess(np.random.default_rng(0).normal(size=(2, 10, 1)))
    if engine_name in ENGINES and not create(engine_name).compiles_per_rank:
        # the job itself says that an engine is not installed
        with contextlib.suppress(ImportError):
            create(engine_name).warm()
    # Where the cache cannot be written the next job tries again.
    with contextlib.suppress(OSError):
        stamp(engine_name).touch()


def fills(engine: Engine) -> bool:
    """Whether filling the cache is enough, so that `warm` can be left out."""
    kind = type(engine)
    is_ours = ENGINES.get(engine.name) == f"{kind.__module__}:{kind.__qualname__}"
    return is_ours and not engine.compiles_per_rank


def stamp(engine_name: str) -> Path:
    """The file that says that the cache has been filled: for this engine, code and processor."""
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or _PACKAGE / "posterior" / "__pycache__")
    what = [engine_name, sys.version, numba.__version__, llvmlite.__version__]
    what += [
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
    ]
    for path in sorted(_PACKAGE.rglob("*.py")):
        state = path.stat()
        what.append(f"{path} {state.st_mtime_ns} {state.st_size}")
    digest = hashlib.blake2b("\n".join(what).encode(), digest_size=10).hexdigest()
    return folder / f"filled-{digest}"


if __name__ == "__main__":
    fill_cache(sys.argv[1])
