"""The engine without Monte Carlo noise: marginal densities instead of draws.

One source is integrated exactly (`one_source`), all problems of one shape in one go.  Of several
the others are integrated out by quadrature (`several`), with as many points as the accuracy asks
for; where that is not enough the densities along lines through draws of the gibbs engine are
averaged (`line_densities`).  What error is left is measured from independent repeats.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from ..catalog.problem import Problem
from ..catalog.stack import Stack
from ..posterior import Draws, Posterior, SamplingError, Smoothing, StackSummary, Summary
from ..posterior.marginals import Marginal, MarginalAnswers, Marginals
from .canonical import Canonical, canonical
from .compressed import Compressed, compress
from .gibbs import GibbsEngine, warm_up_problem
from .line_densities import line_densities
from .one_source import NOT_RESOLVED, background_marginal, marginal
from .one_source_summary import SOLVED, summarise_problems
from .several import fit, marginals, with_background_as_source

_GROUPS = 8
_FIRST_LOOK = 40  # draws of each chain
_MOST = 64.0  # times the draws of the first look, at which to stop anyhow
# The same lattices for every problem: what is the same data gets the same numbers.
_SHIFTS = np.random.SeedSequence(20210401)
_MARGIN = 0.5  # of the accuracy, what the moments of the repeats may disagree by


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
        self._last: tuple[bytes, Marginals | None] = (b"", None)

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
        t0 = perf_counter()
        if problem.n_sources == 1:
            return OneSource(problem)
        return self._several(problem, tune_factor, t0)

    def summarise(self, stack: Stack, smoothing: Smoothing) -> StackSummary:
        """The numbers of all problems of a stack, those that `sample` gives for each of them."""
        offset = np.zeros(stack.counts.shape)
        numbers, is_limit, reach, status, is_scaled = summarise_problems(
            stack.counts, stack.F, offset, stack.row_obsid, stack.upper, smoothing
        )
        return StackSummary(*numbers.T, is_limit, reach, status == SOLVED, is_scaled)

    def _drawer(self, draws: int) -> GibbsEngine:
        """Two chains a group, each with so many draws; the noise says whether they suffice."""
        return GibbsEngine(chains=2 * _GROUPS, draws=draws, ess_target=1.0)

    def _several(self, problem: Problem, tune_factor: int, t0: float) -> Marginals:
        own = canonical(problem)
        if own.digest != self._last[0]:
            self._last = own.digest, self._solved(own, tune_factor)
        return _scaled(self._last[1], own.units, problem.upper, perf_counter() - t0)

    def _solved(self, own: Canonical, tune_factor: int) -> Marginals:
        # The draws follow from the data alone: equal data give equal numbers.
        seed = np.random.SeedSequence(int.from_bytes(own.digest, "little"))
        problem = own.problem
        c = compress(problem)
        try:
            best = self.integrated(problem, c)
        except SamplingError:  # densities that are not finite
            return self.along_lines(problem, seed, tune_factor)
        if best.limited:
            return min(best, self.along_lines(problem, seed, tune_factor), key=_noise)
        return best

    def integrated(self, problem: Problem, c: Compressed) -> Marginals:
        """The other sources by quadrature; two problems of the same data give the same numbers."""
        p, n = fit(c), problem.n_sources
        target = _MARGIN * self.accuracy

        def background(column):
            q = fit(with_background_as_source(c, column - n))
            return marginals(q, n, target, _SHIFTS)[0]

        found = [marginals(p, j, target, _SHIFTS) for j in range(n)]
        return self._judged(found, p.reach, background, "quadrature")

    def along_lines(self, problem: Problem, seed, tune_factor: int = 1) -> Marginals:
        """Averages of densities along lines through draws, which the noise says how many."""
        draws = self.gibbs.sample(problem, seed, tune_factor=tune_factor)
        found = self._averaged(problem, draws)
        noise = _noise(found)
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
        return self._judged(found, bounds, lambda column: marginal_of(column)[0], "lines")

    def _judged(self, found, reach, background, method) -> Marginals:
        """Marginals that know whether they are as accurate as was asked for."""
        bounds = reach.copy()
        bounds[: len(found)] = np.inf
        answer = Marginals(found, bounds, background, method)
        return replace(answer, limited=bool(_noise(answer) > 1.5 * self.accuracy))


def _scaled(found: Marginals, units: np.ndarray, upper: np.ndarray, seconds: float) -> Marginals:
    """The marginals of the same problem in other units."""

    def scaled(marginal: Marginal, column: int) -> Marginal:
        unit = units[column]
        return replace(
            marginal, lo=marginal.lo / unit, hi=marginal.hi / unit, upper=float(upper[column])
        )

    return replace(
        found,
        replicates=[[scaled(m, j) for m in some] for j, some in enumerate(found.replicates)],
        bounds=found.bounds / units,
        background=lambda column: scaled(found.background(column), column),
        seconds={"sample": seconds},
        _summaries={
            (j, smoothing): Summary(*np.divide(s[:4], units[j]).tolist(), *s[4:])
            for (j, smoothing), s in found._summaries.items()
        },
    )


def _noise(found: Marginals) -> float:
    """The largest noise of any source under the catalog's smoothing."""
    return max(found.summary(j, Smoothing()).noise for j in range(len(found.replicates)))


def line_marginals(problem: Problem, values: np.ndarray, column: int) -> list[Marginal]:
    """The marginal of a column and those of its groups of chains."""
    lo, hi, groups = line_densities(problem, values, column, _GROUPS)
    upper = float(problem.upper[column])
    return [Marginal(lo, hi, upper, c) for c in (groups.mean(axis=0), *groups)]


class OneSource(MarginalAnswers):
    """The posterior of one source, in a stack of its own; densities are found when asked for.

    Raises SamplingError where counts are impossible, and when it is asked what quadrature
    does not resolve.
    """

    method = "quadrature"

    def __init__(self, problem: Problem):
        t0 = perf_counter()
        compress(problem)
        self.problem = problem
        self._found: dict[Smoothing, tuple] = {}
        self._marginals: dict[int, Marginal] = {}
        self.rhat = self.ess = np.full(problem.n_columns, np.nan)
        self.seconds = {"sample": perf_counter() - t0}

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
        value, lolim, hilim, mode = numbers[0, :4].tolist()
        return Summary(value, lolim, hilim, mode, bool(is_limit[0]), 0.0)

    def reach(self, column: int, smoothing: Smoothing) -> float:
        """What mode + 3/2 (hilim − lolim) of a background cannot exceed."""
        return self._numbers(smoothing)[2][0, column - 1] if column else np.inf

    def mean(self, column: int) -> float:
        """Posterior mean."""
        return super().mean(column) if column else self._moment(4)

    def std(self, column: int) -> float:
        """Posterior standard deviation."""
        return super().std(column) if column else self._moment(5)

    def _moment(self, which: int) -> float:
        smoothing = next(iter(self._found), Smoothing())
        return float(self._numbers(smoothing)[0][0, which])

    def _numbers(self, smoothing: Smoothing) -> tuple:
        if smoothing not in self._found:
            p = self.problem
            found = summarise_problems(
                p.counts[None], p.F[None], p.offset[None], p.row_obsid, p.upper[None], smoothing
            )
            if found[3][0] != SOLVED:
                raise SamplingError(NOT_RESOLVED)
            self._found[smoothing] = found
        return self._found[smoothing]
