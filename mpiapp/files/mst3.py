"""mst3: which stack components make which master source, which obsids form which block.

One FITS file; layout version 1, the complete description is in docs/mst3.md:

    primary           CREATOR, MST3VER
    MASTER_STACK      a row per master source and stack component:
                      master, match_type (u, a or n), stack, component (blank for n)
    BLOCKS            a row per master source and contributing obsid (may be absent):
                      master, block, stack, obsid, exposure [s] (may be absent or NaN),
                      time_block (may be absent)
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from .._version import __version__
from ..catalog.fault import Fault, InputError
from ..catalog.masters import Associations, Blocks, Links, associate, names_array
from .fits_read import read_fits
from .fits_write import Field, table_hdu, text_array, write_hdus

VERSION = 1
_LINK_COLUMNS = dict.fromkeys(("master", "match_type", "stack", "component"), "text")
_BLOCK_COLUMNS = {
    "master": "text",
    "block": "number",
    "stack": "text",
    "obsid": "text",
    "exposure": "number",
    "time_block": "number",
}


class Mst3File(NamedTuple):
    """An mst3 file that has been read: its usable masters, and the faults of others."""

    path: str
    associations: Associations
    faults: list[Fault]


def read_mst3(path: str | os.PathLike) -> Mst3File:
    """Read an mst3 file.

    The checksum of every HDU that has one is compared.  A row that cannot be used costs its master
    source only and is in `faults`.
    Raises InputError if the file as a whole cannot be used.
    """
    tables: dict[str, dict[str, np.ndarray]] = {}
    places: dict[str, str] = {}
    primary, *extensions = read_fits(path, verify=True).hdus
    primary.choice("MST3VER", (VERSION,))
    for hdu in extensions:
        for name, wanted in (("MASTER_STACK", _LINK_COLUMNS), ("BLOCKS", _BLOCK_COLUMNS)):
            if hdu.name == name:
                if name in tables:
                    raise InputError(f"{hdu.place}: a second table {name}; keep one")
                tables[name] = hdu.columns(wanted, optional=("exposure", "time_block"))
                places[name] = hdu.place
    if "MASTER_STACK" not in tables:
        raise InputError(f"{path}: no table MASTER_STACK; add the associations")
    links = Links(**tables["MASTER_STACK"])
    blocks = _blocks(tables.get("BLOCKS"), places.get("BLOCKS"))
    associations, conflicts = associate(links, blocks)
    place_of = {"links": places["MASTER_STACK"], "blocks": places.get("BLOCKS")}
    faults = [
        Fault(
            f"{place_of[c.table]}, row {c.row + 1}, column {c.column}, master {c.master}: "
            f"{c.message}",
            str(path),
            master=c.master,
        )
        for c in conflicts
    ]
    return Mst3File(str(path), associations, faults)


def _blocks(columns: dict[str, np.ndarray] | None, place: str | None) -> Blocks:
    if columns is None:
        text, number = np.zeros(0, "S1"), np.zeros(0)
        whole = number.astype(np.int64)
        return Blocks(text, whole, text, text, number, whole)
    columns.setdefault("time_block", np.zeros(len(columns["block"]), np.int64))
    for name in ("block", "time_block"):
        kind = columns[name].dtype
        if kind.kind == "f":
            raise InputError(f"{place}, column {name}: format {kind}, expected whole numbers (K)")
    exposure = columns.get("exposure", np.full(len(columns["block"]), np.nan))
    return Blocks(
        columns["master"],
        columns["block"].astype(np.int64),
        columns["stack"],
        columns["obsid"],
        exposure.astype(np.float64),
        columns["time_block"].astype(np.int64),
    )


def write_mst3(
    path: str | os.PathLike,
    links: Iterable[tuple[str, str, str, str]],
    blocks: Iterable[tuple[str, int, str, str, float | None]] = (),
) -> None:
    """Write associations (master, match_type, stack, component) and blocks.

    A block row is (master, block, stack, obsid, exposure in s or None for the
    prep3 file's).  Raises InputError at the first row that cannot be used.
    """
    columns = list(zip(*links)) or [()] * 4
    link_table = Links(*(names_array(column) for column in columns))
    columns = list(zip(*blocks)) or [()] * 5
    block_table = Blocks(
        names_array(columns[0]),
        np.array(columns[1], dtype=np.int64),
        names_array(columns[2]),
        names_array(columns[3]),
        np.array([np.nan if e is None else e for e in columns[4]], dtype=np.float64),
        np.zeros(len(columns[0]), dtype=np.int64),
    )
    write_mst3_tables(path, link_table, block_table)


def write_mst3_tables(
    path: str | os.PathLike, links: Links, blocks: Blocks, history: Iterable[str] = ()
) -> None:
    """As `write_mst3`, from columns of names, for catalogs of a million rows.

    history : how it was made, a line each
    """
    conflicts = associate(links, blocks)[1]
    if conflicts:
        first = conflicts[0]
        raise InputError(
            f"{path}: master {first.master}, row {first.row + 1} of the {first.table}, column "
            f"{first.column}: {first.message}"
        )
    primary = fits.PrimaryHDU()
    primary.header["CREATOR"] = (f"mpiapp {__version__}", "program that wrote the file")
    primary.header["MST3VER"] = (VERSION, "layout of this file")
    for line in history:
        primary.header["HISTORY"] = line
    link_hdu = table_hdu(
        "MASTER_STACK",
        [
            Field("master", text_array(links.master)),
            Field(
                "match_type",
                text_array(links.match_type),
                comment="u unique, a ambiguous, n nondetection",
            ),
            Field("stack", text_array(links.stack)),
            Field("component", text_array(links.component)),
        ],
    )
    columns = [
        Field("master", text_array(blocks.master)),
        Field("block", blocks.block),
        Field("stack", text_array(blocks.stack)),
        Field("obsid", text_array(blocks.obsid)),
        Field("exposure", blocks.exposure, "s"),
    ]
    if blocks.time_block.any():
        comment = "block in the order of time; 0: none"
        columns.append(Field("time_block", blocks.time_block, comment=comment))
    write_hdus(path, [primary, link_hdu, table_hdu("BLOCKS", columns)])
