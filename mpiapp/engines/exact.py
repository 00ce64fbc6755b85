"""The engine without Monte Carlo noise: marginal densities instead of draws.

One source is integrated exactly (`one_source`), all problems of one shape in one go.  Of several
the others are integrated out by quadrature (`several`), with as many points as the accuracy asks
for.  What error is left is measured: from independent repeats and from finer rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..catalog.problem import Problem
from ..catalog.problems import Problems
from ..posterior import Posterior, Smoothing, Solutions
from ..posterior.marginals import MarginalAnswers
from ..posterior.numbers import no_numbers
from ..posterior.tabulated import Tabulated
from ..stopwatch import timed
from ._compiled import SOLVED
from .answers import InUnits, OneSource, SeveralSources
from .canonical import canonical
from .one_source_summary import summarise_problems
from .settings import ExactSettings
from .several_summary import summarise_several


class ExactEngine(ExactSettings):
    """Marginals without noise for one source, to the accuracy asked for of several.

    Settings: `ExactSettings`.
    """

    name = "exact"
    typical_seconds = 1e-4
    compiles_per_rank = False

    def __init__(self, **settings):
        super().__init__(**settings)
        self._last: tuple[bytes, MarginalAnswers | None] = (b"", None)

    def warm(self) -> None:
        """Nothing to compile."""

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Posterior:
        """The marginals of every source; see `Engine`."""
        if problem.n_sources == 1:
            return OneSource(problem)
        return self._several(problem)

    def summarise(
        self, problems: Problems, smoothing: Smoothing, points: int = 0, seeds: Sequence = ()
    ) -> Solutions:
        """The numbers of many problems, those that `sample` gives for each; see `BatchEngine`.

        Of sources that are not reported there is only `eq11`; their numbers are NaN.
        """
        arrays = _arrays(problems)
        if problems.n_sources > 1:
            found = summarise_several(
                *arrays, problems.n_sources, smoothing, self.accuracy, points, problems.reported
            )
        else:
            found = summarise_problems(*arrays, smoothing, points)
        values, is_limit, reach, status, is_scaled, _, ends, tables = found
        numbers = no_numbers(*is_limit.shape)
        for k, name in enumerate(numbers.dtype.names[: values.shape[-1]]):
            numbers[name] = values[..., k]
        method = np.where(is_scaled, b"scaled", b"quadrature")
        tabulated = Tabulated.of(ends, tables) if points else None
        return Solutions(numbers, is_limit, reach, status == SOLVED, method, tabulated)

    def _several(self, problem: Problem) -> Posterior:
        seconds: dict[str, float] = {}
        with timed(seconds, "sample"):
            own = canonical(problem)
            if own.digest != self._last[0]:
                self._last = own.digest, SeveralSources(own.problem, self.accuracy)
        return InUnits(self._last[1], own.units, problem.upper, seconds)


def _arrays(problems: Problems) -> tuple[np.ndarray, ...]:
    """Problems as compiled code takes them."""
    p = problems
    return p.counts, p.F, p.offset, p.row_obsid, p.upper
