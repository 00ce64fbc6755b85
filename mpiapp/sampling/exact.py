"""The engine without Monte Carlo noise: marginal densities instead of draws.

One source is integrated exactly (`one_source`).  Several are averaged over lines through
draws of the gibbs engine (`line_densities`), as many as the accuracy asks for; what noise
is left is measured from independent groups of chains.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np
from numba import njit

from ..catalog.problem import Problem
from ..compiled import OPTIONS
from ..posterior import Draws, Smoothing
from ..posterior.marginals import Marginal, Marginals
from .compressed import compress
from .gibbs import GibbsEngine, warm_up_problem
from .line_densities import line_densities
from .one_source import background_marginal, density_series

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

    def warm(self) -> None:
        """Compile every kernel, or load it from numba's cache."""
        for n_sources in (1, 2):
            found = self.sample(warm_up_problem(n_sources), np.random.SeedSequence(0))
            found.summary(0, Smoothing())

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Marginals:
        """The marginals of every source; see `Engine`."""
        t0 = perf_counter()
        if problem.n_sources == 1:
            return self._one(problem, t0)
        return self._several(problem, seed, tune_factor, t0)

    def _drawer(self, draws: int) -> GibbsEngine:
        """Two chains a group, each with so many draws; the noise says whether they suffice."""
        return GibbsEngine(chains=2 * _GROUPS, draws=draws, ess_target=1.0)

    def _one(self, problem: Problem, t0: float) -> Marginals:
        p = compress(problem)
        lo, hi, coefficients, _ = density_series(p)
        return Marginals(
            [[Marginal(lo, hi, float(problem.upper[0]), coefficients)]],
            _bounds(p.counts, p.first, p.omega_sum),
            partial(background_marginal, problem),
            method="quadrature",
            seconds={"sample": perf_counter() - t0},
        )

    def _several(self, problem: Problem, seed, tune_factor: int, t0: float) -> Marginals:
        draws = self.gibbs.sample(problem, seed, tune_factor=tune_factor)
        replicates, noise = _averaged(problem, draws)
        if noise > self.accuracy:
            more = min((1.2 * noise / self.accuracy) ** 2, _MOST)
            engine = self._drawer(int(_FIRST_LOOK * more))
            draws = engine.sample(problem, seed.spawn(1)[0], tune_factor=2 * tune_factor)
            replicates, noise = _averaged(problem, draws)
        bounds = 4.0 * draws.values.max(axis=(0, 1))
        bounds[: problem.n_sources] = np.inf
        return Marginals(
            replicates,
            bounds,
            lambda column: _marginals(problem, draws.values, column)[0],
            method="lines",
            limited=bool(noise > 1.5 * self.accuracy),
            seconds={"sample": perf_counter() - t0},
        )


def _averaged(problem: Problem, draws: Draws) -> tuple[list[list[Marginal]], float]:
    """The marginals of every source, and the largest noise under the catalog's smoothing."""
    replicates = [_marginals(problem, draws.values, j) for j in range(problem.n_sources)]
    found = Marginals(replicates, np.empty(problem.n_columns), None)
    noise = max(found.summary(j, Smoothing()).noise for j in range(problem.n_sources))
    return replicates, noise


def _marginals(problem: Problem, values: np.ndarray, column: int) -> list[Marginal]:
    """The marginal of a column and those of its groups of chains."""
    lo, hi, groups = line_densities(problem, values, column, _GROUPS)
    upper = float(problem.upper[column])
    return [Marginal(lo, hi, upper, c) for c in (groups.mean(axis=0), *groups)]


@njit(**OPTIONS)
def _bounds(counts, first, omega_sum):
    """(1 + n_backgrounds,) what Eq. 11 cannot exceed; infinite for the source.

    Without the source the background of an obsid with N counts is Gamma(N + 1) over ΣΩ, which
    is larger in the likelihood-ratio order than with it.  The mode is at most the largest value
    that matters, hilim − lolim twice that; and at most twelve means, as for any log-concave
    density of positive values.
    """
    bounds = np.full(1 + len(omega_sum), np.inf)
    for k in range(len(omega_sum)):
        mean = 1.0
        for r in range(first[k], first[k + 1]):
            mean += counts[r]
        largest = 4.0 * (mean + 7.0 * np.sqrt(mean) + 24.0)
        if omega_sum[k] > 0.0:
            bounds[1 + k] = min(largest, 12.0 * mean) / omega_sum[k]
    return bounds
