"""Fills numba's cache: `python -m mpiapp.parallel.numba_cache ENGINE`.

A process of its own, at the start of every job, so it imports no more than it needs.
"""

from __future__ import annotations

import contextlib
import sys

import numpy as np

from ..posterior.diagnostics import rhat_and_ess
from ..posterior.mpdf import summarise
from ..sampling import ENGINES, create


def fill_cache(engine_name: str) -> None:
    """Compile the summaries, the diagnostics and the engine, where numba compiles it."""
    summarise(np.linspace(0.0, 1.0, 10))
    rhat_and_ess(np.random.default_rng(0).normal(size=(2, 10, 1)))
    if engine_name in ENGINES and not create(engine_name).compiles_per_rank:
        # what is not installed is said by the job itself
        with contextlib.suppress(ImportError):
            create(engine_name).warm()


if __name__ == "__main__":
    fill_cache(sys.argv[1])
