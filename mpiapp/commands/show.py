"""`mpiapp show`: print what happened in a job, or rows of its results."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp show results.h5                  # what happened",
    "mpiapp show results.h5 --outcome null --level master",
    "mpiapp show results.h5 --flag unconverged --out unconverged.fits",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument("--failures", action="store_true", help="print what failed, and why")
    p.add_argument("--published", metavar="TABLE", help="print these catalog values beside it")
    p.add_argument("--rows", action="store_true", help="print rows of the photometry")
    p.add_argument(
        "--target",
        metavar="NAME",
        help="only rows of this target, component, or part of a target's name, '*' for any",
    )
    p.add_argument("--level", choices=("obsid", "stack", "master"), help="only this level")
    for name in ("band", "aperture", "quantity"):
        p.add_argument(f"--{name}", help=f"only this {name}")
    p.add_argument("--outcome", help="only this outcome, for example upper-limit; null is any NULL")
    p.add_argument("--flag", help="only rows with this flag, for example unconverged")
    p.add_argument("--limit", type=int, default=50, help="print no more rows than these (50)")
    p.add_argument(
        "--out", metavar="FILE", help="write the rows: .fits, .ecsv, .vot, .parquet or .csv"
    )


def main(args: Namespace) -> ExitCode:
    from ..files.results import open_results

    with open_results(args.results) as results:
        if args.published:
            from ..validate.published import published_table

            print(published_table(results, args.published))
            return ExitCode.OK
        from ..report.rows import FILTERS, Filter, photometry, rows_table
        from ..report.show import failures_table, job_table

        chosen = {name: getattr(args, name) for name in FILTERS}
        if args.failures:
            print(failures_table(results))
        elif args.out:
            from ..products.export import write_table

            table = photometry(results, Filter(**chosen))
            print(f"{write_table(table, args.out)}: {len(table)} rows")
        elif args.rows or any(chosen.values()):
            print(rows_table(results, Filter(**chosen), args.limit))
        else:
            print(job_table(results))
    return ExitCode.OK
