"""Published photometry as rows of /photometry: a table with the keys of runs, or one of CSC's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..catalog.fault import InputError
from ..catalog.outcome import Flag, Outcome
from ..catalog.quantities import QUANTITIES
from ..catalog.runs import RunKey
from ..files.catalog_tables import CatalogTable, read_table
from ..files.column_units import factor
from ..files.fields import RowError, name_of
from ..files.schema import PHOTOMETRY_DTYPE

KEY = ("level", "target", "component", "band", "aperture", "quantity")
_NUMBERS = ("value", "lolim", "hilim")
# The last part of a master source's target that stands for its best block, whichever that is.
BEST = "best"
_BY_COLUMN = {quantity.column: quantity for quantity in QUANTITIES.values()}
_CSC = re.compile(rf"(obi_)?({'|'.join(_BY_COLUMN)})_(aper90|aper)(_avg)?_([bhmsuw])")
# What names the target in CSC's tables of each level; the last is the component.
_TARGETS = {
    "obsid": ("detect_stack_id", "obsid", "region_id"),
    "stack": ("detect_stack_id", "region_id"),
    "master": ("name",),
}
_LEVELS = {"observation_source": "obsid", "stack_source": "stack", "master_source": "master"}


def read_published(path: str | Path) -> Table:
    """A table of published values: the key columns, value, lolim and hilim in our units.

    A table of CSC's has a row for each source and its values in columns such as flux_aper_b,
    flux_aper_lolim_b and flux_aper_hilim_b; what names its observations, stacks or master sources
    must be there.  Values of a master source are of its best block, with `_avg` of its average.

    Raises
    ------
    InputError
        If the table cannot be read or lacks a column.
    """
    source = read_table(
        path, lambda names: set(KEY) <= set(names) or any(map(_CSC.fullmatch, names))
    )
    names = source.table.colnames
    if not set(KEY) & set(names) >= {"level", "quantity"}:
        parts = list(_of_csc(source))
        if parts:
            return Table({n: np.concatenate([part[n] for part in parts]) for n in parts[0]})
    if missing := [name for name in (*KEY, *_NUMBERS) if name not in names]:
        raise InputError(
            f"{source.name}: columns {', '.join(missing)} are missing, and none is called as in "
            f"CSC's tables, flux_aper_b for instance; it has {', '.join(names[:30])}"
        )
    table = source.table[[*KEY, *_NUMBERS]]
    for name in _NUMBERS:
        if unit := table[name].unit:
            units = {q: QUANTITIES[q].unit for q in set(table["quantity"]) if q in QUANTITIES}
            what = f"{source.name}: column {name}"
            by_quantity = {q: factor(unit, own, what) for q, own in units.items()}
            table[name] = table[name] * [by_quantity.get(q, 1.0) for q in table["quantity"]]
    return table


def _of_csc(source: CatalogTable) -> Iterator[dict[str, np.ndarray]]:
    """The values of each column of CSC's, with the keys of their runs.

    Raises InputError if there are such columns, but what names their sources is missing.
    """
    table, targets_of, lacking = source.table, {}, {}
    for name in table.colnames:
        if not (match := _CSC.fullmatch(name)):
            continue
        of_observation, stem, aperture, average, band = match.groups()
        level = _LEVELS.get(table[name].meta.get("table", ""))
        if level is None:
            is_observed = of_observation or set(_TARGETS["obsid"]) <= set(table.colnames)
            level = "obsid" if is_observed else "master"
        if missing := [n for n in _TARGETS[level] if n not in table.colnames]:
            lacking[level] = missing
            continue
        bounds = [f"{name.removesuffix(f'_{band}')}_{end}_{band}" for end in ("lolim", "hilim")]
        if not set(bounds) <= set(table.colnames):
            continue
        quantity = _BY_COLUMN[stem]
        numbers = [_floats(source, column, quantity.unit) for column in (name, *bounds)]
        part = "avg" if average else BEST
        if (level, part) not in targets_of:
            targets_of[level, part] = _targets(source, level, part)
        targets, components = targets_of[level, part]
        # A row for each observation repeats what is a stack's or a master's.
        _, first = np.unique(targets, return_index=True)
        first = np.sort(first[targets[first] != ""])
        words = {"level": level, "band": band, "aperture": aperture, "quantity": quantity.name}
        yield {
            "target": targets[first],
            "component": components[first],
            **{key: np.full(len(first), word) for key, word in words.items()},
            **{key: values[first] for key, values in zip(_NUMBERS, numbers)},
        }
    if lacking and not targets_of:
        level, missing = next(iter(lacking.items()))
        raise InputError(
            f"{source.name}: columns {', '.join(missing)} are missing, which name what is measured "
            f"at level {level}; ask the service for them too"
        )


def _floats(source: CatalogTable, column: str, unit: str) -> np.ndarray:
    values = source.table[column]
    try:
        numbers = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    except ValueError:
        raise InputError(f"{source.name}: column {column}: expected numbers") from None
    return numbers * factor(values.unit, unit, f"{source.name}: column {column}")


def _targets(source: CatalogTable, level: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Target and component of each row; both empty where a name cannot be one."""
    found = []
    for cells in zip(*(source.table[name].tolist() for name in _TARGETS[level])):
        try:
            names = [name_of(cell, name) for cell, name in zip(cells, _TARGETS[level])]
        except RowError:
            found.append(("", ""))
            continue
        target = [*names, part] if level == "master" else names
        found.append(("/".join(target), names[-1]))
    targets, components = zip(*found)
    return np.array(targets), np.array(components)


def published_rows(path: str | Path) -> np.ndarray:
    """A published table as rows of /photometry; what a catalog does not tell is zero or NaN.

    A value of 0 is an upper limit, as in the catalog, and its lolim is 0; masked or NaN is NULL.
    """
    table = read_published(path)
    rows = np.zeros(len(table), PHOTOMETRY_DTYPE)
    for name in KEY:
        text = np.char.encode(np.asarray(table[name], dtype=str), "utf-8")
        if text.dtype.itemsize > rows.dtype[name].itemsize:
            raise InputError(
                f"{path}: column {name}: a text is longer than {rows.dtype[name].itemsize} bytes"
            )
        rows[name] = text
    for name in _NUMBERS:
        rows[name] = np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)
    rows["lolim"][(rows["value"] == 0) & np.isnan(rows["lolim"])] = 0
    rows["mode"] = rows["value"]
    rows["mean"] = rows["rms"] = rows["rhat"] = rows["ess"] = rows["noise"] = np.nan
    rows["outcome"] = np.select(
        [np.isnan(rows["value"]), rows["value"] == 0],
        [Outcome.NULL_FAILED, Outcome.UPPER_LIMIT],
        Outcome.MEASURED,
    )
    keys = (rows[name] for name in ("level", "target", "band", "aperture", "quantity"))
    rows["run_id"] = [RunKey(*(v.decode() for v in key)).run_id for key in zip(*keys)]
    return rows


def as_best(rows: np.ndarray) -> np.ndarray:
    """The rows of best blocks again, under the target that stands for them in CSC's tables."""
    best = rows[(rows["flags"] & int(Flag.BEST_BLOCK)) != 0].copy()
    best["target"] = np.char.add(best["component"], f"/{BEST}".encode())
    keys = (best[name] for name in ("level", "target", "band", "aperture", "quantity"))
    best["run_id"] = [RunKey(*(v.decode() for v in key)).run_id for key in zip(*keys)]
    return best
