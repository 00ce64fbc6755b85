"""Tables of associations and Bayesian Blocks to an mst3 file.

docs/counts-tables.md describes the columns.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..catalog.fault import Fault, InputError
from ..catalog.masters import Blocks, Links, associate, names_array
from .aperture_counts import fault
from .catalog_tables import read_table
from .fields import choice, number, text, whole
from .flat_tables import ImportReport, nothing_in
from .mst3 import write_mst3_tables

LINK_COLUMNS = ("master", "match_type", "stack", "component")
BLOCK_COLUMNS = ("master", "block", "stack", "obsid")


def import_associations(
    path: str | os.PathLike, out: str | os.PathLike, blocks: str | os.PathLike | None = None
) -> ImportReport:
    """Write an mst3 file from a table of associations and, if given, one of blocks.

    Raises InputError as `import_table` does.  A row that cannot be used costs
    its master source: its other rows are left out as well.
    """
    faults: list[Fault] = []
    spoiled: set[str] = set()

    def rows(path, required, parse: Callable[[dict], tuple]) -> Iterator[tuple]:
        source = read_table(path, lambda names: set(required) <= set(names))
        columns = {name: source.table[name].tolist() for name in source.table.colnames}
        if lacking := [name for name in required if name not in columns]:
            raise InputError(f"{path}: without the columns {', '.join(lacking)}; add them")
        for row, values in enumerate(zip(*columns.values())):
            record = {k: v for k, v in zip(columns, values) if v is not None}
            try:
                if row in source.spoiled:
                    raise source.spoiled[row]
                yield f"{source.name}, {source.where(row)}", *parse(record)
            except InputError as error:
                master = str(record.get("master", ""))
                faults.append(replace(fault(source, row, error), master=master or None))
                spoiled.add(master)

    link_rows = list(rows(path, LINK_COLUMNS, _link))
    block_rows = list(rows(blocks, BLOCK_COLUMNS, _block)) if blocks is not None else []
    links = Links(*(names_array([r[i] for r in link_rows]) for i in range(1, 5)))
    block_table = Blocks(
        names_array([r[1] for r in block_rows]),
        np.array([r[2] for r in block_rows], dtype=np.int64),
        names_array([r[3] for r in block_rows]),
        names_array([r[4] for r in block_rows]),
        np.array([r[5] for r in block_rows], dtype=np.float64),
        np.array([r[6] for r in block_rows], dtype=np.int64),
    )
    for conflict in associate(links, block_table)[1]:
        is_link = conflict.table == "links"
        place = (link_rows if is_link else block_rows)[conflict.row][0]
        message = f"{place}: column {conflict.column}, master {conflict.master}: {conflict.message}"
        faults.append(Fault(message, str(path if is_link else blocks), master=conflict.master))
        spoiled.add(conflict.master)
    keep = [
        np.array([r[1] not in spoiled for r in table], dtype=bool)
        for table in (link_rows, block_rows)
    ]
    if not keep[0].any():
        raise InputError(f"{path}: {nothing_in('association', faults)}")
    kept = [
        type(table)(*(column[mask] for column in vars(table).values()))
        for table, mask in zip((links, block_table), keep)
    ]
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_mst3_tables(out, *kept)
    return ImportReport(int(sum(mask.sum() for mask in keep)), [out], faults)


def _link(record: dict) -> tuple[str, str, str, str]:
    kind = choice(text(record, "match_type"), "match_type", ("u", "a", "n"))
    component = text(record, "component") if record.get("component") else ""
    return text(record, "master"), kind, text(record, "stack"), component


def _block(record: dict) -> tuple[str, int, str, str, float, int]:
    exposure = record.get("exposure")
    given = not (exposure is None or (isinstance(exposure, float) and math.isnan(exposure)))
    return (
        text(record, "master"),
        whole(record, "block"),
        text(record, "stack"),
        text(record, "obsid"),
        number(record, "exposure") if given else math.nan,
        whole(record, "time_block") if "time_block" in record else 0,
    )
