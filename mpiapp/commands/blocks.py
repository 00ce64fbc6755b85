"""`mpiapp blocks`: find the Bayesian Blocks of master sources."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..catalog.names import comma_list
from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp blocks results.h5 mst3.fits blocks.fits",
    "mpiapp blocks results.h5 mst3.fits blocks.fits --time  # by time too",
    "mpiapp blocks results.h5 mst3.fits blocks.fits --quantity rate --bands P1,P2",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file with fluxes of obsids")
    p.add_argument("mst3", metavar="MST3", help="mst3 file with the associations")
    p.add_argument("out", metavar="OUT", help="mst3 file to write, the same with these blocks")
    p.add_argument("--aperture", choices=("aper", "aper90"), default="aper", help="(aper)")
    p.add_argument("--quantity", metavar="NAME", help="(that of [products] of the job, photflux)")
    p.add_argument(
        "--bands", type=comma_list, default=[], metavar="NAMES", help="s,h for instance (all but u)"
    )
    p.add_argument(
        "--penalty",
        type=float,
        metavar="P",
        help="of each block in log10 (that with which 5 %% of constant sources are split)",
    )
    p.add_argument(
        "--time", action="store_true", help="find blocks in the order of time too, by MJD-OBS"
    )
    p.add_argument("--inputs", metavar="DIR", help="where the inputs of the job are now")


def main(args: Namespace) -> ExitCode:
    from ..files.results import open_results
    from ..products.blocks import write_blocks
    from ..products.kept import compared_of
    from ..products.observations import starts
    from ..report.rerun import job_inputs

    with open_results(args.results) as results:
        when = None
        if args.time:
            when = starts(
                path for files in job_inputs(results, args.inputs) for path in files.prep3
            )
        found = write_blocks(
            results,
            args.mst3,
            args.out,
            args.aperture,
            args.penalty,
            when,
            args.quantity or compared_of(results).quantity,
            args.bands,
        )
    for fault in found.faults:
        print(f"mpiapp: {fault.message}", file=sys.stderr)
    print(f"{args.out}: {found.masters} master sources, {found.split} in several blocks")
    print(f"  posteriors: {found.tables} as kept in /mpdf, {found.gammas} as Gamma distributions")
    if found.unmeasured:
        print(f"  {found.unmeasured} observations without a number in any band are in no block")
    if found.untimed:
        print(f"  {found.untimed} observations without MJD-OBS are in no block by time")
    if found.unobserved:
        print(f"  {found.unobserved} master sources without an observation keep their blocks")
    return ExitCode.RUNS_FAILED if found.faults else ExitCode.OK
