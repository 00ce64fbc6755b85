"""`mpiapp run`: measure everything that a configuration names."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, Namespace

from ..exit_code import ExitCode

EXAMPLES = (
    "mpiexec -n 8 mpiapp run job.toml        # one rank leads, seven measure",
    "mpiapp run job.toml --resume            # go on where it was stopped",
    "mpiapp run prep3/job.toml --export sources.vot",
)


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("config", metavar="CONFIG", help="TOML file, or a folder of prep3 files")
    p.add_argument("--resume", action="store_true", help="continue the job that did not end")
    p.add_argument(
        "--force", action="store_true", help="resume even if configuration or inputs have changed"
    )
    p.add_argument("--output", metavar="RESULTS", help="instead of the configuration's results")
    p.add_argument("--shard", metavar="K/N", help="only part K of N, into a file of its own")
    p.add_argument(
        "--export", metavar="TABLE", help="write the catalog's table as well: .vot, .fits, .ecsv …"
    )


def main(args: Namespace) -> ExitCode:
    from ..parallel.progress import During, UnbreakableStream

    with During("starting", silent=not sys.stderr.isatty()):
        from ..parallel import job
        from ..parallel.shares import MAX_SHARDS, Shard
        from ..parallel.task import Options
        from ..parallel.world import connect

    here = connect()
    try:
        shard = args.shard and Shard.parse(args.shard)
    except ValueError:
        expected = f"expected K/N with 1 <= K <= N <= {MAX_SHARDS}"
        print(f"mpiapp: --shard {args.shard}: {expected}", file=sys.stderr)
        return ExitCode.USAGE
    options = Options(args.resume, args.force, shard or None, args.output)
    # A job that is measured for hours must not end because nobody reads what it says.
    sys.stdout, sys.stderr = UnbreakableStream(sys.stdout), UnbreakableStream(sys.stderr)
    with here.guard():
        code = job.run(args.config, here, options)
    if args.export and here.rank == 0 and code in (ExitCode.OK, ExitCode.RUNS_FAILED):
        try:
            _export(args)
        except OSError as error:
            reason = error.strerror or str(error)
            said = f"{args.export}: {reason}; the results are complete, for mpiapp export"
            print(f"mpiapp: {said}", file=sys.stderr)
            return ExitCode.USAGE
    return code


def _export(args: Namespace) -> None:
    """The catalog's table of a job that has ended: of master sources, or else of stacks."""
    from ..config import load
    from ..files.results import open_results
    from ..files.source_info import read_source_info
    from ..report.rerun import job_inputs
    from .export import write_catalog

    left = signal.alarm(0)  # which waits for the end of MPI
    try:
        with open_results(args.output or load(args.config).output.results) as results:
            inputs = job_inputs(results)
            info = read_source_info(inputs[0].prep3[0])
            carry = [name for name in ("ra", "dec") if info and name in info.colnames]
            level = "master" if any(files.mst3 for files in inputs) else "stack"
            write_catalog(results, args.export, level, inputs, carry=carry)
    finally:
        signal.alarm(left)
