"""Rows for figures: all rows of some targets, as many from a large file as from a small one."""

from __future__ import annotations

import numpy as np

from ..files.results import Results
from .matching import name_keys

# So many points are seen in a figure, more are not.
MOST_ROWS = 50_000


def of_targets(results: Results, name: str, most: int = MOST_ROWS) -> tuple[np.ndarray, float]:
    """Rows of /runs or /photometry of a share of all targets, and that share.

    The share is such that about `most` rows are expected; 1 where there are no more.  The same
    targets are taken from each table if it is asked for by the same share of rows.
    """
    n = results.n_rows(name)
    share = min(1.0, most / n) if n else 1.0
    found = [results.rows(name, 0, 0)]
    for chunk in results.chunks(name):
        found.append(chunk if share == 1 else chunk[name_keys(chunk["target"]) < share * 2.0**64])
    return np.concatenate(found), share
