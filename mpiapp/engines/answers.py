"""What the engine `exact` answers with: posteriors by quadrature, found when they are asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..catalog.problem import Problem
from ..posterior import SamplingError, Smoothing, Summary
from ..posterior.marginals import Marginal, MarginalAnswers
from ..posterior.tabulated import Tabulated
from ..stopwatch import timed
from ._compiled import LIMITED, SOLVED
from .canonical import Found
from .compressed import compress
from .cubature import LEVELS
from .joint import joint
from .one_source import NOT_RESOLVED, background_marginal, marginal
from .one_source_summary import summarise_problems
from .several import NOT_FINITE, fit, marginals, with_background_as_source
from .several_summary import MARGIN, SHIFTS, summarise_several


class OneSource(MarginalAnswers):
    """The posterior of one source, in a stack of its own; densities are found when asked for.

    Raises SamplingError where counts are impossible, and when it is asked what quadrature
    does not resolve.
    """

    method = "quadrature"

    def __init__(self, problem: Problem):
        self.seconds: dict[str, float] = {}
        with timed(self.seconds, "sample"):
            compress(problem)
        self.problem = problem
        self._found: dict[Smoothing, Found] = {}
        self._marginals: dict[int, Marginal] = {}
        self.rhat = self.ess = np.full(problem.n_columns, np.nan)

    def marginal(self, column: int) -> Marginal:
        """The marginal of the source or of a background."""
        if column not in self._marginals:
            problem = self.problem
            found = background_marginal(problem, column) if column else marginal(problem)
            self._marginals[column] = found
        return self._marginals[column]

    def summary(self, column: int, smoothing: Smoothing) -> Summary:
        """Mode and bounds in the limit of infinitely many draws; without noise."""
        if column:
            return self.marginal(column).summary(smoothing)
        numbers, is_limit, *_ = self._numbers(smoothing)
        value, lolim, hilim, mode = numbers[0, 0, :4].tolist()
        return Summary(value, lolim, hilim, mode, bool(is_limit[0, 0]), 0.0)

    def reach(self, column: int, smoothing: Smoothing) -> float:
        """What mode + 3/2 (hilim − lolim) of a background cannot exceed."""
        return self._numbers(smoothing).reach[0, column] if column else np.inf

    def mean(self, column: int) -> float:
        """Posterior mean."""
        return super().mean(column) if column else self._moment(4)

    def std(self, column: int) -> float:
        """Posterior standard deviation."""
        return super().std(column) if column else self._moment(5)

    def _moment(self, which: int) -> float:
        smoothing = next(iter(self._found), Smoothing())
        return float(self._numbers(smoothing).numbers[0, 0, which])

    def _numbers(self, smoothing: Smoothing) -> Found:
        if smoothing not in self._found:
            self._found[smoothing] = self._solved(smoothing)
        return self._found[smoothing]

    def _solved(self, smoothing: Smoothing, points: int = 0) -> Found:
        p = self.problem
        arrays = p.counts[None], p.F[None], p.offset[None], p.row_obsid, p.upper[None]
        found = summarise_problems(*arrays, smoothing, points)
        if found.status[0] != SOLVED:
            raise SamplingError(NOT_RESOLVED)
        return found

    def tabulated(self, column: int, n: int, smoothing: Smoothing) -> Tabulated:
        """The density itself at n points of its range, as in a stack."""
        if column:
            return super().tabulated(column, n, smoothing)
        found = self._solved(smoothing, n)
        return Tabulated.of(found.ends[0, 0], found.tables[0, 0])

    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Points of the joint posterior with their shares."""
        return joint(self.problem)


