"""Runs that an engine does many at a time, and those that they leave for the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import compress

import numpy as np

from ..catalog.fault import InputError
from ..catalog.worklist import Target
from ..files.prep3 import Prep3File
from ..files.schema import MPDF_POINTS
from ..photometry.ladder import Policy
from ..photometry.rules import energy_floor
from ..photometry.stack import StackEngine, measure_stack
from ..stopwatch import timed
from .gather import Gathered, Gatherer
from .rows import Rows
from .time_limit import RunTimeLimit, time_limit


class StackedRuns:
    """Measures the runs of many targets in stacks of one shape.

    Parameters
    ----------
    engine : StackEngine
    policy : Policy
    limit : float
        Seconds that a stack may take.
    rows : Rows
        Where the rows go.
    """

    def __init__(self, engine: StackEngine, policy: Policy, limit: float, rows: Rows):
        self.engine = engine
        self.policy = policy
        self.limit = limit
        self.rows = rows
        self._gatherer = Gatherer()
        self._seconds = {"read": 0.0, "assemble": 0.0}
        self._done: dict[tuple[str, str], set] = {}

    @property
    def is_full(self) -> bool:
        """Whether it is time to `solve`."""
        return self._gatherer.is_full

    def add(self, target: Target, files: Sequence[Prep3File], read: float) -> None:
        """Add the runs of a target, whose files took `read` seconds, that fit into stacks."""
        self._seconds["read"] += read
        # What is wrong with a file is said where its runs are done one by one.
        with timed(self._seconds, "assemble"), suppress(InputError):
            self._gatherer.add(target, files)

    def solve(self) -> int:
        """Measure what has been added; returns how many runs are done."""
        gathered = list(self._gatherer.take())
        n_runs = sum(len(one.stack) for one in gathered)
        shares = {name: total / n_runs for name, total in self._seconds.items() if n_runs}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return sum(self._solve(one, shares) for one in gathered)

    def _solve(self, gathered: Gathered, seconds: dict[str, float]) -> int:
        stack, _, shares = gathered
        floor = self.policy.energy_floor
        spent: dict[str, float] = {}
        wanted = self.rows.densities.wanted(shares)
        floors = [energy_floor(m.quantity, floor) for s in shares for m in s.matrices]
        try:
            with timed(spent, "sample"), time_limit(self.limit):
                points = MPDF_POINTS if len(wanted) else 0
                found = measure_stack(stack, self.engine, self.policy, np.array(floors), points)
        except (Exception, RunTimeLimit):
            # It comes again, and is recorded, where the runs are done one by one.
            return 0
        seconds = seconds | {"sample": spent["sample"] / len(stack)}
        self.rows.add_stack(gathered, found, seconds, wanted)
        at = 0
        for target, matrices in shares:
            is_done = found.is_done[at : at + len(matrices)]
            self._done.setdefault((target.level, target.name), set()).update(
                compress(matrices, is_done)
            )
            at += len(matrices)
        return int(found.is_done.sum())

    def left(self, targets: Sequence[Target]) -> list[Target]:
        """The targets with those of their runs that are not done."""
        rest = []
        for target in targets:
            done = self._done.get((target.level, target.name), ())
            matrices = tuple([m for m in target.matrices if m not in done])
            if matrices:
                rest.append(target._replace(matrices=matrices))
        return rest
