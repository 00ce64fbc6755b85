"""`mpiapp plot`: draw one run of a results file, or a source of a field."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..catalog.names import comma_list
from ..exit_code import ExitCode

EXAMPLES = (
    'mpiapp plot results.h5 --run "stack S1/b0001 b aper flux" --out run.png',
    "mpiapp plot results.h5 --run 9694569529406034141 --draws run.nc",
    "mpiapp plot products --field r0115 --bands b,s --out r0115.png",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5), or FIELD of `extract`")
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--run", metavar="KEY", help='run id, or "level target band aperture quantity"'
    )
    which.add_argument(
        "--field", metavar="SOURCE", help="a source of a field: counts, regions, PSF"
    )
    p.add_argument(
        "--bands",
        type=comma_list,
        default=[],
        metavar="NAMES",
        help="of the source (all that there are)",
    )
    p.add_argument("--obsid", default="", help="of the source (all that there are)")
    p.add_argument("--out", default="run.png", metavar="FILE", help="the figure (run.png)")
    p.add_argument("--draws", metavar="FILE", help="save the draws: .nc (for ArviZ) or .fits")
    p.add_argument(
        "--engine", default="", metavar="MODULE:CLASS", help="trust this engine of your own"
    )
    p.add_argument("--inputs", metavar="DIR", help="where the inputs of the job are now")


def main(args: Namespace) -> ExitCode:
    if args.field:
        from ..extract.find import find_field
        from ..report.field_figures import plot_source

        print(plot_source(find_field(args.results), args.field, args.out, args.bands, args.obsid))
        return ExitCode.OK
    from ..files.results import open_results
    from ..report.plot import plot_run

    with open_results(args.results) as results:
        print(plot_run(results, args.run, args.out, args.draws, args.engine, args.inputs))
    return ExitCode.OK
