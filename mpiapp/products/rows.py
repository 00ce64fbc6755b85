"""Which results make which row of a product."""

from __future__ import annotations

import numpy as np

from ..catalog.outcome import Flag

RowsOf = dict[tuple[str, ...], int]


def name_parts(level: str, target: str, component: str) -> tuple[str, ...]:
    """What names the row of a result, as the columns of KEYS[level]."""
    words = target.split("/")
    if level == "master":
        return (component,)
    if level == "block":
        return component, words[-1]
    return (*words, component)


def is_of(rows: np.ndarray, level: str, average: bool | None = None) -> np.ndarray:
    """(n,) whether rows belong to a product: at master level to its averages, best blocks, or both.

    average : whether averages, or best blocks; None for both
    """
    mine = rows["level"] == (b"master" if level == "block" else level.encode())
    if level in ("obsid", "stack"):
        return mine
    is_average = np.char.endswith(rows["target"], b"/avg")
    if level == "block":
        return mine & ~is_average
    best = (rows["flags"] & int(Flag.BEST_BLOCK)) != 0
    return mine & (is_average | best if average is None else is_average if average else best)


def selected(rows: np.ndarray, level: str, average: bool | None = None) -> np.ndarray:
    """The rows that `is_of` tells."""
    return rows[is_of(rows, level, average)]


def row_numbers(rows: np.ndarray, level: str, rows_of: RowsOf) -> np.ndarray:
    """(n,) the row of the product that each result belongs to."""
    keys, inverse = np.unique(rows[["target", "component"]], return_inverse=True)
    at = [rows_of[name_parts(level, t.decode(), c.decode())] for t, c in keys.tolist()]
    return np.array(at, dtype=np.int64)[inverse.reshape(-1)]
