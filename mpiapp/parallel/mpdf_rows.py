"""Rows of /mpdf: the posterior densities of the runs whose keys match the patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import translate

import numpy as np

from ..catalog.quantities import Matrix
from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..files.schema import MPDF_DTYPE, MPDF_POINTS
from ..photometry.ladder import Run
from ..photometry.stack import StackPhotometry
from ..posterior import Smoothing


class MpdfRows:
    """Makes the rows.

    Parameters
    ----------
    patterns : sequence of str
        Of shell wildcards; a run is wanted if one of them matches all of its key, "level target
        band aperture quantity".
    smoothing : Smoothing
        Of densities that are known from draws.
    """

    def __init__(self, patterns: Sequence[str], smoothing: Smoothing):
        self._matches = re.compile("|".join(map(translate, patterns))).match if patterns else None
        self._smoothing = smoothing

    def wants(self, key: RunKey) -> bool:
        """Whether the densities of a run are asked for."""
        return self._matches is not None and self._matches(str(key)) is not None

    def wanted(self, runs: Iterable[tuple[Target, Sequence[Matrix]]]) -> np.ndarray:
        """(n,) whether those of each run are, of targets and their matrices; (0,) if none is."""
        if self._matches is None:
            return np.zeros(0, bool)
        keys = (RunKey(t.level, t.name, *matrix) for t, matrices in runs for matrix in matrices)
        found = np.array([self.wants(key) for key in keys], bool)
        return found if found.any() else found[:0]

    def of(self, key: RunKey, run: Run) -> Iterator[tuple]:
        """A row for every result that has numbers."""
        if not self.wants(key):
            return
        for row, p in enumerate(run.photometry):
            if p.mode == p.mode:
                column = run.problem.sources.index(p.source)
                found = run.posterior.tabulated(column, MPDF_POINTS, self._smoothing)
                yield key.run_id, row, found.low, found.high, found.kernel, found.density


def mpdf_rows(
    reported: Sequence[int], found: StackPhotometry, wanted: np.ndarray, photometry: np.ndarray
) -> np.ndarray:
    """Rows of /mpdf of a stack.

    reported : the source columns that are results
    wanted : (n,) bool, of its problems
    photometry : the rows of those that are done, one for each result
    """
    done = found.is_done
    rows = np.flatnonzero(np.repeat(wanted[done], len(reported)) & np.isfinite(photometry["mode"]))
    low, high, density, kernel = found.summary.tabulated
    mpdf = np.empty(len(rows), MPDF_DTYPE)
    mpdf["run_id"], mpdf["kernel"] = photometry["run_id"][rows], kernel
    mpdf["row"] = rows % len(reported)
    for name, values in {"low": low, "high": high, "density": density}.items():
        values = values[done][:, reported]
        mpdf[name] = values.reshape(-1, *values.shape[2:])[rows]
    return mpdf
