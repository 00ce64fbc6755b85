"""The command line: its parser, and what becomes of errors.

Every command returns an ExitCode.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys

from . import commands, examples, numba_home
from ._version import __version__
from .exit_code import ExitCode

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

_SKIES = ("survey", "crowded", "single", "bright", "faint")
_ENGINES = ("exact", "gibbs", "pymc3", "pymc", "get_draws")
_TABLE = "table of counts: text, FITS, VOTable, ECSV, Parquet or JSON lines, also .gz"
_KINDS = ("job", "requeue", "array", "merge", "scaling")


class _Parser(argparse.ArgumentParser):
    """One that says which command was meant."""

    def error(self, message: str):
        if found := re.match("argument COMMAND: invalid choice: '([^']*)'", message):
            near = difflib.get_close_matches(found[1], examples.EXAMPLES, 1)
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

    p = added.add_parser("init", help="write a commented configuration for a folder of files")
    p.add_argument("folder", metavar="FOLDER", nargs="?", help="folder with prep3 files")
    p.add_argument("config", metavar="CONFIG", nargs="?", help="(job.toml)")
    p.add_argument(
        "--from",
        dest="files",
        metavar="FILES",
        help="a field file (field.toml) for the files to extract that lie in this folder",
    )
    p.add_argument("--engine", metavar="NAME", help="engine of the configuration (pymc3)")
    p.set_defaults(call=commands.init)

    p = added.add_parser("run", help="measure everything that a configuration names")
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
    p.set_defaults(call=commands.run)

    p = added.add_parser("merge", help="make one results file of those of the shards")
    p.add_argument("out", metavar="OUT", help="results file to write")
    p.add_argument("results", metavar="RESULTS", nargs="+", help="results files of the shards")
    p.add_argument("--force", action="store_true", help="whatever their configurations and inputs")
    p.add_argument("--retry", action="store_true", help="leave out what failed, to be resumed")
    p.set_defaults(call=commands.merge)

    p = added.add_parser("jobscript", help="print a batch script for a machine")
    p.add_argument("machine", metavar="MACHINE", help="machine of the table of machines")
    p.add_argument("config", metavar="CONFIG", help="TOML file of the job")
    p.add_argument("--kind", choices=_KINDS, default="job", help="what the script is for (job)")
    p.add_argument("--name", default="mpiapp", help="name of the job (mpiapp)")
    p.add_argument("--nodes", type=int, default=1, help="number of nodes (1)")
    p.add_argument("--ranks", type=int, help="ranks on each node (one per core)")
    p.add_argument("--walltime", default="04:00:00", help="HH:MM:SS (04:00:00)")
    p.add_argument("--shards", type=int, default=10, help="parts of an array (10)")
    for name in ("account", "partition", "qos", "constraint", "mail"):
        p.add_argument(f"--{name}", help="instead of the machine's")
    p.add_argument(
        "--directive",
        action="append",
        dest="directives",
        metavar="TEXT",
        help="one more line for the scheduler, for example --directive=--nice=100; may be repeated",
    )
    p.add_argument("--machines", metavar="TABLE", help="table of machines (that of the package)")
    p.add_argument(
        "--script", default="", metavar="FILE", help="where it will lie (KIND.SCHEDULER)"
    )
    p.set_defaults(call=commands.jobscript)

    p = added.add_parser("plan", help="show the work list and its cost; measure nothing")
    p.add_argument("config", metavar="CONFIG", help="TOML file")
    p.add_argument("--workers", type=int, default=1, help="worker ranks of the estimate")
    p.add_argument("--timings", metavar="RESULTS", help="estimate from what its runs took")
    p.set_defaults(call=commands.plan)

    p = added.add_parser("import", help="make prep3 and mst3 files from flat tables")
    p.add_argument("table", metavar="TABLE", help=_TABLE)
    p.add_argument("directory", metavar="DIR", help="folder for the files")
    p.add_argument("--masters", metavar="TABLE", help="associations of components with masters")
    p.add_argument("--blocks", metavar="TABLE", help="obsids of the masters' Bayesian Blocks")
    _add_mapping(p)
    p.set_defaults(call=commands.import_tables)

    p = added.add_parser("extract", help="make prep3 files from events, regions and PSF images")
    p.add_argument(
        "field",
        metavar="FIELD",
        help="folder of catalog products or of srcflux, or a field file (.toml, or a table)",
    )
    p.add_argument("directory", metavar="OUT", help="folder for the files")
    p.add_argument("--bands", metavar="NAMES", help="of b,h,m,s,u,w (all that there are)")
    p.add_argument(
        "--masters",
        metavar="RADIUS|TABLE",
        help="master sources: components within so many arcsec, or a table of associations",
    )
    p.add_argument("--report", metavar="PAGE.html", help="a page with pictures of what is flagged")
    p.set_defaults(call=commands.extract)

    p = added.add_parser("measure", help="photometry of a table of single sources, at once")
    p.add_argument("table", metavar="TABLE", help=_TABLE)
    p.add_argument("out", metavar="OUT", help="photometry: .fits, .ecsv, .vot, .parquet or .csv")
    p.add_argument(
        "--quantities", metavar="NAMES", help="of flux,photflux,rate,cnts (all that can be)"
    )
    _add_mapping(p)
    p.add_argument(
        "--engine", default="exact", metavar="NAME", help=f"of {', '.join(_ENGINES)} (exact)"
    )
    p.add_argument("--seed", type=int, default=0, help="of engines that draw (0)")
    p.add_argument("--processes", type=int, default=1, help="0 is one for each core (1)")
    p.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    p.set_defaults(call=commands.measure)

    p = added.add_parser("simulate", help="write a mock catalog: prep3, mst3 and truth")
    p.add_argument("directory", metavar="DIR", help="folder for the catalog")
    p.add_argument("--detections", type=int, default=100, help="at least so many (100)")
    p.add_argument(
        "--preset",
        default="survey",
        help=f"kind of sky: {', '.join(_SKIES)}, or sample1 to sample10",
    )
    p.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (0)")
    p.add_argument(
        "--events",
        action="store_true",
        help="instead of prep3, events, regions, PSF images and exposure maps to extract",
    )
    p.set_defaults(call=commands.simulate)

    p = added.add_parser("show", help="print what happened in a job, or rows of its results")
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
    p.set_defaults(call=commands.show)

    p = added.add_parser("export", help="write the catalog's table: a row per source")
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument("out", metavar="OUT", help="table: .fits, .ecsv, .vot, .parquet, .csv or .hats")
    p.add_argument(
        "--level",
        choices=("obsid", "stack", "master", "block"),
        default="master",
        help="a row per detection, stack detection, master source or block (master)",
    )
    p.add_argument(
        "--with",
        dest="extras",
        default="",
        metavar="NAMES",
        help="more columns, of mode,mean,rms,gamma_alpha,gamma_beta,noise,n_obsids",
    )
    p.add_argument(
        "--mst3",
        metavar="FILE",
        help="the associations, at level master (those of the job, if they are where they were)",
    )
    p.add_argument(
        "--carry",
        default="",
        metavar="NAMES",
        help="columns that came along into the prep3 files, ra,dec for instance, or all",
    )
    p.add_argument("--inputs", metavar="DIR", help="where the inputs of the job are now")
    p.add_argument(
        "--mpdf",
        action="store_true",
        help="write the kept posterior densities instead: OUT is a folder of phot3 files",
    )
    p.set_defaults(call=commands.export)

    p = added.add_parser("blocks", help="find the Bayesian Blocks of master sources")
    p.add_argument("results", metavar="RESULTS", help="results file with photon fluxes of obsids")
    p.add_argument("mst3", metavar="MST3", help="mst3 file with the associations")
    p.add_argument("out", metavar="OUT", help="mst3 file to write, the same with these blocks")
    p.add_argument("--aperture", choices=("aper", "aper90"), default="aper", help="(aper)")
    p.add_argument(
        "--penalty",
        type=float,
        metavar="P",
        help="of each block in log10 (that with which 5 %% of constant sources are split)",
    )
    p.set_defaults(call=commands.blocks)

    p = added.add_parser("check", help="check results against their inputs, and measure some again")
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument("--sample", type=int, default=100, metavar="N", help="runs to repeat (100)")
    p.add_argument("--all", action="store_true", help="repeat all runs")
    p.add_argument("--inputs", metavar="DIR", help="where the input files are now")
    p.set_defaults(call=commands.check)

    p = added.add_parser("compare", help="print how two sets of photometry agree (Table 3)")
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument(
        "reference",
        metavar="REFERENCE",
        help="results file, table of the catalog, or simulated catalog (its folder)",
    )
    p.add_argument("--by", default="level,quantity,band", help="groups (level,quantity,band)")
    p.add_argument("--sample", help="name of the sample (that of the file)")
    p.add_argument("--worst", type=int, default=10, help="how many of the largest f to name (10)")
    p.add_argument(
        "--out",
        action="append",
        default=[],
        metavar="FILE",
        help="write the table here too: .txt, .ecsv or .tex; may be repeated",
    )
    p.add_argument("--figures", metavar="DIR", help="draw the figures into this folder")
    p.set_defaults(call=commands.compare)

    p = added.add_parser("plot", help="draw one run of a results file, or a source of a field")
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5), or FIELD of `extract`")
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--run", metavar="KEY", help='run id, or "level target band aperture quantity"'
    )
    which.add_argument(
        "--field", metavar="SOURCE", help="a source of a field: counts, regions, PSF"
    )
    p.add_argument("--bands", metavar="NAMES", help="of the source (all that there are)")
    p.add_argument("--obsid", default="", help="of the source (all that there are)")
    p.add_argument("--out", default="run.png", metavar="FILE", help="the figure (run.png)")
    p.add_argument("--draws", metavar="FILE", help="save the draws for ArviZ (netCDF)")
    p.add_argument(
        "--engine", default="", metavar="MODULE:CLASS", help="trust this engine of your own"
    )
    p.add_argument("--inputs", metavar="DIR", help="folder of the inputs, if they have moved")
    p.set_defaults(call=commands.plot)

    p = added.add_parser("verify", help="repeat the memo's verification, and report it")
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
        "--engines", help="of get_draws, pymc3, pymc, gibbs, exact (those installed; exact)"
    )
    p.add_argument("--ranks", type=int, default=0, help="worker ranks under mpiexec (no MPI)")
    p.add_argument("--seed", type=int, default=2022, help="of samples and draws (2022)")
    p.add_argument(
        "--real",
        nargs=2,
        metavar=("TABLE", "PUBLISHED"),
        help="real detections and their published values, as one more sample",
    )
    p.add_argument("--report", metavar="DIR", help="write the report here instead")
    p.set_defaults(call=commands.verify)

    p = added.add_parser("report", help="write what happened in a job as a page with figures")
    p.add_argument("results", metavar="RESULTS", help="results file (HDF5)")
    p.add_argument("out", metavar="OUT.html", help="page to write; it needs no network")
    p.set_defaults(call=commands.report)

    p = added.add_parser("timing", help="print time per run as in the memo's Table 4")
    p.add_argument("results", metavar="RESULTS", nargs="+", help="results files (HDF5)")
    p.add_argument("--plot", metavar="DIR", help="draw speed-up and efficiency into this folder")
    p.set_defaults(call=commands.timing)
    for name, p in added.choices.items():
        p.formatter_class = argparse.RawDescriptionHelpFormatter
        p.epilog = "\n  ".join([examples.HEADING, *examples.EXAMPLES[name]])
        if name in ("import", "measure"):
            p.epilog = "\n  ".join(examples.COLUMNS) + "\n\n" + p.epilog
    return parser


def _add_mapping(p: argparse.ArgumentParser) -> None:
    """Where a table of counts has its columns."""
    p.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="which column of TABLE is NAME, for example cnts=COUNTS; may be repeated",
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what NAME is in every row, for example band=b; may be repeated",
    )
    p.add_argument("--mapping", metavar="FILE", help="TOML file with [columns] and [values]")


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
    numba_home.find()
    parser = build_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return ExitCode.USAGE
    args = parser.parse_args(argv)
    from .parallel.progress import During

    with During("starting", silent=not sys.stderr.isatty()):
        from .catalog.bundle import InputError
        from .config import ConfigError
        from .engines import EngineMissing
        from .files.results import ResultsError

    try:
        return args.call(args)
    except (ConfigError, InputError, ResultsError, EngineMissing, FileNotFoundError) as error:
        print(f"mpiapp: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except BrokenPipeError:  # of a reader such as head; `run` does not depend on one
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except OSError as error:
        if args.call is commands.run:
            raise
        where = error.filename or getattr(args, "directory", None)
        reason = error.strerror or str(error)
        print(f"mpiapp: {where}: {reason}" if where else f"mpiapp: {reason}", file=sys.stderr)
        return ExitCode.USAGE
