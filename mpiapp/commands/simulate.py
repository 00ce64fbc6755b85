"""`mpiapp simulate`: write a mock catalog: prep3, mst3 and truth."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = ("mpiapp simulate mock --detections 200 --preset crowded --seed 3",)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("directory", metavar="DIR", help="folder for the catalog")
    p.add_argument("--detections", type=int, default=100, help="at least so many (100)")
    p.add_argument(
        "--preset",
        default="survey",
        help="kind of sky: survey, crowded, single, bright, faint, or sample1 to sample10",
    )
    p.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (0)")
    p.add_argument(
        "--events",
        action="store_true",
        help="instead of prep3, events, regions, PSF images and exposure maps to extract",
    )


def main(args: Namespace) -> ExitCode:
    from ..simulate import simulate

    done = simulate(args.directory, args.detections, args.seed, args.preset, args.events)
    print(
        f"{done.detections} detections in {done.obsids} obsids ({done.prep3}), {done.masters} "
        f"master sources ({done.mst3}); truth in {done.truth} and {done.truth_masters}"
    )
    return ExitCode.OK
