"""`mpiapp export`: the catalog's table from a results file, a row per source.

NULL, limit and value are told apart in every format: what is NULL is masked, and the
outcome and the flags stand beside every number.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import MaskedColumn, Table
from astropy.utils.exceptions import AstropyWarning

from .. import __version__
from ..catalog.bundle import InputError
from ..catalog.masters import Associations
from ..catalog.quantities import Matrix
from ..files.replacing import replacing
from ..files.results import Results, readable
from . import hats
from .beside import Beside
from .carried import carried_columns
from .columns import (
    KEYS,
    CatalogColumn,
    Compared,
    Field,
    columns,
    empty,
    fields,
    significance_columns,
)
from .energy_errors import Errors, best_blocks, bounds, every_block, relative_errors, widened
from .hardness import hardness_columns
from .kept import compared_of, smoothing_of
from .rows import RowsOf, is_of, name_parts, row_numbers, selected
from .variability import variability


def catalog_table(
    results: Results,
    level: str,
    extras: Sequence[str] = (),
    associations: Associations | None = None,
    carry: Sequence[str] = (),
    prep3: Iterable[str] = (),
    levels: Sequence[Field] = (),
    energy_errors: bool = False,
    compared: Compared | None = None,
) -> Table:
    """The product of one level: a row per detection, stack detection, master source or block.

    level : "obsid", "stack", "master" (averages, and the best block under the plain names) or
    "block" (every Bayesian Block of every master source)
    extras : names of `products.columns.EXTRAS`
    associations : which components make which master source; without it nothing is said of
    variability between observations
    carry, prep3 : columns that came along with the counts ("all" for all), and the files that have
    them
    levels : bounds at other levels, as `level_fields` makes them, from kept densities
    energy_errors : whether bounds of energy fluxes allow for the error of mean photon energies
    compared : which fluxes make hardness and variability, and the energies of bands; those of the
    job's configuration by default

    The results are read in pieces, so that memory is that of the table.  Column descriptions
    and units are set, UCDs stand in `column.meta["ucd"]`, and `table.meta` holds the jobs.
    Raises InputError if the file has nothing of this level, or an extra is unknown.
    """
    try:
        chosen = fields(extras)
    except ValueError as error:
        raise InputError(f"columns: {error}") from None
    rows_of, matrices = _index(results, level)
    compared = compared or compared_of(results)
    if not rows_of:
        raise InputError(f"{results.path}: no results at level {level}")
    with readable(results.path, "/photometry, column target"):
        table = _key_columns(level, list(rows_of))
    for average in (True, False) if level == "master" else (False,):
        places = {}
        wanted = list(columns(matrices[average], (*chosen, *levels), average, compared.energies))
        if level in ("obsid", "stack"):
            wanted += significance_columns(matrices[average], compared)
        for matrix, field, what in wanted:
            table[what.name] = _column(what, empty(len(table), what.dtype))
            places[matrix, field] = table[what.name]
        _fill(results, level, average, rows_of, places)
        if energy_errors:
            blocks = None
            if level == "block" and associations is not None:
                blocks = every_block(rows_of, associations)
            elif level == "master" and not average and associations is not None:
                blocks = best_blocks(results, associations)
            errors = relative_errors(prep3, level, rows_of, associations, blocks)
            _widen(places, errors, smoothing_of(results).level)
        for what, values in hardness_columns(results, level, average, rows_of, compared):
            table[what.name] = _column(what, _masked(what, values))
    if associations is not None and level == "master":
        for what, values in variability(results, associations, rows_of, compared):
            table[what.name] = _column(what, _masked(what, values))
    for what, values in (
        carried_columns(prep3, level, carry, rows_of, associations) if carry else ()
    ):
        if what.name in table.colnames:
            raise InputError(f"--carry {what.name}: the product has a column of that name")
        table[what.name] = _column(what, values)
    table.meta.update(_provenance(results, level))
    return table


def _index(results: Results, level: str) -> tuple[RowsOf, dict[bool, set[Matrix]]]:
    """The row of each source, by name; and the matrices that occur, of averages and of others."""
    names: set[tuple] = set()
    matrices: dict[bool, set[Matrix]] = {True: set(), False: set()}
    for rows in results.chunks("photometry"):
        rows = selected(rows, level)
        for target, component in np.unique(rows[["target", "component"]]).tolist():
            names.add(name_parts(level, target.decode(), component.decode()))
        is_average = np.char.endswith(rows["target"], b"/avg") & (level == "master")
        for average in (True, False):
            found = np.unique(rows[is_average == average][["band", "aperture", "quantity"]])
            matrices[average] |= {Matrix(*(v.decode() for v in m)) for m in found.tolist()}
    return {name: i for i, name in enumerate(sorted(names))}, matrices


def _key_columns(level: str, names: list[tuple]) -> Table:
    table = Table(masked=True)
    for what, values in zip(KEYS[level], zip(*names), strict=True):
        table[what.name] = _column(what, np.ma.MaskedArray(np.array(values, dtype=str)))
    return table


def _column(what: CatalogColumn, data: np.ma.MaskedArray) -> MaskedColumn:
    return MaskedColumn(
        data, unit=what.unit or None, description=what.description, meta={"ucd": what.ucd}
    )


def _masked(what: CatalogColumn, values: np.ndarray) -> np.ma.MaskedArray:
    """Numbers as a column's type, NaN as NULL."""
    column, there = empty(len(values), what.dtype), np.isfinite(values)
    column[there] = values[there]
    return column


