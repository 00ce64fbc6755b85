"""Products as HATS catalogs: partitioned by position, as LSDB and survey archives read them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..catalog.fault import InputError

SUFFIX = ".hats"


def write_hats(
    table: Table, path: str | Path, write_parquet: Callable[[Table, Path], None]
) -> Path:
    """Write a product with the columns ra and dec, in degrees, as the folder of a HATS catalog.

    The folder appears in one step.  What the table says of itself are properties `mpiapp_…` of
    the catalog.  Raises InputError if the folder is there already, if positions are missing, or
    if the package hats-import is not installed.
    """
    path = Path(path)
    if path.exists():
        raise InputError(f"{path}: is there already; remove it or name another folder")
    of = {name.lower(): name for name in table.colnames}
    if not {"ra", "dec"} <= set(of):
        raise InputError(f"{path}: HATS needs positions; take them along with --carry ra,dec")
    for name in (of["ra"], of["dec"]):
        values = np.ma.filled(np.ma.asarray(table[name].data, dtype=float), np.nan)
        if len(bad := np.flatnonzero(~np.isfinite(values))):
            raise InputError(
                f"{path}: column {name} is NULL in {len(bad)} rows, row {bad[0] + 1} the first; "
                "HATS needs a position for each: give them in the imported table"
            )
    try:
        from dask.distributed import Client
        from hats_import.catalog.arguments import ImportArguments
        from hats_import.pipeline import pipeline_with_client
    except ImportError:
        raise InputError(
            f"{path}: HATS needs hats-import: pip install 'mpiapp[hats]' (Python 3.11 or later)"
        ) from None
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}") as folder:
        parquet = Path(folder) / "table.parquet"
        write_parquet(table, parquet)
        wanted = ImportArguments(
            ra_column=of["ra"],
            dec_column=of["dec"],
            catalog_type="object" if table.meta.get("level") == "master" else "source",
            input_file_list=[parquet],
            file_reader="parquet",
            expected_total_rows=len(table),
            addl_hats_properties={f"mpiapp_{key}": value for key, value in table.meta.items()},
            output_path=folder,
            output_artifact_name=path.stem,
            tmp_dir=folder,
            progress_bar=False,
            resume=False,
        )
        with Client(
            processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as c:
            pipeline_with_client(wanted, c)
        os.replace(Path(folder) / path.stem, path)
    return path
