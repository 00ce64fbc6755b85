"""Two sets of photometry side by side: rows matched by run and component, and their distance f.

Both sides are read a chunk at a time.  Of the reference only the numbers are
kept, sorted by key, and no more than ROWS_KEPT rows of them at once: a longer
one is compared in several passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalog.bundle import InputError
from ..catalog.outcome import Outcome
from ..files.results import Results, open_results, work_path
from .references import BEST, as_best, published_rows

REFERENCE_DTYPE = np.dtype(
    [("key", "u8"), ("value", "f8"), ("lolim", "f8"), ("hilim", "f8"), ("outcome", "i2"),
     ("flags", "i4"), ("rhat", "f4"), ("ess", "f4")]
)  # fmt: skip
CHUNK_ROWS = 100_000
ROWS_KEPT = 5_000_000


class Side(NamedTuple):
    """One side of a comparison: its name, and how to read it again, in chunks.

    `chunks()` yields structured arrays with at least run_id, component, value,
    lolim, hilim, outcome, flags, rhat and ess.  `has_best`: whether targets stand for the best
    block of a master source, whichever that is.
    """

    path: Path
    n_rows: int
    chunks: Callable[[], Iterator[np.ndarray]]
    has_best: bool = False


class Pairs(NamedTuple):
    """Some rows of the compared side, (n,), and the reference's rows of the same run and component.

    n_unmatched : rows of the compared side beside these that the reference has not
    """

    rows: np.ndarray
    reference: np.ndarray
    n_unmatched: int


@contextmanager
def open_side(path: str | Path) -> Iterator[Side]:
    """Open a results file, or any other table with published values, as a side of a comparison.

    Raises
    ------
    InputError
        If it is neither; the message says which column is missing.
    ResultsError
        If it is a results file that cannot be read.
    """
    path = Path(path)
    are_parts = path.is_dir() or (not path.is_file() and work_path(path).is_dir())
    if not are_parts and not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if are_parts or _is_results(path):
        with open_results(path) as results:
            yield results_side(results)
    else:
        rows = published_rows(path)
        has_best = bool(np.char.endswith(rows["target"], f"/{BEST}".encode()).any())
        yield Side(path, len(rows), lambda: iter([rows]), has_best)


def results_side(results: Results) -> Side:
    """An open results file as a side of a comparison."""
    return Side(
        Path(results.path),
        results.n_rows("photometry"),
        lambda: results.chunks("photometry", CHUNK_ROWS),
    )


def _is_results(path: Path) -> bool:
    """Whether the file is HDF5, by its signature."""
    with open(path, "rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def row_keys(rows: np.ndarray) -> np.ndarray:
    """(n,) 64-bit keys of rows: the run's id mixed with the component's name.

    Two of 10⁸ rows share a key with a probability of 3 × 10⁻⁴.
    """
    return name_keys(rows["component"], _mixed(rows["run_id"].astype(np.uint64)))


def name_keys(names: np.ndarray, key: np.ndarray | int = 0) -> np.ndarray:
    """(n,) 64-bit keys of names, equal for equal names, mixed with keys that they have."""
    words = -(-names.dtype.itemsize // 8)
    key = np.broadcast_to(np.uint64(key), len(names))
    for word in (
        np.ascontiguousarray(names.astype(f"S{8 * words}")).view("<u8").reshape(-1, words).T
    ):
        key = _mixed(key ^ word)
    return key


def _mixed(key: np.ndarray) -> np.ndarray:
    """Each bit spread over all 64: the finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    key = key + np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


def pairs(side: Side, reference: Side) -> Iterator[Pairs]:
    """The rows of `side`, each once, beside the reference's row of the same run and component.

    Raises InputError if the reference has two rows of one run and component.
    """
    n_passes = max(1, -(-reference.n_rows // ROWS_KEPT))
    for number in range(n_passes):
        kept = _sorted_reference(reference, number, n_passes)
        known = np.append(kept["key"], np.uint64(0))  # beside the place behind the last
        for rows in side.chunks():
            if reference.has_best:
                rows = np.concatenate([rows, as_best(rows)])
            keys = row_keys(rows)
            if n_passes > 1:
                mine = keys % np.uint64(n_passes) == number
                rows, keys = rows[mine], keys[mine]
            at = np.searchsorted(kept["key"], keys)
            found = (known[at] == keys) & (at < len(kept))
            if not found.all():
                rows, at = rows[found], at[found]
            yield Pairs(rows, kept[at], len(found) - len(rows))


def _sorted_reference(reference: Side, number: int, n_passes: int) -> np.ndarray:
    """The reference's rows of one pass, sorted by key."""
    parts = [np.zeros(0, REFERENCE_DTYPE)]
    for rows in reference.chunks():
        keys = row_keys(rows)
        mine = keys % np.uint64(n_passes) == number
        part = np.empty(int(mine.sum()), REFERENCE_DTYPE)
        part["key"] = keys[mine]
        for name in REFERENCE_DTYPE.names[1:]:
            part[name] = rows[name][mine]
        parts.append(part)
    kept = np.concatenate(parts)
    kept = kept[np.argsort(kept["key"])]
    if (kept["key"][1:] == kept["key"][:-1]).any():
        raise InputError(f"{reference.path}: two rows have the same run and component; keep one")
    return kept


def distance(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n,) the memo's f: how far two measurements differ, in half-widths of the reference.

    NaN where either side is NULL, or where the reference lacks a bound.
    """
    theirs = (reference[name] for name in ("value", "lolim", "hilim"))
    f = np.abs(signed_distance(rows["mode"], rows["hilim"], *theirs))
    null = (rows["outcome"] >= Outcome.NULL_PEGGED) | (reference["outcome"] >= Outcome.NULL_PEGGED)
    return np.where(null, np.nan, f)


def signed_distance(
    mode: np.ndarray, hilim: np.ndarray, value: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """f with its sign (Eqs. 9 and 10), of unforced modes and upper bounds, all (n,).

    value, lower, upper : (n,) of the reference, whose half-widths are the unit

    Eq. 9, from the reference's value to the mode; where the reference is an upper limit (value 0,
    whose lower bound is 0 if it has none) Eq. 10, from its upper bound to the upper bound.
    """
    is_limit = value == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        half = 0.5 * (upper - np.where(is_limit, 0.0, lower))
        return np.where(is_limit, hilim - upper, mode - value) / half
