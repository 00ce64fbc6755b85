"""`mpiapp blocks`: find the Bayesian Blocks of master sources."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

HELP = "find the Bayesian Blocks of master sources"
EXAMPLES = ("mpiapp blocks results.h5 mst3.fits blocks.fits",)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file with photon fluxes of obsids")
    p.add_argument("mst3", metavar="MST3", help="mst3 file with the associations")
    p.add_argument("out", metavar="OUT", help="mst3 file to write, the same with these blocks")
    p.add_argument("--aperture", choices=("aper", "aper90"), default="aper", help="(aper)")
    p.add_argument(
        "--penalty",
        type=float,
        metavar="P",
        help="of each block in log10 (that with which 5 %% of constant sources are split)",
    )


def main(args: Namespace) -> ExitCode:
    from ..files.results import open_results
    from ..products.blocks import write_blocks

    with open_results(args.results) as results:
        found = write_blocks(results, args.mst3, args.out, args.aperture, args.penalty)
    for fault in found.faults:
        print(f"mpiapp: {fault.message}", file=sys.stderr)
    print(f"{args.out}: {found.masters} master sources, {found.split} in several blocks")
    print(f"  posteriors: {found.tables} as kept in /mpdf, {found.gammas} as Gamma distributions")
    if found.unmeasured:
        print(f"  {found.unmeasured} observations without a number in any band are in no block")
    if found.unobserved:
        print(f"  {found.unobserved} master sources without an observation keep their blocks")
    return ExitCode.RUNS_FAILED if found.faults else ExitCode.OK
