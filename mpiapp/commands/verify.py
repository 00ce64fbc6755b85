"""`mpiapp verify`: repeat the memo's verification, and report it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..catalog.names import comma_list
from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp verify --catalog config/example/csc20_rows.csv.gz",
    "mpiapp verify check --engines gibbs,exact --size 12",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        help="folder for all of it, continued if there; with --catalog for a report with figures",
    )
    p.add_argument(
        "--catalog",
        metavar="ROWS",
        help="recompute these published rows of the catalog instead, and print how they agree",
    )
    p.add_argument(
        "--size",
        type=float,
        help="runs per sample, 0 for the memo's (12); of --catalog, rows drawn at random (all)",
    )
    p.add_argument(
        "--engines",
        type=comma_list,
        default=[],
        metavar="NAMES",
        help="of get_draws, pymc3, pymc, gibbs, exact (those installed; exact)",
    )
    p.add_argument("--ranks", type=int, default=0, help="worker ranks under mpiexec (no MPI)")
    p.add_argument("--seed", type=int, default=2022, help="of samples and draws (2022)")
    p.add_argument("--report", metavar="DIR", help="write the report here instead")


def main(args: Namespace) -> ExitCode:
    from ..catalog.fault import InputError
    from ..validate.real_report import verify_catalog
    from ..validate.verify import verify

    if args.catalog:
        folder, size = args.report or args.directory, int(args.size or 0)
        print(verify_catalog(args.catalog, args.engines or ("exact",), folder, size, args.seed))
        return ExitCode.OK
    if not args.directory:
        raise InputError("verify: name a folder, or published rows with --catalog ROWS")
    size = 12 if args.size is None else args.size
    engines = args.engines or None
    print(verify(args.directory, size, engines, args.ranks, args.seed, args.report))
    return ExitCode.OK
