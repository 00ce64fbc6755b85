"""Integrals over the joint posterior of a problem: points that stand for it, with weights.

The points are those of the unit cube (`cubature`), as a product of distributions along lines in
y = log(exp(θ/σ) − 1), the logarithm of an intensity far below its spread σ and the intensity itself
far above.  There the posterior of C ~ Poisson(F·θ + o) under flat priors is nearly a Gaussian, with
tails that fall exponentially: logistic distributions are near it, and of many parameters, where
small differences add up, its own densities along the lines are taken.  What the product lacks in
shape is in the weights, and tells a better one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem
from ..posterior.draws import SamplingError
from .cubature import LEVELS, MOST_SMOOTHED, cubature

_SHIFTS = np.random.SeedSequence(20100719)  # the same lattices for every problem
_WIDTH = 0.6  # of a logistic distribution, in standard deviations of y; its own spread has 0.55
_ALONG = np.linspace(-16.0, 16.0, 321)  # where densities along a line are tabulated, in these
_SHARE = 0.2  # of the logistic distribution in such a table: neighbours may widen the others' tails
_SOFT = 0.7  # of the spread of an intensity, below which y is a logarithm
_ENOUGH = 1  # effective points for each element of a covariance
_MOST = 0.05  # relative error of an integral; usual are 0.5 % and less
_FIRST_ROUNDS = 30
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

    def resolved(self, log_values: np.ndarray) -> tuple[float, np.ndarray]:
        """Logarithm of the integral and the shares; SamplingError where it may be far off."""
        log_integral, share, error = self.integral(log_values)
        if not error < _MOST:
            raise SamplingError(f"an integral over the joint posterior is good to {error:.0%} only")
        return log_integral, share


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
        found = _points(rows, mean, covariance, unit_of_y, level)
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


def _points(rows, mean, covariance, unit_of_y, level) -> Points:
    """Points of a product of distributions along lines that cross at the mean of y."""
    directions = np.linalg.cholesky(covariance)
    u, weights = cubature(len(mean), level, _SHIFTS)
    if len(mean) <= MOST_SMOOTHED:  # a rule that needs smooth densities
        u = np.clip(u, 1e-300, 1.0 - 1e-16)
        z, log_density = _WIDTH * np.log(u / (1.0 - u)), np.log(u * (1.0 - u) / _WIDTH)
    else:
        z, log_density = np.empty_like(u), np.empty_like(u)
        for i, direction in enumerate(directions.T):
            y = mean + _ALONG[:, None] * direction
            logs = rows.log_likelihood(_softplus(y) * unit_of_y) - _softplus(-y).sum(axis=1)
            density = np.exp(logs - logs.max())
            logistic = 1.0 / np.cosh(0.5 * _ALONG / _WIDTH) ** 2
            table = density / density.sum() + _SHARE * logistic / logistic.sum()
            z[:, i], log_density[:, i] = _inverted(table, u[:, i])
    y = mean + z @ directions.T
    log_volume = -_softplus(-y).sum(axis=1) - log_density.sum(axis=1)
    log_volume += np.log(unit_of_y * directions.diagonal()).sum()
    return Points(_softplus(y) * unit_of_y, log_volume, weights)


def _inverted(table: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the distribution function of a density, linear between values at _ALONG, is u.

    And the logarithm of the density there.
    """
    step = _ALONG[1] - _ALONG[0]
    below = np.append(0.0, np.cumsum(0.5 * step * (table[1:] + table[:-1])))
    table, below = table / below[-1], below / below[-1]
    cell = np.clip(np.searchsorted(below, u, side="right") - 1, 0, len(table) - 2)
    rest, left = u - below[cell], table[cell]
    height = np.sqrt(np.maximum(left**2 + 2.0 * rest * np.diff(table)[cell] / step, 0.0))
    return _ALONG[cell] + np.minimum(2.0 * rest / (left + height), step), np.log(height)


def _softplus(y: np.ndarray) -> np.ndarray:
    """log(1 + exp(y)) without overflow."""
    return np.logaddexp(0.0, y)


def _log_expm1(t: np.ndarray) -> np.ndarray:
    """log(exp(t) − 1) without overflow."""
    return t + np.log(-np.expm1(-t))


def _peak(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(n,) where likelihood × Πθ peaks, and the (n, n) covariance that its curvature tells.

    −log of it is self-concordant: damped Newton steps lead there from anywhere, but slowly from far
    away, whence expectation-maximisation comes first.
    """
    counts, F, offset = rows
    total = F.sum(axis=0)
    theta = (1.0 + counts.sum() / F.shape[1]) / total

    def ratio_to(mu):
        return np.divide(counts, mu, out=np.zeros_like(mu), where=counts > 0)

    for _ in range(_FIRST_ROUNDS):
        theta = (1.0 + theta * (ratio_to(F @ theta + offset) @ F)) / total
    for _ in range(_ROUNDS):
        mu = F @ theta + offset
        ratio = ratio_to(mu)
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

    NaN in columns that no aperture sees.  Raises SamplingError where the posterior is not found
    or its integral not resolved.
    """
    seen = problem.F.any(axis=0)
    rows = Rows(problem.counts, problem.F[:, seen], problem.offset)
    found = points(rows)
    inside = (found.theta <= problem.upper[seen]).all(axis=1)
    logs = np.where(inside, rows.log_likelihood(found.theta), -np.inf)
    theta = np.full((len(inside), problem.n_columns), np.nan)
    theta[:, seen] = found.theta
    return theta, found.resolved(logs)[1]
