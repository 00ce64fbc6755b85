"""`mpiapp lightcurve`: a source in each of its observations: table and picture."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, Namespace

from ..catalog.names import comma_list
from ..exit_code import ExitCode

EXAMPLES = (
    'mpiapp lightcurve results.h5 "2CXO J123456.7+012345" --plot curve.png',
    "mpiapp lightcurve obsids.h5 M1 --masters masters.h5 --out curve.ecsv --bands b,h",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file with level obsid")
    p.add_argument("source", metavar="SOURCE", help="a master source, or STACK/COMPONENT")
    p.add_argument("--out", metavar="FILE", help="table: .fits, .ecsv, .vot, .parquet or .csv")
    p.add_argument("--plot", metavar="FILE", help="picture: .png, .pdf or .svg")
    p.add_argument(
        "--bands", type=comma_list, default=[], metavar="NAMES", help="b,h for instance (all)"
    )
    p.add_argument("--quantity", metavar="NAME", help="(that of [products] of the job, photflux)")
    p.add_argument("--aperture", choices=("aper", "aper90"), default="aper", help="(aper)")
    p.add_argument(
        "--masters", metavar="RESULTS", help="results file with its average and blocks (RESULTS)"
    )
    p.add_argument("--mst3", metavar="FILE", help="mst3 file with the associations (the job's own)")
    p.add_argument("--inputs", metavar="DIR", help="where the inputs of the job are now")


def main(args: Namespace) -> ExitCode:
    from ..catalog.fault import InputError
    from ..files.mst3 import read_mst3
    from ..files.results import open_results
    from ..products.export import writable, write_table
    from ..products.kept import compared_of
    from ..products.light_curve import light_curve
    from ..products.observations import observations
    from ..report.light_curve_figure import plot_light_curve
    from ..report.rerun import job_inputs
    from ..report.text import lay_out

    if args.out:
        writable(args.out)
    with contextlib.ExitStack() as stack:
        results = stack.enter_context(open_results(args.results))
        masters = stack.enter_context(open_results(args.masters)) if args.masters else results
        inputs = []
        for of in dict.fromkeys((masters, results)):
            with contextlib.suppress(InputError):
                inputs += job_inputs(of, args.inputs)
        mst3 = read_mst3(args.mst3) if args.mst3 else next((f.mst3 for f in inputs if f.mst3), None)
        compared = compared_of(results)
        table = light_curve(
            results,
            args.source,
            observations(path for files in inputs for path in files.prep3),
            mst3 and mst3.associations,
            masters,
            args.bands,
            args.quantity or compared.quantity,
            args.aperture,
        )
    if args.out:
        print(f"{write_table(table, args.out)}: {len(table)} rows")
    if args.plot:
        print(plot_light_curve(table, args.plot, compared.energies))
    if not (args.out or args.plot):
        formats = dict.fromkeys(("value", "lolim", "hilim", "mode"), ".4g")
        for name, digits in (formats | {"mjd": ".4f", "mjd_end": ".4f", "exposure": ".0f"}).items():
            table[name].format = digits
        print(lay_out(table))
    return ExitCode.OK
