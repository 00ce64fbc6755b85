"""The main job: scan, plan, send the work out, gather the results into one file.

Rank 0 partitions the work list and writes; the worker ranks measure.  With one
process the same code runs without MPI.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import engines, provenance
from ..exit_code import ExitCode
from ..photometry.ladder import Policy
from .board import LEAVE
from .clock import Clock
from .progress import During, say
from .shares import Shard
from .warmup import Unprepared, warm_up
from .worker import Worker, employ, leave
from .world import Absent, World

if TYPE_CHECKING:  # rank 0's, and a third of what a rank would import
    from .lead import Lead
    from .watch import Watch

# How long the ranks may take to answer once all is on disk.
_LEAVE_SECONDS = 60.0
_NAP_SECONDS = 0.02


@dataclass(frozen=True)
class Options:
    """What the command line adds to the configuration.

    Attributes
    ----------
    resume : bool
        Continue the work file of an earlier job, if there is one.
    force : bool
        Continue it even if the configuration or the inputs have changed.
    shard : Shard, optional
        Do only this part, into a file of its own.
    output : str, optional
        Results file, instead of the configuration's.
    """

    resume: bool = False
    force: bool = False
    shard: Shard | None = None
    output: str | None = None


class Task(NamedTuple):
    """What every rank has to know of a job; `engine` is its name, with its settings."""

    number: int
    engine: str
    settings: dict
    scratch: str | None
    policy: Policy
    seed: int
    run_seconds: float
    mpdf: list[str]


def run(path: str | Path, world: World, options: Options = Options()) -> int:
    """Do the whole job that a configuration names; called on every rank.

    Returns this rank's exit code.  What is wrong with the configuration, its
    paths or the output is said by rank 0, and every rank returns ExitCode.USAGE.
    """
    with world.stop.listening():
        lead, code = None, ExitCode.OK
        if world.rank == 0:
            from .lead import prepare

            lead, code = prepare(path, world, options)
        task, code = world.broadcast((lead and lead.task(), code))
        if task is None:
            world.meet()  # which ends what the broadcast has begun
            return code
        return _work(lead, world, task)


def _work(lead: Lead | None, world: World, task: Task) -> int:
    """Every rank's part; `lead` on rank 0 only."""
    board, clock, code = None, Clock(world.rank), ExitCode.OK
    try:
        board = world.board(clock)
        engine = engines.create(task.engine, **task.settings)
        board.at("compiling")
        warm_up(engine, world, task.scratch)
        worker = Worker(
            engine, task.policy, task.seed, task.number, task.run_seconds, board, world.stop,
            task.mpdf,
        )  # fmt: skip
        employ(worker)
        clock.ready()
        board.at("ready")
        with During("waiting for all ranks", silent=lead is None):
            ranks = world.gather(provenance.this_rank())
        with world.executor() as executor:
            if lead:
                watch = lead.watch(board, clock, worker.give_up)
                code = lead.finish(lead.run(executor, watch, ranks), board.clocks())
                if world.size > 1 and (watch.stuck or not _all_leave(executor, watch)):
                    world.abort(code)
    except Absent:
        ranks = board.workers() if board else []
        first = next((s for s in ("starting", "compiling") if s in {at.state for at in ranks}), "")
        where = "; ".join(str(at) for at in ranks if at.state == first) or "before all ranks met"
        say(f"mpiapp: not waited for: {where}")
        world.abort(lead.finish(ExitCode.STOPPED, []))
    except Unprepared as error:
        code = ExitCode.USAGE
        if lead:
            say(f"mpiapp: {error}")
            code = lead.finish(code, [])
    board.close()
    return code


def _all_leave(executor: Executor, watch: Watch) -> bool:
    """Whether every worker answers; one that does not would keep the pool from closing."""
    for _ in range(watch.n_workers):
        executor.submit(leave)
    deadline = time.monotonic() + _LEAVE_SECONDS
    while missing := [at for at in watch.board.workers() if at.state != "leaving"]:
        watch.stop.poll(watch.board.asked)
        if time.monotonic() > deadline or watch.stop.out_of_patience:
            for at in missing:
                at = at._replace(state="waiting for work")
                say(f"mpiapp: not waited for, all results being on disk: {at}")
            return False
        time.sleep(_NAP_SECONDS)
    watch.board.tell(LEAVE)
    return True
