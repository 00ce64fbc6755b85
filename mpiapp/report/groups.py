"""Rows that are alike in some columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def groups(rows: np.ndarray, names: Sequence[str]) -> Iterator[tuple[tuple, np.ndarray]]:
    """Each combination of values of some columns, and (n,) which rows have it.

    names : columns with few values, whole numbers or texts of at most eight bytes
    """
    code = np.zeros(len(rows), np.int64)
    values = []
    for name in names:
        column = rows[name]
        if column.dtype.kind == "S":
            column = column.astype("S8").view("<u8")  # integers are compared faster than texts
        found, left = [], column
        while len(left):
            found.append(left[0])
            left = left[left != left[0]]
        known = np.sort(np.array(found, column.dtype))
        code = code * len(known) + np.searchsorted(known, column)
        is_text = rows.dtype[name].kind == "S"
        values.append(np.char.decode(known.view("S8")).tolist() if is_text else known.tolist())
    for value in np.flatnonzero(np.bincount(code)):
        places = np.unravel_index(value, [len(known) for known in values])
        yield tuple(known[i] for known, i in zip(values, places)), code == value
