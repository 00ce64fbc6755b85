"""Compiled code for every rank before the first run, without a compile storm."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import numpy as np

from ..photometry.mpdf import summarise
from ..sampling import ENGINES, Engine, create
from ..sampling.compiledir import claim, fill
from ..sampling.diagnostics import rhat_and_ess
from .world import World


def warm_up(engine: Engine, world: World, scratch: str | None) -> None:
    """Compile on the first rank of each host, and give the others what it compiled.

    An engine whose compiler needs a directory per process (Theano) gets one on
    the node's scratch, filled by copying.  What numba compiles goes to its cache.
    Called on every rank.
    """
    directory = claim(world.rank, scratch) if engine.compiles_per_rank else None
    if world.node_rank == 0:
        # In a process of its own: code just compiled and code from the cache differ in the last
        # digits, so that every rank has to load it.
        subprocess.run([sys.executable, "-m", __name__, engine.name], check=False)
        engine.warm()
    first = world.node_broadcast(directory)
    if world.node_rank > 0 and directory is not None:
        fill(directory, first)


def fill_numba_cache(engine_name: str) -> None:
    """Compile the summaries, the diagnostics and the engine, where numba compiles it."""
    summarise(np.linspace(0.0, 1.0, 10))
    rhat_and_ess(np.random.default_rng(0).normal(size=(2, 10, 1)))
    if engine_name in ENGINES and not create(engine_name).compiles_per_rank:
        # what is not installed is said by the job itself
        with contextlib.suppress(ImportError):
            create(engine_name).warm()


if __name__ == "__main__":
    fill_numba_cache(sys.argv[1])
