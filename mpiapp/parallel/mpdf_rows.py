"""Rows of /mpdf: the posterior densities of the runs whose keys match the patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate

from ..catalog.runs import RunKey
from ..catalog.worklist import Target
from ..files.schema import MPDF_POINTS
from ..photometry.ladder import Run
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

    def wants_of(self, target: Target) -> bool:
        """Whether those of any run of a target are."""
        return self._matches is not None and any(map(self.wants, target.run_keys()))

    def of(self, key: RunKey, run: Run, first_row: int) -> Iterator[tuple]:
        """A row for every result that has numbers; first_row is that of its first result."""
        if not self.wants(key):
            return
        for row, p in enumerate(run.photometry, first_row):
            if p.mode == p.mode:
                column = run.problem.sources.index(p.source)
                found = run.posterior.tabulated(column, MPDF_POINTS, self._smoothing)
                yield key.run_id, row, found.low, found.high, found.kernel, found.density
