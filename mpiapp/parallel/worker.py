"""What a worker rank does: read, assemble, sample, summarise, and send the rows home."""

from __future__ import annotations

import platform
import resource
import time
import traceback
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from ..catalog.assemble import assemble
from ..catalog.bundle import Bundle, InputError
from ..catalog.quantities import QUANTITIES
from ..catalog.runs import RunKey
from ..catalog.worklist import Matrix, Target
from ..files.prep3 import Prep3File, read_prep3
from ..files.schema import PHASES, PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from ..photometry.outcome import Flag, Outcome
from ..photometry.policy import Ladder, Policy, Run, null
from ..sampling import Engine

FILES_KEPT = 32


class Worker:
    """Measures targets; one per rank.

    Parameters
    ----------
    engine : Engine
    policy : Policy
    job_seed : int
    rank, job : int
        Written into every row of /runs.
    """

    def __init__(self, engine: Engine, policy: Policy, job_seed: int, rank: int = 0, job: int = 0):
        self.engine = engine
        self.policy = policy
        self.job_seed = job_seed
        self.rank = rank
        self.job = job
        self.host = platform.node().encode()[:32]
        self._files: OrderedDict[str, Prep3File | InputError] = OrderedDict()

    def measure(self, targets: Sequence[Target]) -> Batch:
        """All runs of the targets; bad input and failed runs are rows, never exceptions."""
        photometry, runs, attempts, failures = [], [], [], []
        for target in targets:
            t0 = time.perf_counter()
            bundles, fault = self._read(target)
            read = time.perf_counter() - t0
            for matrix in target.matrices:
                quantity, band, aperture = matrix
                key = RunKey(target.level, target.name, band, aperture, quantity)
                t0 = time.perf_counter()
                run = self._run(target, bundles, matrix, key, fault)
                run.seconds["read"], read = read, 0.0
                seconds = run.seconds["read"] + time.perf_counter() - t0
                rows = self._rows(key, run, Flag.BEST_BLOCK if target.is_best_block else Flag(0))
                runs.append(self._run_row(key, run, rows, len(photometry), seconds))
                photometry += rows
                if len(run.attempts) > 1:
                    attempts += [
                        (key.run_id, i, a.changes, a.ended, a.seconds)
                        for i, a in enumerate(run.attempts)
                    ]
                if run.error is not None:
                    failures.append(
                        (
                            key.run_id,
                            str(key),
                            type(run.error).__name__,
                            str(run.error),
                            run.traceback,
                        )
                    )
        return Batch(
            np.array(photometry, PHOTOMETRY_DTYPE), np.array(runs, RUNS_DTYPE), attempts, failures
        )

    def _read(self, target: Target) -> tuple[list[Prep3File], str]:
        files = []
        if target.fault:
            return files, target.fault
        for part in target.parts:
            file = self._file(part.path)
            if isinstance(file, InputError):
                return files, str(file)
            files.append(file)
        return files, ""

    def _file(self, path: str) -> Prep3File | InputError:
        if path in self._files:
            self._files.move_to_end(path)
            return self._files[path]
        try:
            file = read_prep3(path)
        except InputError as error:
            file = error
        self._files[path] = file
        if len(self._files) > FILES_KEPT:
            self._files.popitem(last=False)
        return file

    def _run(
        self, target: Target, files: list[Prep3File], matrix: Matrix, key: RunKey, fault: str
    ) -> Run:
        t0 = time.perf_counter()
        try:
            if fault:
                raise InputError(fault)
            bundles = _contributing(target, files, matrix)
            labels = target.labels
            problem = assemble(
                bundles, *matrix, label=labels and (lambda stack, c: labels[stack, c])
            )
            assembled = time.perf_counter() - t0
            ladder = Ladder(
                problem,
                self.engine,
                self.policy,
                key.seed(self.job_seed),
                key.quantity,
                target.reported,
            )
            run = ladder.measure()
            run.seconds["assemble"] = assembled
        except Exception as error:
            bad_input = isinstance(error, InputError)
            outcome = Outcome.NULL_BAD_INPUT if bad_input else Outcome.NULL_FAILED
            run = Run([null(source, outcome, Flag(0)) for source in target.reported])
            run.error = error
            run.traceback = "" if bad_input else traceback.format_exc()
        return run

    def _rows(self, key: RunKey, run: Run, flags: Flag) -> list[tuple]:
        names = (key.run_id, *(text.encode() for text in key))
        unit = QUANTITIES[key.quantity].unit.encode()
        return [
            (
                *names, p.source.encode(), p.value, p.lolim, p.hilim, p.mode, unit,
                int(p.outcome), int(p.flags | flags), p.n_draws, p.rhat, p.ess,
            )
            for p in run.photometry
        ]  # fmt: skip

    def _run_row(
        self, key: RunKey, run: Run, rows: list[tuple], first: int, seconds: float
    ) -> tuple:
        flags = Flag(0)
        for p in run.photometry:
            flags |= p.flags
        problem, draws = run.problem, run.draws
        return (
            key.run_id,
            *(text.encode() for text in key),
            problem.n_sources if problem else 0,
            problem.n_obsids if problem else 0,
            self.engine.name.encode()[:12],
            draws.method.encode() if draws else b"",
            key.seed(self.job_seed),
            int(run.outcome),
            int(flags),
            len(run.attempts),
            len(run.excluded),
            *(run.seconds.get(phase, 0.0) for phase in PHASES),
            seconds,
            time.time(),
            self.rank,
            self.host,
            self.job,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            first,
            len(rows),
        )


def _contributing(target: Target, files: list[Prep3File], matrix: Matrix) -> list[Bundle]:
    """The bundles of the target that have this matrix; InputError if one of them was rejected."""
    quantity, band, aperture = matrix
    bundles = []
    for part, file in zip(target.parts, files):
        for rejection in file.rejected:
            if rejection.concerns(part.bundle, quantity, band, aperture):
                raise InputError(rejection.message)
        bundle = file.bundles[part.bundle]
        if matrix in bundle.F:
            bundles.append(bundle)
    return bundles
