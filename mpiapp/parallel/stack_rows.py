"""Rows of the results of a stack, column by column."""

from __future__ import annotations

import time
from functools import lru_cache

import numpy as np

from ..catalog.quantities import QUANTITIES, Matrix
from ..catalog.runs import ids_and_seeds
from ..files.schema import PHASES, PHOTOMETRY_DTYPE, RUNS_DTYPE
from ..photometry.outcome import Flag
from ..photometry.stack import StackPhotometry
from .gather import Gathered


def stack_rows(
    gathered: Gathered, found: StackPhotometry, seconds: dict[str, float], **constants
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of /photometry and of /runs, one each for every problem of a stack that is done.

    seconds : of each run by phase
    constants : the columns of /runs that are the same for all, and `job_seed`
    """
    stack, shares = gathered
    done = found.is_done
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
    photometry = key | {
        "component": each(lambda t: t.reported[0].encode(), PHOTOMETRY_DTYPE["component"]),
        "unit": np.concatenate([t["unit"] for t in texts]),
        "flags": best,
        "n_draws": 0,
        "rhat": np.nan,
        "ess": np.nan,
        "noise": 0.0,
        **{name: column for name, column in found._asdict().items() if name[:3] != "is_"},
    }
    spent = dict.fromkeys(PHASES, 0.0) | seconds
    runs = key | {
        "n_sources": 1,
        "n_obsids": stack.n_obsids,
        "method": np.where(found.is_scaled, b"scaled", b"quadrature"),
        "seed": np.array(seeds, "u8"),
        "outcome": found.outcome,
        "flags": 0,
        "attempts": 1,
        "n_excluded": 0,
        **spent,
        "seconds": sum(spent.values()),
        "finished": time.time(),
        "first_row": np.cumsum(done) - 1,
        "n_rows": 1,
        **constants,
    }
    return _rows(photometry, PHOTOMETRY_DTYPE, done), _rows(runs, RUNS_DTYPE, done)


def _rows(columns: dict, dtype: np.dtype, which: np.ndarray) -> np.ndarray:
    """The rows that are wanted, of a column for every field; KeyError if one is missing."""
    rows = np.empty(int(which.sum()), dtype)
    for name in dtype.names:
        column = columns[name]
        rows[name] = column[which] if np.ndim(column) else column
    return rows


@lru_cache(maxsize=4096)
def _texts(matrices: tuple[Matrix, ...]) -> dict[str, np.ndarray]:
    """The columns that follow from the matrices."""
    names = {f: np.array([getattr(m, f) for m in matrices], "S8") for f in Matrix._fields}
    return names | {"unit": np.array([QUANTITIES[m.quantity].unit for m in matrices], "S24")}
