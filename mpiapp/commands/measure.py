"""`mpiapp measure`: photometry of a table of single sources, at once."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..catalog.names import comma_list
from ..exit_code import ExitCode
from .column_map import COLUMNS, TABLE, add_mapping

EXAMPLES = (
    "mpiapp measure counts.csv fluxes.vot --set photon_energy_kev=1.7",
    "mpiapp measure mine.fits photometry.fits --quantities flux,cnts --processes 0",
)
NOTES = COLUMNS


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("table", metavar="TABLE", help=TABLE)
    p.add_argument("out", metavar="OUT", help="photometry: .fits, .ecsv, .vot, .parquet or .csv")
    p.add_argument(
        "--quantities", metavar="NAMES", help="of flux,photflux,rate,cnts (all that can be)"
    )
    add_mapping(p)
    p.add_argument(
        "--engine",
        default="exact",
        metavar="NAME",
        help="of exact, gibbs, pymc3, pymc, get_draws (exact)",
    )
    p.add_argument(
        "--with",
        dest="extras",
        type=comma_list,
        default=[],
        metavar="NAMES",
        help="more columns, of ml,no_source,detection_limit,hdi (docs: Limits)",
    )
    p.add_argument(
        "--levels", default="", metavar="L,...", help="bounds at other levels in percent: 90,99.7"
    )
    for name, default, what in (
        ("false-alarm", 0.1, "how often the background alone may be a detection"),
        ("power", 0.5, "how often a source at the detection limit is one"),
    ):
        p.add_argument(f"--{name}", type=float, default=default, help=f"{what} ({default:g})")
    p.add_argument("--seed", type=int, default=0, help="of engines that draw (0)")
    p.add_argument("--processes", type=int, default=1, help="0 is one for each core (1)")
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")


def main(args: Namespace) -> ExitCode:
    import os

    from ..api import check_engine
    from ..catalog.fault import InputError, grouped
    from ..files.catalog_tables import read_table
    from ..files.column_map import Given
    from ..files.counts_table import find_counts
    from ..files.layouts import suits
    from ..files.own_columns import NUMBERS
    from ..photometry.detection import Detection
    from ..photometry.extras import Extras
    from ..photometry.ladder import Policy
    from ..products.beside import percentages
    from ..products.export import writable, write_table
    from ..products.measured import PREFIX, measured_table, n_failed, tally
    from ..tables import chosen_quantities, clashing, measure_counts, more_fields

    check_engine(args.engine)
    if writable(args.out).exists():
        if os.path.exists(args.table) and os.path.samefile(args.out, args.table):
            raise InputError(f"{args.out}: is the table itself; name another file for the results")
        if not args.overwrite:
            raise InputError(f"{args.out}: exists already; name another file, or add --overwrite")
    given = Given.of(args.mapping, args.map, args.set)
    source = read_table(args.table, suits(given, NUMBERS))
    counts = find_counts(source, given)
    if not len(counts):
        raise InputError(f"{source.name}: no row in it; check that it is the right table")
    quantities = chosen_quantities(counts, args.quantities)
    levels = percentages(args.levels)
    more = more_fields(args.extras, levels)
    policy = Policy(extras=Extras(detection=Detection(args.false_alarm, args.power)))
    for note in source.notes + counts.layout.notes(source.table.colnames, of_jobs=False):
        print(f"{args.table}: {note}")
    for said in grouped(counts.faults()):
        print(f"mpiapp: {said}", file=sys.stderr)
    prefix = ""
    if clash := clashing(source.table.colnames, quantities, prefix, more):
        prefix = PREFIX
        print(f"{args.table}: has a column {clash}, so that results are called {prefix}…")
    if again := clashing(source.table.colnames, quantities, prefix, more):
        raise InputError(
            f"{args.table}: column {again}: the result has one of that name; rename it"
        )
    found = measure_counts(
        counts,
        quantities,
        args.engine,
        args.seed,
        policy=policy,
        processes=args.processes,
        extras=args.extras,
        levels=levels,
    )
    table = measured_table(counts, quantities, found, prefix, more)
    table.meta |= {"engine": args.engine, "seed": str(args.seed)}
    write_table(table, args.out)
    print(f"{args.out}: {tally(counts, quantities, found)}")
    return ExitCode.RUNS_FAILED if n_failed(counts, quantities, found) else ExitCode.OK