def _fill(
    results: Results,
    level: str,
    average: bool,
    rows_of: RowsOf,
    places: dict[tuple[Matrix, Field], MaskedColumn],
) -> None:
    beside, begin = Beside(results, {field.source for _, field in places}), 0
    for piece in results.chunks("photometry"):
        is_mine = is_of(piece, level, average)
        rows = piece[is_mine]
        further = {name: values[is_mine] for name, values in beside.of(piece, begin).items()}
        begin += len(piece)
        if not len(rows):
            continue
        at = row_numbers(rows, level, rows_of)
        kinds, kind = np.unique(rows[["band", "aperture", "quantity"]], return_inverse=True)
        kind = kind.reshape(-1)
        for i, words in enumerate(kinds.tolist()):
            matrix = Matrix(*(word.decode() for word in words))
            mine = rows[kind == i]
            for (owner, field), column in places.items():
                if owner == matrix:
                    values = further.get(field.source)
                    own = _values(mine, field) if values is None else values[kind == i]
                    column[at[kind == i]] = np.ma.masked_invalid(own)


def _widen(places: dict[tuple[Matrix, Field], MaskedColumn], errors: Errors, level: float) -> None:
    """Have the bounds of energy fluxes allow for the errors of mean photon energies.

    level : probability between `lolim` and `hilim`
    """
    for matrix in {matrix for matrix, _ in places if matrix.quantity == "flux"}:
        of = {field.source: column for (m, field), column in places.items() if m == matrix}
        error = errors.get((matrix.band, matrix.aperture))
        if error is not None:
            for *names, wide in list(bounds(of, level)):
                old = (of[name].filled(np.nan) for name in ("value", *names))
                for name, new in zip(names, widened(*old, wide * error)):
                    of[name][:] = np.ma.masked_invalid(new)


def _values(rows: np.ndarray, field: Field) -> np.ma.MaskedArray:
    """The numbers of a field; what is not finite is NULL."""
    if field.source in ("alpha", "beta"):
        with np.errstate(divide="ignore", invalid="ignore"):
            beta = rows["mean"] / rows["rms"] ** 2
            return np.ma.masked_invalid(beta if field.source == "beta" else beta * rows["mean"])
    if field.source == "significance":
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.ma.masked_invalid(2.0 * rows["value"] / (rows["hilim"] - rows["lolim"]))
    values = rows[field.source]
    return np.ma.masked_invalid(values) if values.dtype.kind == "f" else np.ma.MaskedArray(values)


def _provenance(results: Results, level: str) -> dict[str, str]:
    jobs = results.table("jobs")
    made = {
        "creator": f"mpiapp {__version__}",
        "results": results.path.name,
        "level": level,
        "jobs": str(len(jobs)),
    }
    if len(jobs):
        with readable(results.path, "/jobs, column config"):
            config = json.loads(jobs["config"][0])
            made |= {"engine": config["engine"]["name"], "seed": str(config["seed"])}
        made |= {
            "config": str(jobs["config_hash"][0]),
            "revision": str(jobs["revision"][0]),
            "started": str(jobs["started"][0]),
            "ended": str(jobs["ended"][-1]),
            "inputs": str(len(np.unique(results.table("inputs")["path"]))),
        }
    return made


