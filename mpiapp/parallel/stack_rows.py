"""Rows of the results of a stack, column by column."""

from __future__ import annotations

import time
from functools import lru_cache

import numpy as np

from ..catalog.quantities import QUANTITIES, Matrix
from ..catalog.runs import ids_and_seeds
from ..files.schema import PHASES, PHOTOMETRY_DTYPE, RUNS_DTYPE
from ..photometry.outcome import Flag, worst
from ..photometry.stack import StackPhotometry
from .gather import Gathered

_NUMBERS = ("value", "lolim", "hilim", "mode", "mean", "rms", "noise")


def stack_rows(
    gathered: Gathered, found: StackPhotometry, seconds: dict[str, float], **constants
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of /photometry and of /runs, for every problem of a stack that is done.

    seconds : of each run by phase
    constants : the columns of /runs that are the same for all, and `job_seed`
    """
    stack, shape, shares = gathered
    done = found.is_done
    n_rows = len(shape.reported)
    job_seed = constants.pop("job_seed")
    ids, seeds, texts = [], [], []
    for target, matrices in shares:
        some_ids, some_seeds = ids_and_seeds(target.level, target.name, matrices, job_seed)
        ids += some_ids
        seeds += some_seeds
        texts.append(_texts(matrices))
    sizes = [len(matrices) for _, matrices in shares]

    def each(value, dtype) -> np.ndarray:
        """What is the same for all runs of a target."""
        return np.repeat(np.array([value(share.target) for share in shares], dtype), sizes)

    best = each(lambda t: Flag.BEST_BLOCK if t.is_best_block else 0, "i4")
    key = {
        "run_id": np.array(ids, "u8"),
        "level": each(lambda t: t.level, "S6"),
        "target": each(lambda t: t.name.encode(), PHOTOMETRY_DTYPE["target"]),
        **{name: np.concatenate([t[name] for t in texts]) for name in Matrix._fields},
    }
    of_row = key | {"unit": np.concatenate([t["unit"] for t in texts]), "flags": best}
    components = [name.encode() for share in shares for name in share.target.reported]
    components = np.array(components, PHOTOMETRY_DTYPE["component"]).reshape(-1, n_rows)
    numbers = {name: getattr(found.summary, name) for name in _NUMBERS}
    numbers["outcome"] = found.outcome
    photometry = {
        **{name: np.repeat(column[done], n_rows) for name, column in of_row.items()},
        "component": np.repeat(components, sizes, axis=0)[done].ravel(),
        "n_draws": 0,
        "rhat": np.nan,
        "ess": np.nan,
        **{name: c[:, shape.reported][done].ravel() for name, c in numbers.items()},
    }
    spent = dict.fromkeys(PHASES, 0.0) | seconds
    runs = key | {
        "n_sources": stack.n_sources,
        "n_obsids": stack.n_obsids,
        "method": np.where(found.summary.is_scaled, b"scaled", b"quadrature"),
        "seed": np.array(seeds, "u8"),
        "outcome": worst(found.outcome[:, shape.reported]),
        "flags": 0,
        "attempts": 1,
        "n_excluded": 0,
        **spent,
        "seconds": sum(spent.values()),
        "finished": time.time(),
        "n_rows": n_rows,
        **constants,
    }
    runs = {name: c[done] if np.ndim(c) else c for name, c in runs.items()}
    n_done = int(done.sum())
    return _rows(photometry, PHOTOMETRY_DTYPE, n_rows * n_done), _rows(runs, RUNS_DTYPE, n_done)


def _rows(columns: dict, dtype: np.dtype, n: int) -> np.ndarray:
    """n rows of a column for every field; KeyError if one is missing."""
    rows = np.empty(n, dtype)
    for name in dtype.names:
        rows[name] = columns[name]
    return rows


@lru_cache(maxsize=4096)
def _texts(matrices: tuple[Matrix, ...]) -> dict[str, np.ndarray]:
    """The columns that follow from the matrices."""
    names = {f: np.array([getattr(m, f) for m in matrices], "S8") for f in Matrix._fields}
    return names | {"unit": np.array([QUANTITIES[m.quantity].unit for m in matrices], "S24")}
