"""`mpiapp plan`: what a job would do, and about how long it would take."""

from __future__ import annotations

from collections import Counter

from astropy.table import Table

from ..parallel.planning import Plan
from .text import lay_out, number


def plan_table(plan: Plan, engine: str, seconds_per_run: float, n_workers: int) -> str:
    """Runs and estimated time by level, and for the whole job on `n_workers` worker ranks."""
    runs, cost, units = Counter(), Counter(), Counter()
    for unit in plan.units:
        runs[unit.level] += unit.n_runs
        cost[unit.level] += unit.cost
        units[unit.level] += 1
    rows = [
        (level, units[level], runs[level], number(cost[level] * seconds_per_run / 3600, 3))
        for level in runs
    ]
    table = Table(rows=rows, names=("level", "units", "runs", "core hours"))
    hours = sum(cost.values()) * seconds_per_run / 3600
    return (
        f"{lay_out(table)}\n{len(plan.inputs)} prep3 files, {plan.n_runs} runs with {engine}: "
        f"about {number(hours, 3)} core hours, {number(hours / n_workers, 3)} h on {n_workers} "
        "workers"
    )
