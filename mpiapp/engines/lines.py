"""The lines along which several sources are sampled: where the posterior lies, and its axes."""

from __future__ import annotations

import numpy as np

from ..catalog.problem import Problem
from ._compiled import INSIDE

_CLEAR = 4.0  # a source fewer standard deviations from a bound counts as cut by it
_CORRELATED = 0.2  # exchange counts between sources correlated more than this
_INTERIOR = 2.5  # a background this many standard deviations from its bounds follows the sources
_STEEP = 5.0  # decay lengths in a standard deviation beyond which zero decides the width


def _information(problem: Problem, theta: np.ndarray):
    """Precision of the posterior about theta: source block, mixed block, background diagonal.

    The expected Fisher information with a count more in each row; the precision
    12/P² of a prior uniform to P; and g² where a bound cuts off a density of
    gradient g, since e^{-gx} is as wide as a Gaussian of that precision.
    """
    n = problem.n_sources
    mu = problem.F @ theta + problem.offset
    weighted = problem.F / np.sqrt(mu + 1.0)[:, None]
    s, b = weighted[:, :n], weighted[:, n:]
    ratio = np.divide(problem.counts, mu, out=np.zeros(len(mu)), where=mu > 0.0)
    gradient = (ratio - 1.0) @ problem.F
    at_bound = np.where(
        gradient > 0.0,
        theta >= INSIDE * problem.upper,
        gradient < -_STEEP * np.sqrt((weighted**2).sum(axis=0)),
    )
    box = np.where(at_bound, gradient**2, 0.0) + 12.0 / problem.upper**2
    return s.T @ s + np.diag(box[:n]), s.T @ b, np.einsum("rk,rk->k", b, b) + box[n:]


def lines(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Lines of a sweep, (n_lines, n_columns), each about a standard deviation long.

    First the principal axes of the sources, backgrounds integrated out.  They
    mix well until a bound cuts the posterior; where one does, each such source
    alone is added, and exchanges of counts with the sources it is correlated with.
    These do without the axes if every source is cut.
    theta : (n_columns,) estimate that tells what is clear of the bounds.
    """
    n = problem.n_sources
    ss, sb, bb = _information(problem, theta)
    room = np.minimum(theta, problem.upper - theta)
    regression = -sb.T / bb[:, None]
    schur = ss + sb @ regression
    scale = 1.0 / np.sqrt(np.diag(ss))
    values, vectors = np.linalg.eigh(schur * np.outer(scale, scale))
    axes = (vectors / np.sqrt(np.maximum(values, 1e-10))).T
    covariance = axes.T @ axes
    sigma = np.sqrt(np.diag(covariance))
    cut = room[:n] < _CLEAR * sigma * scale
    correlated = np.abs(covariance) > _CORRELATED * np.outer(sigma, sigma)
    first, second = np.nonzero(np.triu(correlated & (cut[:, None] | cut), 1))
    pairs = np.zeros((len(first), n))
    pairs[np.arange(len(first)), first] = 1.0
    pairs[np.arange(len(first)), second] = np.sign(covariance[first, second])
    alone = np.eye(n)[cut]
    if cut.all():
        axes = axes[:0]
    directions = np.vstack([axes, pairs, alone]) * scale
    follows = room[n:] * np.sqrt(bb) > _INTERIOR
    return np.hstack([directions, np.where(follows, directions @ regression.T, 0.0)])
