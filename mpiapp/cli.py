"""The command line: its parser, and what becomes of errors.

Every command returns an ExitCode.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys

from ._version import __version__
from .commands import COMMANDS
from .exit_code import ExitCode

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# Above the examples of each command's help.
EXAMPLES_HEADING = "examples:"


class _Parser(argparse.ArgumentParser):
    """One that says which command was meant."""

    def error(self, message: str):
        if found := re.match("argument COMMAND: invalid choice: '([^']*)'", message):
            near = difflib.get_close_matches(found[1], COMMANDS, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            message = f"there is no command {found[1]}{meant}; `mpiapp --help` lists them"
        super().error(message)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the `mpiapp` command."""
    parser = _Parser(
        prog="mpiapp",
        description="Bulk Bayesian aperture photometry for the CSC, under MPI.",
        epilog="exit codes:\n" + "\n".join(f"  {c.value}  {c.description}" for c in ExitCode),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mpiapp {__version__}")
    added = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        p = added.add_parser(
            name,
            help=(command.__doc__ or "").partition("`: ")[2].rstrip("."),  # none with python -OO
            epilog=getattr(command, "NOTES", "")
            + "\n  ".join([EXAMPLES_HEADING, *command.EXAMPLES]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(p)
        p.set_defaults(call=command.main)
    return parser


def _open_standard_streams() -> None:
    """A file that is opened later would get the number of a closed stream, and all that is said."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    _open_standard_streams()
    # One thread a rank, unless the user wants otherwise; it must be set before numpy loads.
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    parser = build_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return ExitCode.USAGE
    args = parser.parse_args(argv)
    from .parallel.progress import During

    with During("starting", silent=not sys.stderr.isatty()):
        from .catalog.fault import ConfigError, InputError
        from .engines import EngineMissing
        from .files.replacing import check_folder_of
        from .files.schema import ResultsError
        from .parallel.world import WorldError

    outputs = getattr(args, "out", None) or getattr(args, "export", None) or []
    try:
        # Now, and not when the work is done.
        for path in [outputs] if isinstance(outputs, str) else outputs:
            check_folder_of(path)
    except OSError as error:
        print(f"mpiapp: {error.filename}: {error.strerror}", file=sys.stderr)
        return ExitCode.USAGE
    try:
        return args.call(args)
    except (
        ConfigError,
        InputError,
        ResultsError,
        EngineMissing,
        WorldError,
        FileNotFoundError,
    ) as error:
        print(f"mpiapp: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except BrokenPipeError:  # of a reader such as head; `run` does not depend on one
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except OSError as error:
        if args.command == "run":
            raise
        where = error.filename or getattr(args, "directory", None)
        reason = error.strerror or str(error)
        print(f"mpiapp: {where}: {reason}" if where else f"mpiapp: {reason}", file=sys.stderr)
        return ExitCode.USAGE