def writable(path: str | Path) -> Path:
    """The path, if `write_table` can write what its suffix names; raises InputError otherwise."""
    path = Path(path)
    known = (*_WRITERS, hats.SUFFIX)
    if path.suffix not in known:
        raise InputError(f"{path}: suffix {path.suffix!r}: expected {', '.join(known)}")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise InputError(f"{path}: Parquet needs pyarrow: pip install 'mpiapp[parquet]'")
    return path


def write_table(table: Table, path: str | Path) -> Path:
    """Write a product in the format of its suffix, replacing the file in one step.

    .fits, .ecsv, .vot or .xml (VOTable), .parquet (needs pyarrow), .csv, or .hats (see `hats`)

    Raises InputError for another suffix, or if pyarrow is missing; OSError as usual.
    """
    path = writable(path)
    if path.suffix == hats.SUFFIX:
        return hats.write_hats(table, path, _write_parquet)
    with replacing(path) as new, warnings.catch_warnings():
        # Of units that a format does not know, or calls deprecated: erg is what everybody uses.
        warnings.simplefilter("ignore", AstropyWarning)
        _WRITERS[path.suffix](table, new)
    return path


def _write_fits(table: Table, path: Path) -> None:
    plain = table.copy(copy_data=False)
    plain.meta = {}
    for name in table.colnames:
        if table[name].dtype.kind == "U":  # FITS holds ASCII
            ascii = np.char.encode(table[name].filled(""), "ascii", "backslashreplace")
            plain.replace_column(name, _like(table[name], ascii))
    hdu = fits.table_to_hdu(plain)
    hdu.name = "CATALOG"
    for i, name in enumerate(table.colnames, 1):
        column = table[name]
        for keyword, said in (("TCOMM", column.description), ("TUCD", column.meta["ucd"])):
            if said:
                hdu.header[f"{keyword}{i}"] = said
    for key, value in table.meta.items():
        hdu.header["HISTORY"] = f"{key}: {value}"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=True)


def _write_votable(table: Table, path: Path) -> None:
    votable = from_table(table)
    for field in votable.get_first_table().fields:
        field.ucd = table[field.name].meta["ucd"]
        # from_table repeats the metadata of a column as text after its description
        field.description = table[field.name].description
    for key, value in table.meta.items():
        votable.infos.append(Info(name=key, value=value))
    votable.to_xml(str(path))


def _write_parquet(table: Table, path: Path) -> None:
    """With true nulls, and what VOTable has of each column as metadata of its field."""
    import pyarrow
    from pyarrow import parquet

    arrays, kinds = [], []
    for column in map(_flat, table.itercols()):
        arrays.append(pyarrow.array(column.data.data, mask=np.ma.getmaskarray(column.data)))
        about = {"description": column.description or "", "ucd": column.meta["ucd"] or ""}
        about |= {"unit": str(column.unit)} if column.unit else {}
        kinds.append(pyarrow.field(column.name, arrays[-1].type, metadata=about))
    schema = pyarrow.schema(kinds, metadata=table.meta)
    parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), path)


def _write_csv(table: Table, path: Path) -> None:
    Table([_flat(column) for column in table.itercols()]).write(path, format="ascii.csv")


def _flat(column: MaskedColumn) -> MaskedColumn:
    """The column, or its vectors and complex numbers as text."""
    if column.ndim == 1 and column.dtype.kind != "c":
        return column
    return _like(column, np.array([str(value) for value in column.tolist()], dtype=str), False)


def _like(column: MaskedColumn, data: np.ndarray, mask=None) -> MaskedColumn:
    return MaskedColumn(
        data,
        column.name,
        np.ma.getmaskarray(column) if mask is None else mask,
        unit=column.unit,
        description=column.description,
        meta=column.meta,
    )


_WRITERS: dict[str, Callable[[Table, Path], None]] = {
    ".fits": _write_fits,
    ".ecsv": lambda table, path: table.write(path, format="ascii.ecsv"),
    ".vot": _write_votable,
    ".xml": _write_votable,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}
