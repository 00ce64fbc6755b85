"""Where the rows of the results are made, all runs of a batch at once; no other place makes any."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from functools import lru_cache

import numpy as np

from ..catalog.outcome import Flag, worst
from ..catalog.quantities import QUANTITIES, Matrix
from ..catalog.runs import RunKey, ids_and_seeds
from ..files.schema import (
    MPDF_DTYPE,
    OPTIONAL_DTYPES,
    PHASES,
    PHOTOMETRY_DTYPE,
    RUNS_DTYPE,
    Batch,
    row,
)
from ..posterior.numbers import NUMBERS
from ..provenance import peak_memory
from .batching import TargetRuns
from .extras import EXTRA_NUMBERS, Further
from .measuring import Measured

_EMPTY = Batch(np.empty(0, PHOTOMETRY_DTYPE), np.empty(0, RUNS_DTYPE), [], [])


class Rows:
    """Collects the rows of runs.

    Parameters
    ----------
    job_seed : int
    patterns : sequence of str
        Of shell wildcards: the densities of a run are kept if one of them matches all of its
        key, "level target band aperture quantity".
    about : dict
        Columns of /runs that are the same for all: engine, rank, host and job.
    """

    def __init__(self, job_seed: int, patterns: Sequence[str], about: dict):
        self.job_seed = job_seed
        self.about = about
        self._patterns = patterns
        self._parts = [_EMPTY]

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return len(self._parts) > 1

    def ids_and_seeds(self, runs: Sequence[TargetRuns]) -> tuple[np.ndarray, np.ndarray]:
        """(n,) the id of each run, and the entropy of its draws."""
        ids, seeds = [], []
        for target, matrices in runs:
            more = ids_and_seeds(target.level, target.name, matrices, self.job_seed)
            ids += more[0]
            seeds += more[1]
        return np.array(ids, "u8"), np.array(seeds, "u8")

    def keeps_densities(self, runs: Sequence[TargetRuns]) -> np.ndarray:
        """(n,) whether the densities of each run are asked for."""
        return chosen(runs, self._patterns)

    def batch(self) -> Batch:
        """The batch of all runs added so far."""
        photometry, runs, attempts, failures, mpdf, further, _ = zip(*self._parts)
        return Batch(
            np.concatenate(photometry),
            np.concatenate(runs),
            [one for some in attempts for one in some],
            [one for some in failures for one in some],
            np.concatenate(mpdf),
            [one for some in further for one in some],
        )

    def add(
        self,
        runs: Sequence[TargetRuns],
        ids: np.ndarray,
        seeds: np.ndarray,
        measured: Measured,
        seconds: dict[str, float],
    ) -> None:
        """Runs and their results, in the same order; those that are not finished are left out.

        seconds : by phase, of each run, beside those of `measured`
        """
        n, n_rows = measured.numbers.shape
        sizes = [len(one.matrices) for one in runs]
        key = {"run_id": ids, **_key_columns(runs, sizes)}
        unit = key.pop("unit")
        best = [Flag.BEST_BLOCK if one.target.is_best_block else 0 for one in runs]
        components = [name.encode() for one in runs for name in one.target.reported]
        components = np.array(components, PHOTOMETRY_DTYPE["component"]).reshape(-1, n_rows)
        numbers, flags = measured.numbers, measured.numbers["flags"]
        rows = {
            **{name: np.repeat(column, n_rows) for name, column in key.items()},
            **{name: numbers[name].ravel() for name in NUMBERS.names},
            "component": np.repeat(components, sizes, axis=0).ravel(),
            "unit": np.repeat(unit, n_rows),
            "flags": (flags | np.repeat(best, sizes)[:, None]).ravel(),
        }
        spent = {phase: measured.seconds[phase] + seconds.get(phase, 0.0) for phase in PHASES}
        columns = {
            **key,
            "n_sources": measured.n_sources,
            "n_obsids": measured.n_obsids,
            "method": measured.method,
            "seed": seeds,
            "outcome": worst(numbers["outcome"]),
            "flags": np.bitwise_or.reduce(flags, axis=1),
            "attempts": measured.n_attempts,
            "n_excluded": measured.n_excluded,
            **spent,
            "seconds": measured.seconds["total"] + sum(seconds.values()),
            "finished": measured.finished,
            "rss": peak_memory(),
            "n_rows": n_rows,
            **self.about,
        }
        is_finished = np.isfinite(measured.finished)
        photometry = _filled(PHOTOMETRY_DTYPE, n * n_rows, rows)[np.repeat(is_finished, n_rows)]
        told = self._told(runs, ids, measured) if measured.runs else ([], [])
        densities = self._densities(runs, ids, measured)
        further = _further(ids, measured.further) if measured.further else ()
        runs = _filled(RUNS_DTYPE, n, columns)[is_finished]
        self._parts.append(Batch(photometry, runs, *told, densities, further))

    def _told(
        self, runs: Sequence[TargetRuns], ids: np.ndarray, measured: Measured
    ) -> tuple[list[tuple], list[tuple]]:
        """Rows of /attempts and /failures."""
        attempts, failures = [], []
        starts = np.cumsum([0, *(len(one.matrices) for one in runs)])
        for i, run in measured.runs.items():
            k = int(np.searchsorted(starts, i, side="right")) - 1
            target, matrix = runs[k].target, runs[k].matrices[i - starts[k]]
            if len(run.attempts) > 1:
                attempts += [
                    row("attempts", run_id=int(ids[i]), attempt=k, **vars(attempt))
                    for k, attempt in enumerate(run.attempts)
                ]
            if run.error is not None:
                failures.append(
                    row(
                        "failures",
                        run_id=int(ids[i]),
                        where=str(RunKey(target.level, target.name, *matrix)),
                        type=type(run.error).__name__,
                        message=str(run.error),
                        traceback=run.traceback,
                    )
                )
        return attempts, failures

    def _densities(
        self, runs: Sequence[TargetRuns], ids: np.ndarray, measured: Measured
    ) -> np.ndarray:
        """Rows of /mpdf: of results with numbers, of the runs that are asked for."""
        if measured.tabulated is None:
            return _EMPTY.mpdf
        wanted = self.keeps_densities(runs) & np.isfinite(measured.finished)
        wanted = wanted[:, None] & np.isfinite(measured.numbers["mode"])
        i, j = np.nonzero(wanted)
        columns = {name: values[i, j] for name, values in measured.tabulated._asdict().items()}
        return _filled(MPDF_DTYPE, len(i), {"run_id": ids[i], "row": j, **columns})


def _further(ids: np.ndarray, found: dict[int, Further]) -> list[tuple[str, np.ndarray]]:
    """Rows of /extras, /backgrounds and /correlations."""
    numbers = np.concatenate([one.numbers for one in found.values()])
    run_ids = np.repeat(ids[[*found]], [len(one.numbers) for one in found.values()])
    row = np.concatenate([np.arange(len(one.numbers)) for one in found.values()])
    columns = {"run_id": run_ids, "row": row, **{n: numbers[n] for n in EXTRA_NUMBERS.names}}
    tables = [("extras", _filled(OPTIONAL_DTYPES["extras"], len(row), columns))]
    of_number = ("value", "lolim", "hilim", "mode", "mean", "rms", "outcome")
    backgrounds = [
        (ids[i], label.encode(), *numbers[[*of_number]].item(), ml, sigma)
        for i, one in found.items()
        for label, numbers, ml, sigma in one.backgrounds
    ]
    correlations = [
        (ids[i], row, other.encode(), correlation)
        for i, one in found.items()
        for row, other, correlation in one.correlations
    ]
    for name, rows in (("backgrounds", backgrounds), ("correlations", correlations)):
        if rows:
            tables.append((name, np.array(rows, OPTIONAL_DTYPES[name])))
    return tables


def chosen(runs: Sequence[TargetRuns], patterns: Sequence[str]) -> np.ndarray:
    """(n,) whether one of the patterns, of shell wildcards, matches all of each run's key."""
    if not patterns:
        return np.zeros(sum(len(one.matrices) for one in runs), bool)
    matches = re.compile("|".join(map(translate, patterns))).match
    return np.array([matches(str(key)) is not None for key in keys_of(runs)], bool)


