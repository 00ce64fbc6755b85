"""`mpiapp timing`: print time per run as in the memo's Table 4."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp timing results.h5",
    "mpiapp timing ranks8.h5 ranks16.h5 ranks32.h5 --plot figures",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", nargs="+", help="results files (HDF5)")
    p.add_argument("--plot", metavar="DIR", help="draw speed-up and efficiency into this folder")


def main(args: Namespace) -> ExitCode:
    from ..report.timing import timing_tables

    print(timing_tables(args.results))
    if args.plot:
        from ..report.scaling import no_scaling, plot_scaling, scaling_of

        if reason := no_scaling(scaling := scaling_of(args.results)):
            print(f"mpiapp: nothing to plot: {reason}", file=sys.stderr)
        else:
            print(f"\n{plot_scaling(scaling, args.plot)}")
    return ExitCode.OK
