"""Integrals over the joint posterior of a problem: points that stand for it, with weights.

The points are those of the unit cube (`cubature`), as a product of logistic distributions along
the principal directions of the posterior of y, log(exp(θ/σ) − 1).  Which is the logarithm of an
intensity far below its spread σ and the intensity itself far above: there the posterior of
C ~ Poisson(F·θ + o) under flat priors is nearly a Gaussian, with tails that fall exponentially.
What the product lacks in shape is in the weights, and tells a better one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem
from ..posterior.draws import SamplingError
from .cubature import LEVELS, cubature

_SHIFTS = np.random.SeedSequence(20100719)  # the same lattices for every problem
_WIDTH = 0.6  # of a logistic distribution, in standard deviations of y; its own spread has 0.55
_SOFT = 0.7  # of the spread of an intensity, below which y is a logarithm
_ENOUGH = 2  # effective points for each element of a covariance
_ROUNDS = 100
_FOUND = 1e-6  # standard deviations that the peak may be off


class Rows(NamedTuple):
    """C, F and o of some apertures: (n_rows,), (n_rows, n_columns) and (n_rows,)."""

    counts: np.ndarray
    F: np.ndarray
    offset: np.ndarray

    def log_likelihood(self, theta: np.ndarray) -> np.ndarray:
        """(n,) at theta (n, n_columns), without the terms −log C!."""
        mu = theta @ self.F.T + self.offset
        # A row without counts may expect none.
        with np.errstate(divide="ignore"):
            logs = np.where(self.counts > 0, np.log(mu), 0.0)
        return logs @ self.counts - mu.sum(axis=1)


class Points(NamedTuple):
    """Where to evaluate a density, (n, n_columns), and how the values add up to its integral.

    log_volume : (n,) logarithm of the volume that each point stands for, times n
    weights : (1 + repeats, n) of the points, in the best sum and in repeats that tell its error
    """

    theta: np.ndarray
    log_volume: np.ndarray
    weights: np.ndarray

    def integral(self, log_values: np.ndarray) -> tuple[float, np.ndarray, float]:
        """Logarithm of ∫ exp(log_values) dθ, (n,) share of each point, relative standard error."""
        logs = log_values + self.log_volume
        top = logs.max()
        parts = np.exp(logs - top) * self.weights
        best, *repeats = parts.sum(axis=1)
        error = np.std(repeats) / np.sqrt(max(len(repeats) - 1, 1)) / best
        return top + np.log(best), parts[0] / best, float(error)


def points(rows: Rows) -> Points:
    """Points for integrals over intensities that the likelihood of these rows confines.

    Every column needs a row that sees it.  Raises SamplingError where the peak is not found.
    """
    unit = rows.F.sum(axis=0)
    rows = rows._replace(F=rows.F / unit)
    centre, covariance = _peak(rows)
    unit_of_y = _SOFT * np.sqrt(covariance.diagonal())
    mean, slope = _log_expm1(centre / unit_of_y), -np.expm1(-centre / unit_of_y) * unit_of_y
    covariance = covariance / np.outer(slope, slope)
    for level in range(1, LEVELS):
        found = _points(mean, covariance, unit_of_y, level)
        if level == LEVELS - 1:
            break
        _, share, _ = found.integral(rows.log_likelihood(found.theta))
        if share @ share * _ENOUGH * len(unit) ** 2 < 1.0:  # enough tell a better product
            theta = found.theta - share @ found.theta
            unit_of_y = _SOFT * np.sqrt(share @ theta**2)
            y = _log_expm1(found.theta / unit_of_y)
            mean = share @ y
            covariance = (y - mean).T @ ((y - mean) * share[:, None])
    return found._replace(
        theta=found.theta / unit, log_volume=found.log_volume - np.log(unit).sum()
    )


def _points(mean, covariance, unit_of_y, level) -> Points:
    """Points of the logistic product with this mean and covariance of y."""
    directions = np.linalg.cholesky(covariance)
    u, weights = cubature(len(mean), level, _SHIFTS)
    u = np.clip(u, 1e-300, 1.0 - 1e-16)
    y = mean + _WIDTH * np.log(u / (1.0 - u)) @ directions.T
    log_volume = -np.logaddexp(0.0, -y).sum(axis=1) - np.log(u * (1.0 - u)).sum(axis=1)
    log_volume += np.log(_WIDTH * unit_of_y * directions.diagonal()).sum()
    return Points(np.logaddexp(0.0, y) * unit_of_y, log_volume, weights)


def _log_expm1(t: np.ndarray) -> np.ndarray:
    """log(exp(t) − 1) without overflow."""
    return t + np.log(-np.expm1(-t))


def _peak(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(n,) where likelihood × Πθ peaks, and the (n, n) covariance that its curvature tells.

    −log of it is self-concordant: damped Newton steps lead there from anywhere.
    """
    counts, F, offset = rows
    total = F.sum(axis=0)
    theta = (1.0 + counts.sum() / F.shape[1]) / total
    for _ in range(_ROUNDS):
        mu = F @ theta + offset
        ratio = np.divide(counts, mu, out=np.zeros_like(mu), where=counts > 0)
        scaled = F * theta
        # In units of theta: gradient and negative Hessian of the logarithm.
        gradient = 1.0 - scaled.sum(axis=0) + ratio @ scaled
        bend = np.divide(ratio, mu, out=np.zeros_like(mu), where=counts > 0)
        precision = np.eye(len(theta)) + scaled.T @ (scaled * bend[:, None])
        step = np.linalg.solve(precision, gradient)
        decrement = np.sqrt(max(gradient @ step, 0.0))
        theta = theta * (1.0 + step / (1.0 + (decrement if decrement > 0.25 else 0.0)))
        if decrement < _FOUND:
            return theta, np.linalg.inv(precision) * np.outer(theta, theta)
    raise SamplingError("Newton's method has not found the peak of the joint posterior")


def joint(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(n, n_columns) intensities that stand for the posterior of a problem, and (n,) their shares.

    NaN in columns that no aperture sees.  Raises SamplingError where the posterior is not found.
    """
    seen = problem.F.any(axis=0)
    rows = Rows(problem.counts, problem.F[:, seen], problem.offset)
    found = points(rows)
    inside = (found.theta <= problem.upper[seen]).all(axis=1)
    logs = np.where(inside, rows.log_likelihood(found.theta), -np.inf)
    theta = np.full((len(inside), problem.n_columns), np.nan)
    theta[:, seen] = found.theta
    return theta, found.integral(logs)[1]
