"""`mpiapp plan`: what a job would do, and about how long it would take."""

from __future__ import annotations

from collections import Counter

from astropy.table import Table

from ..parallel.planning import Plan
from .cost_model import CostModel
from .text import duration, lay_out


def plan_table(
    plan: Plan,
    engine: str,
    seconds_per_run: float,
    n_workers: int,
    model: CostModel | None = None,
) -> str:
    """Runs and estimated time by level, and for the whole job on `n_workers` worker ranks.

    The work is cut into units: targets of one stack, or of one file.  A model gives the times of
    measured runs of the same shapes; without one they are typical for the engine.
    """
    runs, spent, units = plan.runs_by_level(), Counter(), Counter()
    for unit in plan.units:
        spent[unit.level] += model.total(unit.targets()) if model else unit.cost * seconds_per_run
        units[unit.level] += 1
    rows = [(level, units[level], runs[level], duration(spent[level])) for level in runs]
    table = Table(rows=rows or None, names=("level", "units", "runs", "core time"))
    seconds = sum(spent.values())
    workers = f"{n_workers} worker" + "s" * (n_workers > 1)
    return (
        f"{lay_out(table)}\n{len(plan.inputs)} prep3 files, {plan.n_runs} runs with {engine}: "
        f"about {duration(seconds)} of one core, {duration(seconds / n_workers)} on {workers}, "
        "start-up and compiling not counted"
    )
