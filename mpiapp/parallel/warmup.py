"""Compiled code for every rank before the first run, without a compile storm."""

from __future__ import annotations

from ..engines import Engine
from ..provenance import host
from .compiledir import claim, fill
from .progress import During
from .world import World


class Unprepared(RuntimeError):
    """A rank finds no place for compiled code; every rank raises it, with that rank's reason."""


def warm_up(engine: Engine, world: World, scratch: str | None) -> None:
    """Compile on the first rank of each host, and give the others the compiled code.

    An engine whose compiler needs a directory per process (Theano) gets one on
    the node's scratch, filled by copying.
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
        why = ": its functions are compiled first" if engine.compiles_per_rank else ""
        with During(f"warming up engine {engine.name}{why}", silent=world.rank > 0):
            engine.warm()
    first = world.node_broadcast(directory)
    if directory not in (None, first):
        fill(directory, first)
