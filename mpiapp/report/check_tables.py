"""Whether the tables of a results file fit together."""

from __future__ import annotations

import numpy as np

from ..files.results import Results, disagreement
from ..files.schema import OPTIONAL, TABLES


def check_tables(results: Results) -> np.ndarray:
    """Read all of a file; (n_runs,) run ids.

    Raises ResultsError unless every run has its rows, and no row is nobody's.
    """
    start = n_attempts = 0
    seen: list[np.ndarray] = []
    n_rows = results.n_rows("photometry")
    for runs in results.chunks("runs", 20_000):
        stop = start + int(runs["n_rows"].sum(dtype="i8"))
        if stop > n_rows:
            raise disagreement(results.path, "photometry")
        rows = results.rows("photometry", start, stop)
        if not np.array_equal(rows["run_id"], np.repeat(runs["run_id"], runs["n_rows"])):
            raise disagreement(results.path, "photometry")
        start = stop
        n_attempts += int(runs["attempts"][runs["attempts"] > 1].sum(dtype="i8"))
        seen.append(runs["run_id"].copy())  # a view would keep all of the rows
    ids = np.concatenate([np.empty(0, "u8"), *seen])
    if start != n_rows:
        raise disagreement(results.path, "photometry")
    if len(np.unique(ids)) != len(ids):
        raise disagreement(results.path, "runs")
    results.mpdf_rows()
    if results.n_rows("attempts") != n_attempts:
        raise disagreement(results.path, "attempts")
    for name in ("failures", *OPTIONAL):
        whose = results.column(name, "run_id")
        if not np.isin(whose[whose != 0], ids).all():
            raise disagreement(results.path, name)
    for name in TABLES.keys() - {"photometry", "runs", "failures"}:
        for _ in results.chunks(name, 20_000):
            pass
    return ids
