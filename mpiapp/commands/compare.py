"""`mpiapp compare`: print how two sets of photometry agree (Table 3)."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..catalog.names import comma_list
from ..exit_code import ExitCode

EXAMPLES = (
    "mpiapp compare new.h5 old.h5 --by quantity --figures figures",
    "mpiapp compare results.h5 published.ecsv --out table3.tex",
    "mpiapp compare mock/results.h5 mock     # with the truth of a simulated catalog",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument(
        "reference",
        metavar="REFERENCE",
        help="results file, table of the catalog, or simulated catalog (its folder)",
    )
    p.add_argument(
        "--by",
        type=comma_list,
        default="level,quantity,band",
        metavar="NAMES",
        help="groups (level,quantity,band)",
    )
    p.add_argument("--sample", help="name of the sample (name of the file)")
    p.add_argument("--worst", type=int, default=10, help="how many of the largest f to name (10)")
    p.add_argument(
        "--out",
        action="append",
        default=[],
        metavar="FILE",
        help="write the table here too: .txt, .ecsv or .tex; may be repeated",
    )
    p.add_argument("--figures", metavar="DIR", help="draw the figures into this folder")


def main(args: Namespace) -> ExitCode:
    from ..report import compare
    from ..report.matching import open_side
    from ..validate.against_truth import catalog_of, compare_truth

    if catalog := catalog_of(args.reference):
        print(compare_truth(args.results, catalog, args.sample, args.figures))
        return ExitCode.OK
    with open_side(args.results) as side, open_side(args.reference) as reference:
        found = compare.compare(side, reference, args.sample, args.worst)
    print(compare.report([found], args.by, args.worst))
    for path in args.out:
        compare.write_table(compare.table_3([found], args.by), path)
    if args.figures:
        from ..report.figures import comparison_figures, difference_figures

        names = side.path.name, f"reference {reference.path.name}"
        paths = comparison_figures(found, args.figures, names)
        paths += difference_figures(found, args.figures)
        print("\n".join(map(str, paths)))
    return ExitCode.OK
