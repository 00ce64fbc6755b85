"""Rows of the results, by the names of their columns."""

from __future__ import annotations

import time
from dataclasses import fields

import numpy as np

from ..catalog.quantities import QUANTITIES
from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..files.schema import MPDF_DTYPE, PHASES, PHOTOMETRY_DTYPE, RUNS_DTYPE, TABLES, Batch
from ..photometry.ladder import Photometry, Run
from ..photometry.outcome import Flag
from ..photometry.stack import StackPhotometry
from .clock import peak_memory
from .gather import Gathered
from .mpdf_rows import MpdfRows, mpdf_rows
from .stack_rows import stack_rows

_NAMES = {table: tuple(c.name for c in columns) for table, (columns, _) in TABLES.items()}
# Columns that are the photometry's own numbers.
_NUMBERS = {f.name for f in fields(Photometry)} & {*_NAMES["photometry"]} - {"outcome", "flags"}


def row(table: str, **values) -> tuple:
    """The values in the order of the table's columns.

    Raises ValueError if a column is missing, or is none.
    """
    if len(values) != len(_NAMES[table]) or not values.keys() >= set(_NAMES[table]):
        wrong = ", ".join(sorted(values.keys() ^ set(_NAMES[table])))
        raise ValueError(f"/{table}: columns missing or unknown: {wrong}")
    return tuple([values[name] for name in _NAMES[table]])


class Rows:
    """Collects the rows of a batch.

    Parameters
    ----------
    rank : int
    host : bytes
        Who did the runs.
    engine : str
        The engine asked for.
    job_seed, job : int
    densities : MpdfRows
    """

    def __init__(
        self, rank: int, host: bytes, engine: str, job_seed: int, job: int, densities: MpdfRows
    ):
        self.rank = rank
        self.host = host
        self.engine = engine.encode()[:12]
        self.job_seed = job_seed
        self.job = job
        self.photometry, self.runs, self.attempts, self.failures = [], [], [], []
        self.densities = densities
        self._mpdf: list[tuple] = []
        self._stacks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def batch(self) -> Batch:
        """What has been added."""
        added = (
            (self.photometry, PHOTOMETRY_DTYPE),
            (self.runs, RUNS_DTYPE),
            (self._mpdf, MPDF_DTYPE),
        )
        parts = [*self._stacks, tuple(np.array(rows, dtype) for rows, dtype in added)]
        photometry, runs, mpdf = map(np.concatenate, zip(*parts))
        return Batch(photometry, runs, self.attempts, self.failures, mpdf)

    def add_stack(
        self,
        gathered: Gathered,
        found: StackPhotometry,
        seconds: dict[str, float],
        wanted: np.ndarray,
    ) -> None:
        """The runs of a stack that are done.

        seconds : of each by phase
        wanted : (n,) whether its densities are, (0,) if none is
        """
        common = {
            "engine": self.engine,
            "rank": self.rank,
            "host": self.host,
            "job": self.job,
            "rss": peak_memory(),
        }
        rows = stack_rows(gathered, found, seconds, job_seed=self.job_seed, **common)
        kept = np.zeros(0, MPDF_DTYPE)
        if len(wanted):
            kept = mpdf_rows(gathered.shape.reported, found, wanted, rows[0])
        self._stacks.append((*rows, kept))

    def add(self, target: Target, key: RunKey, run: Run, seconds: float) -> None:
        """A run that took so long."""
        names = {"run_id": key.run_id}
        names |= {name: text.encode() for name, text in zip(key._fields, key)}
        self.runs.append(self._run(names, key, run, seconds))
        self._mpdf += self.densities.of(key, run)
        best = Flag.BEST_BLOCK if target.is_best_block else Flag(0)
        self.photometry += [_photometry(names, key, p, best) for p in run.photometry]
        if len(run.attempts) > 1:
            self.attempts += [
                row(
                    "attempts",
                    run_id=key.run_id,
                    attempt=i,
                    changes=a.changes,
                    ended=a.ended,
                    seconds=a.seconds,
                )
                for i, a in enumerate(run.attempts)
            ]
        if run.error is not None:
            self.failures.append(
                row(
                    "failures",
                    run_id=key.run_id,
                    where=str(key),
                    type=type(run.error).__name__,
                    message=str(run.error),
                    traceback=run.traceback,
                )
            )

    def _run(self, names: dict, key: RunKey, run: Run, seconds: float) -> tuple:
        flags = Flag(0)
        for p in run.photometry:
            flags |= p.flags
        problem, posterior = run.problem, run.posterior
        return row(
            "runs",
            **names,
            n_sources=problem.n_sources if problem else 0,
            n_obsids=problem.n_obsids if problem else 0,
            engine=self.engine,
            method=posterior.method.encode() if posterior else b"",
            seed=key.seed(self.job_seed),
            outcome=int(run.outcome),
            flags=int(flags),
            attempts=len(run.attempts),
            n_excluded=len(run.excluded),
            **{phase: run.seconds.get(phase, 0.0) for phase in PHASES},
            seconds=seconds,
            finished=time.time(),
            rank=self.rank,
            host=self.host,
            job=self.job,
            rss=peak_memory(),
            n_rows=len(run.photometry),
        )


def _photometry(names: dict, key: RunKey, p: Photometry, best: Flag) -> tuple:
    return row(
        "photometry",
        **names,
        component=p.source.encode(),
        unit=QUANTITIES[key.quantity].unit.encode(),
        outcome=int(p.outcome),
        flags=int(p.flags | best),
        **{name: getattr(p, name) for name in _NUMBERS},
    )
