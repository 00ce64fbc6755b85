"""The time that runs will take, from the times of the runs in a results file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..catalog.bundle import InputError
from ..catalog.worklist import Target
from ..files.results import Results


class CostModel(NamedTuple):
    """Seconds of a run: for each number of sources a straight line in the number of obsids.

    n_sources : (n,) ascending; base, slope : (n,) seconds, and seconds an obsid
    """

    n_sources: np.ndarray
    base: np.ndarray
    slope: np.ndarray

    @classmethod
    def fit(cls, results: Results, engine: str) -> CostModel:
        """By least squares over the runs that this engine measured.

        Where all runs of a number of sources have one number of obsids: their mean, in proportion.
        Raises InputError if the file has no such runs.
        """
        chosen = []
        for rows in results.chunks("runs"):
            measured = (rows["engine"] == engine.encode()[:12]) & (rows["n_sources"] > 0)
            chosen.append(rows[["n_sources", "n_obsids", "seconds"]][measured])
        rows = np.concatenate(chosen) if chosen else np.empty(0)
        if not len(rows):
            raise InputError(
                f"{results.path}: no run of the engine {engine}; give results of that engine"
            )
        numbers = np.unique(rows["n_sources"])
        lines = []
        for n in numbers:
            mine = rows[rows["n_sources"] == n]
            x, y = mine["n_obsids"].astype(float), mine["seconds"].astype(float)
            lines.append(_line(x, y))
        return cls(numbers, *np.array(lines).T)

    def seconds(self, n_sources: int, n_obsids: int) -> float:
        """Time of one run; above the largest known number of sources it grows as the square."""
        i = min(int(np.searchsorted(self.n_sources, n_sources)), len(self.n_sources) - 1)
        more = max(n_sources / self.n_sources[i], 1.0) ** 2
        return float(more * (self.base[i] + self.slope[i] * n_obsids))

    def total(self, targets: Iterable[Target]) -> float:
        """Seconds of all runs of the targets."""
        return sum(
            len(target.matrices) * self.seconds(target.n_sources, len(target.parts))
            for target in targets
        )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Base and slope, neither negative, of a line with the same sum as y."""
    mean_x, mean_y = x.mean(), y.mean()
    spread = ((x - mean_x) ** 2).sum()
    if spread == 0.0:
        return 0.0, mean_y / mean_x
    slope = ((x - mean_x) * (y - mean_y)).sum() / spread
    slope = min(max(slope, 0.0), mean_y / mean_x)
    return mean_y - slope * mean_x, slope
