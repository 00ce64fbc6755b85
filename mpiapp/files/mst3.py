"""mst3: which stack components make which master source, which obsids form which block.

One FITS file; layout version 1, the complete description is in docs/files.md:

    primary           CREATOR, MST3VER
    MASTER_STACK      a row per master source and stack component:
                      master, match_type (u, a or n), stack, component (blank for n)
    BLOCKS            a row per master source and contributing obsid (may be absent):
                      master, block, stack, obsid, exposure [s] (may be absent or NaN)
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from .._version import __version__
from ..catalog.bundle import InputError
from ..catalog.masters import (
    Associations,
    Blocks,
    Conflict,
    Links,
    associate,
)
from ..catalog.names import decode_name, encode_or_empty
from .fitsio import Rejection, open_hdus, read_columns
from .fitswrite import Column, primary_hdu, replace_file, table_hdu

VERSION = 1
_LINK_COLUMNS = dict.fromkeys(("master", "match_type", "stack", "component"), "text")
_BLOCK_COLUMNS = {
    "master": "text",
    "block": "number",
    "stack": "text",
    "obsid": "text",
    "exposure": "number",
}


@dataclass(frozen=True)
class Mst3File:
    """An mst3 file that has been read: its usable masters, and what is wrong with others."""

    path: str
    associations: Associations
    rejected: list[Rejection] = field(default_factory=list)


def read_mst3(path: str | os.PathLike, verify: bool = True) -> Mst3File:
    """Read an mst3 file.

    With `verify`, the checksum of every HDU that has one is compared.  A row
    that cannot be used costs its master source only and is in `rejected`.
    Raises InputError if the file as a whole cannot be used.
    """
    tables: dict[str, dict[str, np.ndarray]] = {}
    places: dict[str, str] = {}
    with open_hdus(path) as hdus:
        for number, hdu in enumerate(hdus):
            if verify:
                hdu.verify()
            if number == 0 and hdu.integer("MST3VER") != VERSION:
                raise InputError(
                    f"{hdu.place}: layout MST3VER {hdu.header['MST3VER']}, only {VERSION} can be "
                    "read"
                )
            for name, wanted in (("MASTER_STACK", _LINK_COLUMNS), ("BLOCKS", _BLOCK_COLUMNS)):
                if hdu.name == name:
                    if name in tables:
                        raise InputError(f"{hdu.place}: a second table {name}; keep one")
                    columns = read_columns(hdu, wanted, optional=("exposure",))
                    tables[name] = {name: _canonical(c) for name, c in columns.items()}
                    places[name] = hdu.place
    if "MASTER_STACK" not in tables:
        raise InputError(f"{path}: no table MASTER_STACK; add the associations")
    links = Links(**tables["MASTER_STACK"])
    blocks = _blocks(tables.get("BLOCKS"), places.get("BLOCKS"))
    associations, conflicts = associate(links, blocks)
    place_of = {"links": places["MASTER_STACK"], "blocks": places.get("BLOCKS")}
    rejected = [
        Rejection(
            f"{place_of[c.table]}, row {c.row + 1}, column {c.column}, master {c.master}: "
            f"{c.message}",
            master=c.master,
        )
        for c in conflicts
    ]
    return Mst3File(str(path), associations, rejected)


def _canonical(column: np.ndarray) -> np.ndarray:
    """Names as this program encodes them, since other programs may escape more or less."""
    if column.dtype.kind != "S":
        return column
    letters = np.frombuffer(column.tobytes(), dtype=np.uint8)
    if not ((letters == ord("%")) | (letters > 0x7E) | ((letters > 0) & (letters < 0x20))).any():
        return column
    return _names(map(decode_name, column.tolist()))


def _blocks(columns: dict[str, np.ndarray] | None, place: str | None) -> Blocks:
    if columns is None:
        text, number = np.zeros(0, "S1"), np.zeros(0)
        return Blocks(text, number.astype(np.int64), text, text, number)
    raw = columns["block"]
    if raw.dtype.kind == "f":
        raise InputError(f"{place}, column block: format {raw.dtype}, expected whole numbers (K)")
    exposure = columns.get("exposure", np.full(len(raw), np.nan))
    return Blocks(
        columns["master"],
        raw.astype(np.int64),
        columns["stack"],
        columns["obsid"],
        exposure.astype(np.float64),
    )


def write_mst3(
    path: str | os.PathLike,
    links: Iterable[tuple[str, str, str, str]],
    blocks: Iterable[tuple[str, int, str, str, float | None]] = (),
    creator: str = f"mpiapp {__version__}",
) -> None:
    """Write associations (master, match_type, stack, component) and blocks.

    A block row is (master, block, stack, obsid, exposure in s or None for the
    prep3 file's).  Raises InputError at the first row that cannot be used.
    """
    columns = list(zip(*links)) or [()] * 4
    link_table = Links(*(_names(column) for column in columns))
    columns = list(zip(*blocks)) or [()] * 5
    block_table = Blocks(
        _names(columns[0]),
        np.array(columns[1], dtype=np.int64),
        _names(columns[2]),
        _names(columns[3]),
        np.array([np.nan if e is None else e for e in columns[4]], dtype=np.float64),
    )
    write_mst3_tables(path, link_table, block_table, creator)


def write_mst3_tables(
    path: str | os.PathLike, links: Links, blocks: Blocks, creator: str = f"mpiapp {__version__}"
) -> None:
    """As `write_mst3`, from columns of encoded names, for catalogs of a million rows."""
    conflicts: list[Conflict] = associate(links, blocks)[1]
    if conflicts:
        first = conflicts[0]
        raise InputError(
            f"{path}: master {first.master}, row {first.row + 1} of the {first.table}, column "
            f"{first.column}: {first.message}"
        )
    cards = [
        ("CREATOR", creator, "program that wrote the file"),
        ("MST3VER", VERSION, "layout of this file"),
    ]
    comments = {"match_type": "u unique, a ambiguous, n nondetection"}
    hdus = [
        primary_hdu(cards),
        table_hdu(
            "MASTER_STACK",
            [Column(name, v, comment=comments.get(name, "")) for name, v in vars(links).items()],
        ),
        table_hdu(
            "BLOCKS",
            [
                Column(name, v, "s" if name == "exposure" else "")
                for name, v in vars(blocks).items()
            ],
        ),
    ]
    replace_file(path, hdus)


def _names(names: Iterable[str]) -> np.ndarray:
    return np.array(list(map(encode_or_empty, names)), dtype=np.bytes_)
