"""The engine gibbs: exact draws for one source, Gibbs sampling along lines for more.

With several sources each sweep draws the sources along conjugate directions,
the backgrounds following as their regression on the sources says, and then each
background by itself; given the sources an obsid's background touches only its
own rows, so a sweep costs a time linear in the number of obsids.  Every draw
along a line is exact (adaptive-rejection Gibbs sampling; Gilks & Wild 1992), so
there is nothing to tune and nothing is refused.  Chains run side by side as
lanes of vector instructions.
"""

from __future__ import annotations

import numpy as np

from ..catalog.problem import Problem
from ..posterior.diagnostics import remember_start, rhat_and_ess
from ..posterior.draws import Draws, SamplingError
from ..stopwatch import timed
from ._compiled import draw_one_source, maximise, sweep
from .centre import Centre, centre
from .compressed import Compressed, compress
from .lines import lines
from .one_source import tabulate
from .random_lanes import lane_states
from .settings import GibbsSettings

_EXACT_LANES = 64
_BURN_IN = 10.0  # of it at least so many autocorrelation times


class GibbsEngine(GibbsSettings):
    """Sampler in one thread; exact for one source.

    Settings: `GibbsSettings`.

    Parameters
    ----------
    exact : bool
        Whether one source is drawn from its exact posterior instead of by Gibbs sampling; its
        chains are then only the shape of the result.
    """

    name = "gibbs"
    typical_seconds = 5e-4
    compiles_per_rank = False

    def __init__(self, exact: bool = True, **settings):
        super().__init__(**settings)
        self.exact = exact

    def warm(self) -> None:
        """Nothing to compile."""

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Draws:
        """Draw from the posterior; see `Engine`."""
        seconds: dict[str, float] = {}
        with timed(seconds, "init"):
            compressed = compress(problem)
        if self.exact and problem.n_sources == 1:
            return self._exact(compressed, seed, seconds)
        return self._gibbs(problem, compressed, seed, tune_factor, seconds)

    def _exact(self, p: Compressed, seed, seconds) -> Draws:
        with timed(seconds, "init"):
            m = tabulate(p)
        n = max(self.chains * self.draws, int(np.ceil(self.ess_target)))
        per_chain = -(-n // self.chains)
        n = per_chain * self.chains
        values = np.empty((-(-n // _EXACT_LANES) * _EXACT_LANES, len(p.upper)))
        state = lane_states(seed, _EXACT_LANES)
        with timed(seconds, "sample"):
            failed = draw_one_source(p, m, state, values)
        if failed:
            raise SamplingError(f"{failed} draws of a background found no value")
        columns = len(p.upper)
        return Draws(
            values[:n].reshape(self.chains, per_chain, columns),
            rhat=np.ones(columns),
            ess=np.full(columns, float(n)),
            method="exact",
            seconds=seconds,
        )

    def _start(self, problem: Problem, p: Compressed, seed) -> tuple:
        """Lines, and where each chain begins: the arguments of `sweep` but where draws go."""
        middle = centre(p)
        estimate = middle.theta.copy()
        maximise(p, estimate)
        directions = lines(problem, estimate)
        moves = directions @ problem.F.T
        totals = moves.sum(axis=1)
        moves = np.ascontiguousarray(moves[:, p.rows])
        rng = np.random.Generator(np.random.PCG64(seed))
        start = _spread(middle, p.upper, rng.uniform(-2.0, 2.0, (problem.n_columns, self.chains)))
        state = lane_states(seed.spawn(1)[0], self.chains)
        return p, directions, moves, totals, start, state

    def _gibbs(self, problem: Problem, p: Compressed, seed, tune_factor, seconds) -> Draws:
        with timed(seconds, "init"):
            start = self._start(problem, p, seed)
        with timed(seconds, "sample"):
            values, rhat, ess, limited = self._chains(start, problem.n_columns, tune_factor)
        return Draws(values, rhat, ess, method="gibbs", limited=limited, seconds=seconds)

    def _chains(self, args: tuple, columns: int, tune_factor: int) -> tuple:
        """(values, r-hat, effective sample size, limited), once the chains are long enough.

        Sweeps go to the burn-in until that is long beside the autocorrelation and the
        chains have forgotten where they began.
        """
        burnt, wanted = 0, self.burn_in * tune_factor
        values = np.empty((self.chains, 0, columns))
        n = wanted + self.draws
        while True:
            block = np.empty((self.chains, n, columns))
            if failed := sweep(*args, block):
                raise SamplingError(f"{failed} draws along a line found no value")
            values = np.concatenate([values, block], axis=1) if values.size else block
            more = min(wanted - burnt, values.shape[1] - self.draws)
            values, burnt = values[:, more:], burnt + more
            rhat, ess = rhat_and_ess(np.ascontiguousarray(values))
            have = values.shape[1]
            smallest = max(ess.min(), 1.0)
            wanted = max(wanted, int(_BURN_IN * self.chains * have / smallest))
            forgotten = burnt >= wanted
            if remember_start(values):
                wanted, forgotten = max(wanted, burnt + have // 4), False
            done = forgotten and ess.min() >= self.ess_target
            if done or have + burnt >= self.max_draws + self.burn_in * tune_factor:
                return np.ascontiguousarray(values), rhat, ess, not done
            # enough for the target with a tenth to spare, at most three times what there is
            want = have * (1.1 * self.ess_target / smallest - 1.0) + wanted - burnt
            left = self.max_draws + self.burn_in * tune_factor - have - burnt
            n = int(min(max(want, 8), 3 * have, left))


def _spread(middle: Centre, upper: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(n_columns, chains) points z standard deviations from the middle, as the posterior is tied.

    What a bound cuts off is moved back towards the middle, so that it stays among what is likely.
    """
    n = len(middle.precision)
    offset = np.linalg.solve(np.linalg.cholesky(middle.precision).T, z[:n])
    own = middle.spread[n:] / np.sqrt(1.0 + middle.shift**2)
    offset = np.vstack([offset, middle.pull.T @ offset + own[:, None] * z[n:]])
    room = np.where(offset < 0.0, middle.theta[:, None], (upper - middle.theta)[:, None])
    inside = 0.9 * (room / np.maximum(np.abs(offset), 1e-300)).min(axis=0)
    return middle.theta[:, None] + np.minimum(inside, 1.0) * offset
