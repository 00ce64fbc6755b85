"""`mpiapp export --table`: what a job has of its runs beside their sources, a row for each.

Backgrounds, a row for each observation of a run, and correlations, a row for each pair of sources
fitted together.  The numbers of one column have the units of its rows, which stand beside them.
"""

from __future__ import annotations

import numpy as np
from astropy.table import MaskedColumn, Table

from ..catalog.fault import InputError
from ..catalog.quantities import QUANTITIES
from ..files.packed_runs import starts
from ..files.results import Results
from ..files.schema import TABLES
from .rows import is_of

NAMES = ("backgrounds", "correlations")
_KEY = ("target", "band", "aperture", "quantity")
_UCDS = {
    "value": "", "lolim": "stat.min", "hilim": "stat.max", "mode": "", "mean": "stat.mean",
    "rms": "stat.stdev", "outcome": "meta.code", "ml": "stat.fit.param", "ml_sigma": "stat.stdev",
    "correlation": "stat.correlation",
}  # fmt: skip


def run_table(results: Results, name: str, level: str) -> Table:
    """/backgrounds or /correlations of one level, with whose they are and in what unit.

    level : as for `catalog_table`; at level "master" averages and best blocks, told by `target`

    Descriptions are set, UCDs stand in `column.meta["ucd"]`.  Raises InputError if the job was
    not asked for it, or has none at this level.
    """
    rows = results.table(name)
    if not len(rows):
        raise InputError(
            f"{results.path}: no {name}; name them in [extras] numbers of the job's configuration, "
            "and measure"
        )
    runs = results.table("runs")
    runs = runs[is_of(runs, level)]
    order = np.argsort(runs["run_id"])
    place = np.searchsorted(runs["run_id"], rows["run_id"], sorter=order)
    run = runs[order[np.minimum(place, len(runs) - 1)]] if len(runs) else runs
    mine = run["run_id"] == rows["run_id"] if len(runs) else np.zeros(len(rows), bool)
    if not mine.any():
        raise InputError(f"{results.path}: no {name} at level {level}")
    rows, run = rows[mine], run[mine]
    out = Table(masked=True)
    described = {column.name: column.description for column in TABLES["photometry"][0]}
    for key in _KEY:
        _add(out, key, run[key], described[key], "meta.id")
    if name == "correlations":
        _add(out, "component", _components(results, rows), described["component"], "meta.id")
    for column in TABLES[name][0]:
        if column.name not in ("run_id", "row"):
            ucd = _UCDS.get(column.name, "meta.id")
            _add(out, column.name, rows[column.name], column.description, ucd)
    if name == "backgrounds":
        units = {q.encode(): f"{quantity.unit} pix-1" for q, quantity in QUANTITIES.items()}
        unit = np.array([units[q] for q in run["quantity"].tolist()])
        _add(out, "unit", unit, "unit of these numbers", "meta.unit")
    out.meta = {"results": results.path.name, "level": level}
    return out


def _add(table: Table, name: str, values: np.ndarray, description: str, ucd: str) -> None:
    if values.dtype.kind == "S":
        values = np.char.decode(values)
    data = np.ma.masked_invalid(values) if values.dtype.kind == "f" else np.ma.MaskedArray(values)
    table[name] = MaskedColumn(data, description=description, meta={"ucd": ucd or None})


def _components(results: Results, rows: np.ndarray) -> np.ndarray:
    """(n,) the component that each row of /correlations is of."""
    runs, n_rows = results.column("runs", "run_id"), results.column("runs", "n_rows")
    order = np.argsort(runs)
    first = starts(n_rows)[order]
    at = first[np.searchsorted(runs, rows["run_id"], sorter=order)] + rows["row"]
    return results.column("photometry", "component")[at]
