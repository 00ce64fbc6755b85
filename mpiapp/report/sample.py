"""Rows to draw: those of some targets, all of whose rows are taken, whatever the size of a file."""

from __future__ import annotations

import numpy as np

from ..files.results import Results

# So many points are seen in a figure, more are not.
MOST_ROWS = 50_000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def of_targets(results: Results, name: str, most: int = MOST_ROWS) -> tuple[np.ndarray, float]:
    """Rows of /runs or /photometry of a share of all targets, and that share.

    The share is such that about `most` rows are expected; 1 where there are no more.  The same
    targets are taken from each table if it is asked for by the same share of rows.
    """
    n = results.n_rows(name)
    share = min(1.0, most / n) if n else 1.0
    found = []
    for chunk in results.chunks(name):
        found.append(chunk if share == 1 else chunk[_place(chunk["target"]) < share])
    return (np.concatenate(found) if found else results.rows(name, 0, 0)), share


def _place(names: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each name, evenly spread and equal for equal names."""
    width = -(-names.dtype.itemsize // 8) * 8
    words = np.ascontiguousarray(names.astype(f"S{width}")).view("u8").reshape(len(names), -1)
    mixed = np.zeros(len(names), "u8")
    for word in words.T:
        mixed = (mixed ^ word) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(11)).astype(float) / 2.0**53
