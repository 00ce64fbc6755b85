"""`mpiapp merge`: join the results files of the shards of a job."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = ("mpiapp merge results.h5 results.shard1of2.h5 results.shard2of2.h5",)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("out", metavar="OUT", help="results file to write")
    p.add_argument("results", metavar="RESULTS", nargs="+", help="results files of the shards")
    p.add_argument("--force", action="store_true", help="whatever their configurations and inputs")
    p.add_argument("--retry", action="store_true", help="leave out what failed, to be resumed")


def main(args: Namespace) -> ExitCode:
    from ..catalog.outcome import n_unplanned
    from ..files.merge import merge

    merged = merge(args.out, args.results, force=args.force, retry=args.retry)
    done = ", merged already; nothing to do" if merged.already else ""
    print(f"{merged.path}: {merged.n_runs} runs of {len(args.results)} files{done}")
    if merged.gaps:
        for gap in merged.gaps:
            print(f"mpiapp: gap: {gap}", file=sys.stderr)
        print(
            f"mpiapp: complete it with `mpiapp run CONFIG --resume --output {args.out}`, or finish "
            "the shards and merge again",
            file=sys.stderr,
        )
        return ExitCode.STOPPED
    return ExitCode.RUNS_FAILED if n_unplanned(merged.outcomes) else ExitCode.OK
