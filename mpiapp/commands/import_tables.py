"""`mpiapp import`: make prep3 and mst3 files from flat tables."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode
from .column_map import COLUMNS, TABLE, add_mapping

EXAMPLES = (
    "mpiapp import counts.csv prep3",
    "mpiapp import field_broad.flux prep3 --set photon_energy_kev=1.7",
    "mpiapp import mine.fits prep3 --map cnts=TOTAL --set band=b --set aperture=aper",
)
NOTES = COLUMNS


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("table", metavar="TABLE", help=TABLE)
    p.add_argument("directory", metavar="DIR", help="folder for the files")
    p.add_argument("--masters", metavar="TABLE", help="associations of components with masters")
    p.add_argument("--blocks", metavar="TABLE", help="obsids of the masters' Bayesian Blocks")
    add_mapping(p)


def main(args: Namespace) -> ExitCode:
    from pathlib import Path

    from ..catalog.fault import grouped
    from ..files.association_tables import import_associations
    from ..files.column_map import Given
    from ..files.flat_tables import import_table

    given = Given.of(args.mapping, args.map, args.set)
    before = set(Path(args.directory).glob("*.fits"))
    reports = {args.table: import_table(args.table, args.directory, given)}
    if args.masters:
        out = Path(args.directory) / "mst3.fits"
        tables = " and ".join(filter(None, (args.masters, args.blocks)))
        reports[tables] = import_associations(args.masters, out, args.blocks)
    for table, report in reports.items():
        for said in grouped(report.faults):
            print(f"mpiapp: {said}", file=sys.stderr)
        replaced = len(before.intersection(map(Path, report.files)))
        print(
            f"{table}: {report.accepted} rows accepted, {len(report.faults)} rejected, "
            f"{len(report.files)} files written to {args.directory}"
            + (f", {replaced} of them in place of older ones" if replaced else "")
        )
        for note in report.notes:
            print(f"  {note}")
    failed = any(report.faults for report in reports.values())
    return ExitCode.RUNS_FAILED if failed else ExitCode.OK
