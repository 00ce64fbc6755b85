"""`mpiapp check`: check results against their inputs, and measure some again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp check results.h5                 # repeat 100 runs",
    "mpiapp check results.h5 --all --inputs /data/csc",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument("--sample", type=int, default=100, metavar="N", help="runs to repeat (100)")
    p.add_argument("--all", action="store_true", help="repeat all runs")
    p.add_argument("--inputs", metavar="DIR", help="where the inputs of the job are now")


def main(args: Namespace) -> ExitCode:
    from ..files.results import open_results
    from ..report.check import check

    differs = False
    with open_results(args.results) as results:
        for finding in check(results, None if args.all else args.sample, args.inputs):
            print(finding, flush=True)
            differs |= finding.n_wrong > 0
    return ExitCode.DIFFERS if differs else ExitCode.OK
