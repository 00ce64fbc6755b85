"""The engine without Monte Carlo noise: marginal densities instead of draws.

One source is integrated exactly (`one_source`), all problems of one shape in one go.  Of several
the others are integrated out by quadrature (`several`), with as many points as the accuracy asks
for; where that is not enough the densities along lines through draws of the gibbs engine are
averaged (`line_densities`).  What error is left is measured from independent repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from ..catalog.problem import Problem
from ..catalog.problems import Problems
from ..posterior import Draws, Posterior, SamplingError, Smoothing, Solutions
from ..posterior.marginals import Marginal, MarginalAnswers, Marginals
from ..posterior.numbers import no_numbers
from ..posterior.tabulated import Tabulated
from ..stopwatch import timed
from .answers import InUnits, OneSource, SeveralSources
from .canonical import Canonical, canonical
from .compressed import compress
from .gibbs import GibbsEngine, warm_up_problem
from .line_densities import line_densities
from .one_source_summary import SOLVED, summarise_problems
from .several_summary import summarise_several

_GROUPS = 8
_FIRST_LOOK = 40  # draws of each chain
_MOST = 64.0  # times the draws of the first look, at which to stop anyhow


class ExactEngine:
    """Marginals without noise for one source, with as little as is asked for for several.

    Parameters
    ----------
    accuracy : float
        Standard deviation, in half-widths of the 68 % interval, that chance may leave in
        the mode and bounds of several sources; what does not reach it is flagged.
    """

    name = "exact"
    typical_seconds = 1e-4
    compiles_per_rank = False

    def __init__(self, accuracy: float = 0.01):
        if not accuracy > 0.0:
            raise ValueError(f"accuracy={accuracy}: expected a positive number")
        self.accuracy = accuracy
        self.gibbs = self._drawer(_FIRST_LOOK)
        self._last: tuple[bytes, MarginalAnswers | None] = (b"", None)

    def warm(self) -> None:
        """Compile every kernel, or load it from numba's cache."""
        for n_sources in (1, 2):
            found = self.sample(warm_up_problem(n_sources), np.random.SeedSequence(0))
            found.summary(0, Smoothing())
            found.tabulated(0, 2, Smoothing())
        self.along_lines(warm_up_problem(2), np.random.SeedSequence(0))

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Posterior:
        """The marginals of every source; see `Engine`."""
        _load()
        if problem.n_sources == 1:
            return OneSource(problem)
        return self._several(problem, tune_factor)

    def summarise(
        self, problems: Problems, smoothing: Smoothing, points: int = 0, seeds: Sequence = ()
    ) -> Solutions:
        """The numbers of many problems, those that `sample` gives for each; see `BatchEngine`.

        Of sources that are not reported there is only `eq11`; their numbers are NaN.
        """
        _load()
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

    def _drawer(self, draws: int) -> GibbsEngine:
        """Two chains a group, each with so many draws; the noise says whether they suffice."""
        return GibbsEngine(chains=2 * _GROUPS, draws=draws, ess_target=1.0)

    def _several(self, problem: Problem, tune_factor: int) -> Posterior:
        seconds: dict[str, float] = {}
        with timed(seconds, "sample"):
            own = canonical(problem)
            if own.digest != self._last[0]:
                self._last = own.digest, self._solved(own, tune_factor)
        return InUnits(self._last[1], own.units, problem.upper, seconds)

    def _solved(self, own: Canonical, tune_factor: int) -> MarginalAnswers:
        # The draws follow from the data alone: equal data give equal numbers.
        seed = np.random.SeedSequence(int.from_bytes(own.digest, "little"))
        problem = own.problem
        compress(problem)  # says which counts nothing explains
        try:
            best = SeveralSources(problem, self.accuracy)
        except SamplingError:  # densities that are not finite
            return self.along_lines(problem, seed, tune_factor)
        if best.limited:
            lines = self.along_lines(problem, seed, tune_factor)
            return min(best, lines, key=lambda found: _noise(found, problem.wanted))
        return best

    def along_lines(self, problem: Problem, seed, tune_factor: int = 1) -> Marginals:
        """Averages of densities along lines through draws, which the noise says how many."""
        draws = self.gibbs.sample(problem, seed, tune_factor=tune_factor)
        found = self._averaged(problem, draws)
        noise = _noise(found, problem.wanted)
        if noise > self.accuracy:
            more = min((1.2 * noise / self.accuracy) ** 2, _MOST)
            engine = self._drawer(int(_FIRST_LOOK * more))
            draws = engine.sample(problem, seed.spawn(1)[0], tune_factor=2 * tune_factor)
            found = self._averaged(problem, draws)
        return found

    def _averaged(self, problem: Problem, draws: Draws) -> Marginals:
        def marginal_of(column):
            return line_marginals(problem, draws.values, column)

        found = [marginal_of(j) for j in range(problem.n_sources)]
        bounds = 4.0 * draws.values.max(axis=(0, 1))
        bounds[: len(found)] = np.inf
        answer = Marginals(found, bounds, lambda column: marginal_of(column)[0], "lines")
        is_noisy = _noise(answer, problem.wanted) > 1.5 * self.accuracy
        return replace(answer, limited=bool(is_noisy))


def _noise(found: MarginalAnswers, sources: Iterable[int]) -> float:
    """The largest noise of any of the sources under the catalog's smoothing."""
    return max(found.summary(j, Smoothing()).noise for j in sources)


def line_marginals(problem: Problem, values: np.ndarray, column: int) -> list[Marginal]:
    """The marginal of a column and those of its groups of chains."""
    lo, hi, groups = line_densities(problem, values, column, _GROUPS)
    upper = float(problem.upper[column])
    return [Marginal(lo, hi, upper, c) for c in (groups.mean(axis=0), *groups)]


@cache
def _load() -> None:
    """Load what solves batches, one source first, before anything else.

    Compiled files have copies of what they share, and a process takes those of the first that
    it loads; they differ in the last digits.
    """
    summarise_problems(*_arrays(Problems.of([warm_up_problem(1)])), Smoothing())
    summarise_several(*_arrays(Problems.of([warm_up_problem(2)])), 2, Smoothing(), 1.0)


def _arrays(problems: Problems) -> tuple[np.ndarray, ...]:
    """Problems as compiled code takes them."""
    p = problems
    return p.counts, p.F, p.offset, p.row_obsid, p.upper
