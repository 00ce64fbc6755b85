"""Detection: the chance that there is no source, and how bright one has to be to be seen.

Both follow from the counts X that would be in a source's own apertures, in all obsids together,
were it not there: X ~ Poisson(μ), μ the expectation from backgrounds and neighbours.  These are
known from all other apertures alone, with flat priors, and integrated out.  With one obsid and no
neighbour μ has the Gamma distribution of shape B + 1 that CIAO's aplimits takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..catalog.problem import Problem
from ..engines.joint import Rows, points


@dataclass(frozen=True)
class Detection:
    """What counts as a detection; the defaults are those of aplimits.

    Attributes
    ----------
    false_alarm : float
        Chance, at most, that more counts than the threshold come without a source (Kashyap et
        al. 2010, ApJ 719, 900: α).
    power : float
        Chance that a source as bright as the limit gives more than the threshold (β there).
    """

    false_alarm: float = 0.1
    power: float = 0.5


def own_apertures(problem: Problem) -> list[np.ndarray]:
    """For each source the rows that are its own apertures: none or one in every obsid.

    Of the ways to give the apertures of an obsid to its sources that in which these hold the
    most of them, in units of what the best aperture of each holds, as in all quantities.
    """
    # Not at the top: every rank would load it, and the many files behind it.
    from scipy.optimize import linear_sum_assignment

    own: list[list[int]] = [[] for _ in problem.sources]
    backgrounds = set(problem.background_rows().tolist())
    sources = problem.F[:, : problem.n_sources]
    sources = sources / np.maximum(sources.max(axis=0), np.finfo(float).tiny)
    for k in range(problem.n_obsids):
        rows = [r for r in np.flatnonzero(problem.row_obsid == k) if r not in backgrounds]
        for i, j in zip(*linear_sum_assignment(-sources[rows])):
            if sources[rows[i], j] > 0.0:
                own[j].append(rows[i])
    return [np.array(rows, int) for rows in own]


def _at_least(counts: float, expected: np.ndarray) -> np.ndarray:
    """P(X >= counts > 0) of X ~ Poisson(expected)."""
    # Not at the top either.
    from scipy.special import gammainc

    return gammainc(float(counts), expected)


class WithoutSource:
    """The counts in the own apertures of a source, were it not there.

    Parameters
    ----------
    problem : Problem
    source : int
        Its column.
    own : (k,) integers
        The rows that are its own apertures (`own_apertures`).

    Raises SamplingError where the posterior of backgrounds and neighbours is not found.
    """

    def __init__(self, problem: Problem, source: int, own: np.ndarray):
        self.counts = int(problem.counts[own].sum())
        self._response = float(problem.F[own, source].sum())
        others = np.delete(problem.F, source, axis=1)
        rest = np.delete(np.arange(len(others)), own)
        counts, F, offset = problem.counts[rest], others[rest], problem.offset[rest]
        if problem.gamma is not None:
            gamma = np.delete(problem.gamma, source, axis=0)
            counts = np.append(counts, gamma[:, 0])
            F = np.vstack([F, np.diag(gamma[:, 1])])
            offset = np.append(offset, np.zeros(len(gamma)))
        columns = _linked(F, others[own].any(axis=0))
        rows = F[:, columns].any(axis=1)
        self._rest = Rows(counts[rows], F[np.ix_(rows, columns)], offset[rows])
        self._own = Rows(
            np.array([self.counts]),
            others[own][:, columns].sum(axis=0, keepdims=True),
            problem.offset[own].sum(keepdims=True),
        )

    def _expected(self, theta: np.ndarray) -> np.ndarray:
        return (theta @ self._own.F.T + self._own.offset)[:, 0]

    @cached_property
    def _posterior(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Logarithm of its integral, and (n,) μ with their shares."""
        if not self._rest.F.size:
            return 0.0, self._own.offset, np.ones(1)
        found = points(self._rest)
        log_integral, share = found.resolved(self._rest.log_likelihood(found.theta))
        return log_integral, self._expected(found.theta), share

    def more_than(self, threshold: int, source: float = 0.0) -> float:
        """P(X > threshold), `source` more counts being expected."""
        _, expected, share = self._posterior
        return float(share @ _at_least(threshold + 1.0, expected + source))

    @property
    def chance(self) -> float:
        """P(X >= C): how often so many counts or more come without the source.

        A ratio of integrals, each with points of its own: over the posterior of backgrounds and
        neighbours with the factor P(X >= C | μ), and without it.
        """
        if self.counts == 0:
            return 1.0
        if not self._rest.F.size:
            return self.more_than(self.counts - 1)
        at = points(Rows(*(np.concatenate(pair) for pair in zip(self._rest, self._own))))
        with np.errstate(divide="ignore"):
            tail = np.log(_at_least(self.counts, self._expected(at.theta)))
        if tail.max() == -np.inf:
            return 0.0
        log_integral, _ = at.resolved(self._rest.log_likelihood(at.theta) + tail)
        return float(min(np.exp(log_integral - self._posterior[0]), 1.0))

    def threshold(self, false_alarm: float) -> int:
        """S*: the smallest number of counts of which P(X > S*) is at most `false_alarm`."""
        low, high = -1, 1
        while self.more_than(high) > false_alarm:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.more_than(middle) <= false_alarm else (middle, high)
        return high

    def limit(self, detection: Detection) -> float:
        """How bright a source is that exceeds the threshold with the chance `power`.

        In the unit of the quantity; 0 where nothing but the background does so often, infinite
        where no aperture sees it.
        """
        from scipy.optimize import brentq

        threshold = self.threshold(detection.false_alarm)

        def lacks(source):
            return self.more_than(threshold, source) - detection.power

        if lacks(0.0) >= 0.0:
            return 0.0
        high = threshold + 1.0
        while lacks(high) < 0.0:
            high *= 2.0
        return brentq(lacks, 0.0, high, xtol=1e-9 * high) / self._response


def _linked(F: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """(n_columns,) which columns of F tell of those in `begin`, directly or over others."""
    seen = F.any(axis=0)
    found = begin & seen
    while True:
        more = F[F[:, found].any(axis=1)].any(axis=0) | found
        if (more == found).all():
            return found
        found = more
