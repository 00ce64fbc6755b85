"""`mpiapp plan`: show the work list and its cost; measure nothing."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp plan job.toml --workers 63",
    "mpiapp plan job.toml --timings results.h5  # from what earlier runs took",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("config", metavar="CONFIG", help="TOML file")
    p.add_argument("--workers", type=int, default=1, help="worker ranks of the estimate")
    p.add_argument("--timings", metavar="RESULTS", help="estimate from what its runs took")


def main(args: Namespace) -> ExitCode:
    from ..config import load
    from ..files.results import open_results
    from ..parallel.planning import find_inputs, make_plan
    from ..parallel.scanning import scan_here
    from ..report.cost_model import CostModel
    from ..report.plan import plan_table

    config = load(args.config)
    engine = config.engine.create()
    model = None
    if args.timings:
        with open_results(args.timings) as results:
            model = CostModel.fit(results, engine.name)
    plan = make_plan(config, find_inputs(config), scan_here, args.workers, engine.typical_seconds)
    print(plan_table(plan, engine.name, engine.typical_seconds, args.workers, model))
    for hint in plan.hints:
        print(f"hint: {hint}")
    for fault in plan.faults:
        print(f"mpiapp: bad input: {fault.message}", file=sys.stderr)
    return ExitCode.RUNS_FAILED if plan.faults else ExitCode.OK
