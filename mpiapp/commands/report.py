"""`mpiapp report`: write what happened in a job as a page with figures."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = ("mpiapp report results.h5 report.html",)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument("out", metavar="OUT.html", help="page to write; it needs no network")


def main(args: Namespace) -> ExitCode:
    from ..files.results import open_results
    from ..report.page import write_page

    with open_results(args.results) as results:
        print(write_page(results, args.out))
    return ExitCode.OK
