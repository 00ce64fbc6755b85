"""The exact posterior of one source in any number of obsids.

Given the source intensity s the backgrounds are independent, so each integrates
out by itself:

    p(s | C) ∝ e^{−s Σf} Π_k ∫₀^U db e^{−b ΣΩ_k} Π_{r∈k} (f_r s + Ω_r b + o_r)^{C_r}.

Both the integrands and p are log-concave (Prékopa), and polynomials times
exponentials: Gauss–Legendre quadrature and Chebyshev interpolation between the
points where e⁻²⁴ of the peak is left converge geometrically.  Draws of s come
from the tabulated marginal, those of b_k from their densities given s: all are
independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial import Chebyshev, chebyshev

from ..catalog.problem import Problem
from ..compiled import OPTIONS
from ..posterior.draws import SamplingError
from .collapse import bracket, collapse
from .compressed import Compressed, compress
from .kernels import draw_on_lines, fill_uniform

_MOMENT_NODES = np.polynomial.legendre.leggauss(128)
_ORDERS = (32, 64, 128, 256)  # Chebyshev nodes, tried until the density is resolved
_TABLE = 1024  # cells of the table that draws are made from


@cache
def _chebyshev(order):
    """Nodes in [−1, 1], and the matrices from values there to coefficients and to the table."""
    nodes = np.cos(np.pi * (np.arange(order) + 0.5) / order)[::-1]
    to_coefficients = (2.0 / order) * chebyshev.chebvander(nodes, order - 1).T
    to_coefficients[0] *= 0.5
    table = chebyshev.chebvander(np.linspace(-1.0, 1.0, _TABLE + 1), order - 1)
    return nodes, to_coefficients, np.ascontiguousarray(table @ to_coefficients)


class Table(NamedTuple):
    """The marginal of s as draws need it.

    lo, hi : range; coefficients : of its Chebyshev series, not normalised;
    table : (_TABLE + 1,) values on a uniform grid; backgrounds : (n_backgrounds,)
    where the conditional densities peak in the middle of the range.
    """

    lo: float
    hi: float
    coefficients: np.ndarray
    table: np.ndarray
    backgrounds: np.ndarray


@dataclass(frozen=True)
class Marginal:
    """Normalised posterior density of one source, zero outside [lo, hi].

    density : Chebyshev series on [lo, hi]
    """

    lo: float
    hi: float
    density: Chebyshev

    @cached_property
    def _integral(self) -> Chebyshev:
        return self.density.integ(lbnd=self.lo)

    def pdf(self, x):
        """Density at x."""
        x = np.asarray(x, dtype=float)
        inside = (x >= self.lo) & (x <= self.hi)
        return np.where(inside, self.density(np.clip(x, self.lo, self.hi)), 0.0)

    def cdf(self, x):
        """Probability of values below x."""
        return np.clip(self._integral(np.clip(x, self.lo, self.hi)), 0.0, 1.0)

    def quantile(self, p):
        """x with cdf(x) = p, by bisection."""
        p = np.asarray(p, dtype=float)
        a, b = np.full(p.shape, self.lo), np.full(p.shape, self.hi)
        for _ in range(55):
            middle = 0.5 * (a + b)
            below = self.cdf(middle) < p
            a, b = np.where(below, middle, a), np.where(below, b, middle)
        return 0.5 * (a + b)

    def moment(self, power: int, about: float = 0.0) -> float:
        """E[(s − about)^power]."""
        x, w = _MOMENT_NODES
        x = self.lo + 0.5 * (self.hi - self.lo) * (x + 1.0)
        return float(0.5 * (self.hi - self.lo) * np.sum(w * self.pdf(x) * (x - about) ** power))

    @property
    def mean(self) -> float:
        return self.moment(1)

    @property
    def std(self) -> float:
        return float(np.sqrt(self.moment(2, self.mean)))


def marginal(problem: Problem) -> Marginal:
    """The exact posterior of the source of `problem`; backgrounds fitted or frozen.

    Raises ValueError for more than one source, SamplingError where the
    quadrature does not converge.
    """
    if problem.n_sources != 1:
        raise ValueError(f"exact marginals need one source, not {problem.n_sources}")
    lo, hi, coefficients, _, _ = tabulate(compress(problem))
    density = Chebyshev(coefficients, [lo, hi])
    return Marginal(lo, hi, density / density.integ(lbnd=lo)(hi))


def tabulate(p: Compressed) -> Table:
    """The marginal of the only source of p; SamplingError where it is not resolved."""
    upper = p.upper[0]
    totals = np.add.reduceat(np.append(p.counts, 0.0), p.first)[:-1] * (np.diff(p.first) > 0)
    start = np.where(p.omega_sum > 0.0, (totals + 1.0) / np.maximum(p.omega_sum, 1e-300), np.inf)
    start = np.minimum(0.5 * p.upper[1:], start)
    f, f_sum = p.f[:, 0], p.f_sum[0]
    if f_sum <= 0.0:
        flat = np.full(_TABLE + 1, 1.0 / upper)
        return Table(0.0, upper, np.array([1.0 / upper]), flat, start)
    args = (p.counts, f, p.omega, p.offset, p.first, f_sum, p.omega_sum, p.upper)
    guess = min((p.counts @ (f > 0.0) + 1.0) / f_sum, 0.5 * upper)
    lo, hi, top = bracket(*args, guess, start)
    for order in _ORDERS:
        nodes, to_coefficients, to_table = _chebyshev(order)
        out = np.empty((3, order))
        s = lo + 0.5 * (hi - lo) * (1.0 + nodes)
        collapse(*args[:-1], p.upper[1:], s, start, out)
        values = np.exp(out[0] - top)
        coefficients = to_coefficients @ values
        if np.abs(coefficients[-4:]).max() < 1e-6 * values.max():
            break
    else:
        raise SamplingError(f"the exact marginal is not resolved by {order} nodes")
    return Table(lo, hi, coefficients, np.maximum(to_table @ values, 0.0), start)


@njit(**OPTIONS)
def draw(
    counts, f, omega, offset, first, omega_sum, upper, lo, hi, table, start, state, work, values
):
    """Fill values (n, 1 + n_backgrounds), n a multiple of the lanes.

    Returns the number of background draws that failed.
    """
    cells = len(table) - 1
    width = (hi - lo) / cells
    cdf = np.empty(cells + 1)
    cdf[0] = 0.0
    for i in range(cells):
        cdf[i + 1] = cdf[i] + 0.5 * (table[i] + table[i + 1])
    # guide[j]: the cell where the cdf passes j/cells of its total
    guide = np.empty(cells + 1, dtype=np.int64)
    cell = 0
    for j in range(cells + 1):
        while cell < cells - 1 and cdf[cell + 1] < cdf[cells] * (j / cells):
            cell += 1
        guide[j] = cell
    lanes = state.shape[1]
    u = np.empty(lanes)
    t = np.empty(lanes)
    zero = np.zeros(lanes)
    bound = np.empty(lanes)
    mu = np.empty((len(counts), lanes))
    failed = 0
    for begin in range(0, len(values), lanes):
        fill_uniform(state, u)
        for i in range(lanes):
            target = u[i] * cdf[cells]
            cell = guide[int(u[i] * cells)]
            while cell < cells - 1 and cdf[cell + 1] < target:
                cell += 1
            # the density is linear within a cell
            rest = target - cdf[cell]
            p0 = table[cell]
            q = np.sqrt(max(p0 * p0 + 2.0 * (table[cell + 1] - p0) * rest, 0.0))
            part = min(2.0 * rest / max(p0 + q, 1e-300), 1.0)
            values[begin + i, 0] = lo + width * (cell + part)
        for r in range(len(counts)):
            for i in range(lanes):
                mu[r, i] = offset[r] + f[r] * values[begin + i, 0]
        for k in range(len(omega_sum)):
            for i in range(lanes):
                t[i] = start[k]
                bound[i] = upper[k + 1]
            failed += draw_on_lines(
                counts, mu, omega, first[k], first[k + 1], omega_sum[k], zero, bound, t, state, work
            )
            for i in range(lanes):
                values[begin + i, 1 + k] = t[i]
    return failed
