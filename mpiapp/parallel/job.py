"""The main job: scan, plan, send the work out, gather the results into one file.

Rank 0 partitions the work list and writes; the worker ranks measure.  With one
process the same code runs without MPI.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .. import engines, provenance
from ..exit_code import ExitCode
from ..photometry.photometer import Photometer
from .calls import set_worker
from .clock import Clock
from .progress import During, say
from .task import Options, Task
from .warmup import Unprepared, warm_up
from .world import Absent, World

if TYPE_CHECKING:  # for rank 0 alone: a third of all imports
    from .rank0 import Coordinator


def run(path: str | Path, world: World, options: Options) -> int:
    """Do the whole job that a configuration names; called on every rank.

    Returns this rank's exit code.  Errors of the configuration, its
    paths or the output is said by rank 0, and every rank returns ExitCode.USAGE.
    """
    with world.stop.listening():
        coordinator, code = None, ExitCode.OK
        if world.rank == 0:
            from .rank0 import prepare

            coordinator, code = prepare(path, world, options)
        task, code = world.broadcast((coordinator and coordinator.task(), code))
        if task is None:
            world.end(code)
        else:
            code = _work(coordinator, world, task)
        world.part()
    return code


def _work(coordinator: Coordinator | None, world: World, task: Task) -> int:
    """Every rank's part; `coordinator` on rank 0 only.  Returns this rank's exit code."""
    clock, code = Clock(world.rank), ExitCode.OK
    world.stop.after(task.seconds_left)
    try:
        with During("waiting for all ranks to start", silent=coordinator is None):
            ranks = world.gather(provenance.this_rank())
        world.settle(ranks and [rank["host"] for rank in ranks])
        engine = engines.create(task.engine, **task.settings)
        warm_up(engine, world, task.scratch)
        photometer = Photometer(
            engine,
            task.policy,
            task.seed,
            task.run_seconds,
            task.mpdf,
            task.draws,
            is_stopped=world.stop.poll,
            rank=clock.rank,
            host=clock.host,
            job=task.number,
        )
        set_worker(photometer, clock, world.stop)
        clock.ready()
        with During("waiting for all ranks", silent=coordinator is None):
            clocks = world.gather(clock.row())
        with world.executor() as executor:
            if coordinator:
                watch = coordinator.watch(executor, clock, clocks, photometer.give_up)
                code = coordinator.run(watch, ranks)
                code = coordinator.finish(code, watch.clocks())
                if watch.is_any_lost:
                    world.abort(code)
                world.end(code, watch.silent)
                watch.call_roll()
    except Absent as absent:
        say(f"mpiapp: not waited for: starting, {absent}")
        world.abort(coordinator.finish(ExitCode.STOPPED, []))
    except Unprepared as error:
        code = ExitCode.USAGE
        if coordinator:
            say(f"mpiapp: {error}")
            code = coordinator.finish(code, [])
        world.end(code)
    return code