def keys_of(runs: Sequence[TargetRuns]) -> Iterator[RunKey]:
    """The key of each run."""
    return (RunKey(t.level, t.name, *matrix) for t, matrices in runs for matrix in matrices)


def _key_columns(runs: Sequence[TargetRuns], sizes: Sequence[int]) -> dict[str, np.ndarray]:
    """Level, target, band, aperture, quantity and unit of every run."""
    levels = np.array([one.target.level for one in runs], PHOTOMETRY_DTYPE["level"])
    names = [one.target.name.encode() for one in runs]
    texts = [_texts(one.matrices) for one in runs]
    return {
        "level": np.repeat(levels, sizes),
        "target": np.repeat(np.array(names, PHOTOMETRY_DTYPE["target"]), sizes),
        **{name: np.concatenate([text[name] for text in texts]) for name in texts[0]},
    }


@lru_cache(maxsize=4096)
def _texts(matrices: tuple[Matrix, ...]) -> dict[str, np.ndarray]:
    """The columns that follow from the matrices."""
    names = {f: np.array([getattr(m, f) for m in matrices], "S8") for f in Matrix._fields}
    return names | {"unit": np.array([QUANTITIES[m.quantity].unit for m in matrices], "S24")}


def _filled(dtype: np.dtype, n: int, columns: dict) -> np.ndarray:
    """n rows of a column for every field; KeyError if one is missing."""
    rows = np.empty(n, dtype)
    for name in dtype.names:
        rows[name] = columns[name]
    return rows
