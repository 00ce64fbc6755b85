"""Columns that came along into the prep3 files (SRCINFO): positions and the like, in a product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..catalog.fault import InputError
from ..catalog.masters import Associations
from ..catalog.quantities import APERTURES
from ..files.source_info import KEY, as_array, read_source_info
from .columns import CatalogColumn
from .rows import RowsOf

_POSITIONS = {
    "ra": ("deg", "pos.eq.ra", "right ascension, as imported"),
    "dec": ("deg", "pos.eq.dec", "declination, as imported"),
}


def carried_columns(
    paths: Iterable[str],
    level: str,
    names: Sequence[str],
    rows_of: RowsOf,
    associations: Associations | None = None,
) -> Iterator[tuple[CatalogColumn, np.ma.MaskedArray]]:
    """The named columns of SRCINFO, or all of them for "all", (len(rows_of),) each.

    names : a column's, or that with _BAND or _APERTURE_BAND after it for its value there
    paths : prep3 files.  A source has the value that the first file and row with one give it;
    without any it is NULL
    associations : which components make which master source, at the levels master and block

    Raises InputError if no file has a column of that name.
    """
    found: dict[str, list] = {}
    masters: dict[str, list[int]] = {}
    if level in ("master", "block"):
        if associations is None:
            raise InputError(
                "what a component brought along is a master's by --mst3: name the file"
            )
        for (name, *_), row in rows_of.items():
            masters.setdefault(name, []).append(row)
    for path in paths:
        info = read_source_info(path)
        if info is None:
            continue
        stack, obsid = info.meta["STACKID"], info.meta["OBS_ID"]
        kinds: dict[tuple[str, str], dict[str, str]] = {}
        for name in info.colnames[len(KEY) :] if "all" in names else names:
            if (place := _place(name, info.colnames[len(KEY) :])) is not None:
                kinds.setdefault(place[1:], {})[name] = place[0]
        bundles, components, bands, apertures = (
            np.char.strip(np.asarray(info[n], str)) for n in KEY
        )
        sources = np.char.add(np.char.add(bundles, "/"), components)
        for (aperture, band), wanted in kinds.items():
            mine = np.arange(len(info))
            if band:
                mine = np.flatnonzero((bands == band) & (apertures == aperture))
            _, first = np.unique(sources[mine], return_index=True)
            columns = {name: info[column].tolist() for name, column in wanted.items()}
            for i in mine[first].tolist():
                bundle, component = str(bundles[i]), str(components[i])
                if level in ("master", "block"):
                    rows = masters.get(associations.label(stack, component), ())
                else:
                    target = (stack, obsid, bundle) if level == "obsid" else (stack, bundle)
                    key = *target, component
                    rows = [rows_of[key]] if key in rows_of else ()
                for name in wanted:
                    values = found.setdefault(name, [None] * len(rows_of))
                    for row in rows:
                        if values[row] is None:
                            values[row] = columns[name][i]
    if missing := [name for name in names if name != "all" and name not in found]:
        raise InputError(
            f"--carry {missing[0]}: no prep3 file has a column of that name in SRCINFO"
        )
    for name, values in found.items():
        yield _carried(name, values)


def _place(name: str, columns: Sequence[str]) -> tuple[str, str, str] | None:
    """Column, aperture and band of a name, "" for the first that there is; None if it has none.

    `theta` is a column, `theta_b` that of band b and aperture aper, `theta_aper90_b` of aper90.
    """
    if name in columns:
        return name, "", ""
    column, _, band = name.rpartition("_")
    aperture = next((a for a in APERTURES if column.endswith(f"_{a}")), "")
    column = column.removesuffix(f"_{aperture}")
    return (column, aperture or APERTURES[0], band) if column in columns else None


def _carried(name: str, values: list) -> tuple[CatalogColumn, np.ma.MaskedArray]:
    is_null = np.array([v is None or v == "" or v != v for v in values])
    array = as_array(["" if gone else v for gone, v in zip(is_null, values)])
    unit, ucd, said = _POSITIONS.get(name.lower(), ("", "", "as imported"))
    what = CatalogColumn(name, unit, ucd, said, array.dtype.str[1:])
    return what, np.ma.MaskedArray(array, is_null)
