"""`mpiapp export`: write the catalog's table: a row per source."""

from __future__ import annotations

import contextlib
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..catalog.names import comma_list
from ..exit_code import ExitCode

if TYPE_CHECKING:
    from astropy.table import Table

    from ..files.mst3 import Mst3File
    from ..files.results import Results
    from ..parallel.planning import InputFiles
    from ..products.columns import Compared, Field

EXAMPLES = (
    "mpiapp export results.h5 sources.vot",
    "mpiapp export results.h5 detections.fits --level obsid --with mode,mean,rms",
)


def add_arguments(p: ArgumentParser) -> None:
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
        type=comma_list,
        default=[],
        metavar="NAMES",
        help="more columns, of mode,mean,rms,gamma_alpha,gamma_beta,noise,n_obsids; and, if "
        "[extras] of the job asked for them, of ml,ml_sigma,no_source,threshold,detection_limit,"
        "hdi_lo,hdi_hi",
    )
    p.add_argument(
        "--levels",
        default="",
        metavar="L,...",
        help="bounds at other levels in percent, 90,99.7, of results whose densities are kept",
    )
    p.add_argument(
        "--hdi", action="store_true", help="intervals of highest density at those levels instead"
    )
    p.add_argument(
        "--mst3",
        metavar="FILE",
        help="mst3 file with the associations, at level master (the job's, if still there)",
    )
    p.add_argument(
        "--carry",
        type=comma_list,
        default=[],
        metavar="NAMES",
        help="columns that came along into the prep3 files, ra,dec for instance, or all; "
        "theta_b or theta_aper90_b for the value in one band",
    )
    p.add_argument(
        "--energy-errors",
        action="store_true",
        help="have bounds of energy fluxes allow for the error of the mean photon energies",
    )
    p.add_argument(
        "--config",
        metavar="CONFIG",
        help="[bands] and [products] of this configuration (those of the job)",
    )
    p.add_argument("--inputs", metavar="DIR", help="where the inputs of the job are now")
    p.add_argument(
        "--mpdf",
        action="store_true",
        help="write the kept posterior densities instead: OUT is a folder of phot3 files",
    )
    p.add_argument(
        "--table",
        choices=("backgrounds", "correlations"),
        help="write these of each run instead, if [extras] of the job asked for them",
    )


def main(args: Namespace) -> ExitCode:
    from ..catalog.fault import InputError
    from ..files.mst3 import read_mst3
    from ..files.results import open_results
    from ..products.beside import level_fields, percentages
    from ..products.export import write_table
    from ..products.phot3 import write_phot3
    from ..products.run_tables import run_table
    from ..report.rerun import job_inputs

    if args.mpdf:
        with open_results(args.results) as results:
            print(f"{args.out}: {write_phot3(results, args.level, args.out)} files")
        return ExitCode.OK
    if args.table:
        with open_results(args.results) as results:
            table = run_table(results, args.table, args.level)
        print(f"{write_table(table, args.out)}: {len(table)} rows, {len(table.columns)} columns")
        return ExitCode.OK
    levels = level_fields(percentages(args.levels), args.hdi)
    with open_results(args.results) as results:
        inputs = []
        is_needed = args.carry or args.energy_errors
        if is_needed or (args.level == "master" and not args.mst3):
            with contextlib.nullcontext() if is_needed else contextlib.suppress(InputError):
                inputs = job_inputs(results, args.inputs)
        mst3 = read_mst3(args.mst3) if args.mst3 else None
        compared = _compared(results, args.config)
        table, mst3 = write_catalog(
            results,
            args.out,
            args.level,
            inputs,
            mst3,
            args.extras,
            args.carry,
            levels,
            args.energy_errors,
            compared,
        )
    kept = f"[output] mpdf keeps no {compared.quantity}"
    if not any(name.startswith("hard_") for name in table.colnames):
        pairs = ", ".join("/".join(pair) for pair in compared.hardness.values())
        print(f"no hardness ratios: {kept} of the bands {pairs} at this level")
    if args.level == "master" and not any(name.startswith("var_") for name in table.colnames):
        needed = f"{kept} at level obsid in this job"
        print(f"no variability: {needed if mst3 else 'name the associations with --mst3'}")
    return ExitCode.OK


def _compared(results: Results, config: str | None) -> Compared:
    from ..products.kept import compared_of, comparison

    if config is None:
        return compared_of(results)
    from ..config import load

    given = load(config)
    return comparison(given.products.model_dump(), given.bands)


def write_catalog(
    results: Results,
    out: str,
    level: str,
    inputs: Sequence[InputFiles],
    mst3: Mst3File | None = None,
    extras: Sequence[str] = (),
    carry: Sequence[str] = (),
    levels: Sequence[Field] = (),
    energy_errors: bool = False,
    compared: Compared | None = None,
) -> tuple[Table, Mst3File | None]:
    """Write the catalog's table of a level, and say so; the table, and the associations in it.

    inputs : the files of the job, as far as they are needed and found
    mst3 : the associations, instead of the one file that the job had
    extras, carry, levels, energy_errors, compared : see `catalog_table`
    """
    from ..products.export import catalog_table, write_table

    if level in ("master", "block") and mst3 is None:
        of_job = {files.mst3.path: files.mst3 for files in inputs if files.mst3}
        mst3 = of_job.popitem()[1] if len(of_job) == 1 else None
    for fault in mst3.faults if mst3 else ():
        print(f"mpiapp: {fault.message}", file=sys.stderr)
    prep3 = [path for files in inputs for path in files.prep3]
    associations = mst3 and mst3.associations
    table = catalog_table(
        results, level, extras, associations, carry, prep3, levels, energy_errors, compared
    )
    print(f"{write_table(table, out)}: {len(table)} rows, {len(table.columns)} columns")
    return table, mst3
