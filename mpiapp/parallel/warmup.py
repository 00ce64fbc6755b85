"""Compiled code for every rank before the first run, without a compile storm."""

from __future__ import annotations

import numpy as np

from ..photometry.mpdf import summarise
from ..sampling import Engine
from ..sampling.compiledir import claim, fill
from .world import World


def warm_up(engine: Engine, world: World, scratch: str | None) -> None:
    """Compile on the first rank of each host, and give the others what it compiled.

    An engine whose compiler needs a directory per process (Theano) gets one on
    the node's scratch, filled by copying; one that caches safely (numba) only
    has to be first once.  Called on every rank.
    """
    directory = claim(world.rank, scratch) if engine.compiles_per_rank else None
    if world.node_rank == 0:
        engine.warm()
        summarise(np.linspace(0.0, 1.0, 10))
    first = world.node_broadcast(directory)
    if world.node_rank > 0 and directory is not None:
        fill(directory, first)
