"""Compiled code for every rank before the first run, without a compile storm."""

from __future__ import annotations

import subprocess
import sys

from ..engines import Engine
from ..provenance import host
from . import numba_cache
from .compiledir import claim, fill
from .progress import During
from .world import World


class Unprepared(RuntimeError):
    """A rank finds no place for compiled code; every rank raises it, with that rank's reason."""


def warm_up(engine: Engine, world: World, scratch: str | None) -> None:
    """Compile on the first rank of each host, and give the others the compiled code.

    An engine whose compiler needs a directory per process (Theano) gets one on
    the node's scratch, filled by copying.  numba's code goes to numba's cache.
    Called on every rank; raises Unprepared on all of them if one has no such directory.
    """
    directory, reason = None, ""
    if engine.compiles_per_rank:
        try:
            directory = claim(world.rank, scratch)
        except OSError as error:
            reason = f"rank {world.rank} on {host()}: {error}"
        reasons = world.gather(reason)
        if reason := world.broadcast(next(filter(None, reasons or ()), "")):
            raise Unprepared(reason)
    if world.rank == world.node[0]:
        silent = world.rank > 0
        is_filled = compile_once(engine.name, silent)
        if not (is_filled and numba_cache.fills(engine)):
            with During(f"warming up engine {engine.name}", silent):
                engine.warm()
    first = world.node_broadcast(directory)
    if directory not in (None, first):
        fill(directory, first)


def compile_once(engine_name: str, silent: bool = False) -> bool:
    """Fill numba's cache unless that was done before, which is returned.

    In a process of its own: code just compiled and code from the cache differ in the last digits,
    so that everybody has to load it.
    """
    is_filled = numba_cache.stamp(engine_name).exists()
    if not is_filled:
        with During("compiling for this processor, which later calls find done", silent):
            subprocess.run([sys.executable, "-m", numba_cache.__name__, engine_name], check=False)
    return is_filled