class SeveralSources(MarginalAnswers):
    """The posterior of several sources in its own units (`Canonical`), within an accuracy.

    Raises SamplingError where counts are impossible or densities not finite.
    """

    method = "quadrature"

    def __init__(self, problem: Problem, accuracy: float):
        self._compressed = compress(problem)
        self._accuracy = accuracy
        self._found: dict[Smoothing, Found] = {}
        self._marginals: dict[int, Marginal] = {}
        # What no aperture sees has its prior and changes nothing.
        sums = problem.F[:, : problem.n_sources].sum(axis=0)
        unseen = tuple(s for s, total in zip(problem.sources, sums) if total <= 0.0)
        self._seen = problem.without_sources(unseen)
        self._place = {j: i for i, j in enumerate(np.flatnonzero(sums > 0.0))}
        self._wanted = [j for j in problem.wanted if j in self._place]
        self._problem = problem
        self.seconds: dict[str, float] = {}
        with timed(self.seconds, "sample"):
            self.limited = self._wanted != [] and self._numbers(Smoothing()).status[0] == LIMITED
        self.rhat = self.ess = np.full(problem.n_columns, np.nan)

    def marginal(self, column: int) -> Marginal:
        """The marginal of a source or of a background."""
        if column not in self._marginals:
            c, n, level = self._compressed, self._problem.n_sources, LEVELS - 1
            if column >= n:
                c = with_background_as_source(c, column - n)
            accuracy = MARGIN * self._accuracy
            if column in self._wanted:  # the same points as those of the summary
                level = self._numbers(Smoothing()).depth[0, self._place[column]]
                accuracy = 0.0
            found = marginals(fit(c), min(column, n), accuracy, SHIFTS, level)
            self._marginals[column] = found[0]
        return self._marginals[column]

    def summary(self, column: int, smoothing: Smoothing) -> Summary:
        """Mode and bounds in the limit of infinitely many draws, with what noise is left."""
        if column not in self._wanted:
            return self.marginal(column).summary(smoothing)
        numbers, is_limit, *_ = self._numbers(smoothing)
        *four, _, _, noise = numbers[0, self._place[column]].tolist()
        return Summary(*four, bool(is_limit[0, self._place[column]]), noise)

    def reach(self, column: int, smoothing: Smoothing) -> float:
        """What mode + 3/2 (hilim − lolim) cannot exceed."""
        n = self._problem.n_sources
        if not self._place or (column < n and column not in self._place):
            return np.inf
        place = self._place.get(column, column - n + len(self._place))
        return self._numbers(smoothing).reach[0, place]

    def mean(self, column: int) -> float:
        """Posterior mean."""
        return self._moment(column, 4) if column in self._wanted else super().mean(column)

    def std(self, column: int) -> float:
        """Posterior standard deviation."""
        return self._moment(column, 5) if column in self._wanted else super().std(column)

    def _moment(self, column: int, which: int) -> float:
        return float(self._numbers(Smoothing()).numbers[0, self._place[column], which])

    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Points of the joint posterior with their shares."""
        return joint(self._problem)

    def _numbers(self, smoothing: Smoothing) -> Found:
        if smoothing not in self._found:
            p = self._seen
            found = summarise_several(
                p.counts[None], p.F[None], p.offset[None], p.row_obsid, p.upper[None],
                p.n_sources, smoothing, self._accuracy, 0, [self._place[j] for j in self._wanted],
            )  # fmt: skip
            if found.status[0] not in (SOLVED, LIMITED):
                raise SamplingError(NOT_FINITE)
            self._found[smoothing] = found
        return self._found[smoothing]


class InUnits(MarginalAnswers):
    """The posterior of a problem that has been solved in units of its own.

    units, upper : (n_columns,) by which numbers are divided, and the prior's bounds in the
    problem's own unit
    """

    def __init__(
        self, solved: MarginalAnswers, units: np.ndarray, upper: np.ndarray, seconds: dict
    ):
        self._solved = solved
        self._units = units
        self._upper = upper
        self.method = solved.method
        self.limited = solved.limited
        self.rhat, self.ess = solved.rhat, solved.ess
        self.seconds = seconds

    def marginal(self, column: int) -> Marginal:
        """The marginal of a source or background."""
        m, unit = self._solved.marginal(column), self._units[column]
        return replace(m, lo=m.lo / unit, hi=m.hi / unit, upper=float(self._upper[column]))

    def summary(self, column: int, smoothing: Smoothing) -> Summary:
        """Mode and bounds, with what noise is left."""
        found = self._solved.summary(column, smoothing)
        return Summary(*np.divide(found[:4], self._units[column]).tolist(), *found[4:])

    def reach(self, column: int, smoothing: Smoothing) -> float:
        """What mode + 3/2 (hilim − lolim) cannot exceed."""
        return self._solved.reach(column, smoothing) / self._units[column]

    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Points of the joint posterior with their shares."""
        theta, share = self._solved.joint()
        return theta / self._units, share

    def mean(self, column: int) -> float:
        """Posterior mean."""
        return self._solved.mean(column) / self._units[column]

    def std(self, column: int) -> float:
        """Posterior standard deviation."""
        return self._solved.std(column) / self._units[column]
