"""`mpiapp extract`: make prep3 files from events, regions and PSF images."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..catalog.names import comma_list
from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp extract products prep3           # files of the catalog, by their names",
    "mpiapp extract field.toml prep3 --masters 2",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument(
        "field",
        metavar="FIELD",
        help="folder of catalog products or of srcflux, or a field file (.toml, or a table)",
    )
    p.add_argument("directory", metavar="OUT", help="folder for the files")
    p.add_argument(
        "--bands",
        type=comma_list,
        default=[],
        metavar="NAMES",
        help="of b,h,m,s,u,w (all that there are)",
    )
    p.add_argument(
        "--masters",
        metavar="RADIUS|TABLE",
        help="master sources: components within so many arcsec, or a table of associations",
    )
    p.add_argument("--report", metavar="PAGE.html", help="a page with pictures of what is flagged")


def main(args: Namespace) -> ExitCode:
    from pathlib import Path

    from ..parallel.progress import During, UnbreakableStream

    with During("starting", silent=not sys.stderr.isatty()):
        from ..catalog.quantities import BANDS, in_order
        from ..extract.find import find_field
        from ..extract.positions import write_masters
        from ..parallel import extraction
        from ..parallel.world import connect
        from ..starter import starter

    here = connect()
    sys.stdout, sys.stderr = UnbreakableStream(sys.stdout), UnbreakableStream(sys.stderr)

    def finish(done, field) -> int:
        faults = [fault for one in done.done for fault in one.faults]
        for line in (*field.notes, *faults):
            print(f"mpiapp: {line}", file=sys.stderr)
        print(extraction.summary(done, args.directory))
        if done.stopped:
            print(f"mpiapp: {done.stopped}; the same command goes on", file=sys.stderr)
            return ExitCode.STOPPED
        if args.masters:
            for note in write_masters(args.masters, done.stacks, args.directory):
                print(f"  {note}")
        config = Path(args.directory) / "job.toml"
        if any(one.path for one in done.done) and not config.exists():
            energies = field.settings.energies
            own = {band: energies[band] for band in in_order(energies) if band not in BANDS}
            config.write_text(starter(args.directory, "exact", own), encoding="utf-8")
            print(f"  next, mpiapp run {config} --export sources.vot")
        if args.report:
            from ..report.field_figures import write_gallery

            print(write_gallery(field, done.done, args.directory, args.report))
        return ExitCode.RUNS_FAILED if faults else ExitCode.OK

    with here.guard():
        return extraction.run(
            lambda: find_field(args.field, args.bands), args.directory, here, finish
        )
