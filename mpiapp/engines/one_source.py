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

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev

from ..catalog.problem import Problem
from ..compiled import OPTIONS
from ..posterior.draws import SamplingError
from ..posterior.marginals import Marginal
from ..posterior.series import interpolate, nodes
from .collapse import bracket, collapse
from .compressed import Compressed, compress
from .kernels import draw_on_lines, fill_uniform

_SOURCE_NODES = np.polynomial.legendre.leggauss(256)
# Chebyshev nodes, tried until the density is resolved
ORDERS = np.array([32, 48, 64, 96, 128, 192, 256, 512, 1024])
NODES = np.concatenate([nodes(order) for order in ORDERS])
NOT_RESOLVED = f"the exact marginal is not resolved by {ORDERS[-1]} nodes"
_RESOLVED = 1e-6  # of the largest value, what the last coefficients may be
# Of a density that begins as a fraction of a power of s (Gamma priors) these fall slowly; those of
# its integral, from which mode and bounds follow, by one order faster.
_BY_INTEGRAL = 512
_TABLE = 1024  # cells of the table that draws are made from


@cache
def _to_table(order):
    """Matrix from Chebyshev coefficients to values on the table's grid."""
    return chebyshev.chebvander(np.linspace(-1.0, 1.0, _TABLE + 1), order - 1)


class Table(NamedTuple):
    """The marginal of s as draws need it.

    lo, hi : range; table : (_TABLE + 1,) values on a uniform grid; backgrounds : (n_backgrounds,)
    where the conditional densities peak in the middle of the range.
    """

    lo: float
    hi: float
    table: np.ndarray
    backgrounds: np.ndarray


def marginal(problem: Problem) -> Marginal:
    """The exact posterior of the source of `problem`; backgrounds fitted or frozen.

    Raises ValueError for more than one source, SamplingError where the
    quadrature does not converge.
    """
    if problem.n_sources != 1:
        raise ValueError(f"exact marginals need one source, not {problem.n_sources}")
    series = density_series(compress(problem))
    return Marginal(series.lo, series.hi, float(problem.upper[0]), series.coefficients)


def background_marginal(problem: Problem, column: int) -> Marginal:
    """The exact posterior of the background in `column` of a problem with one source.

    p(b_k) ∝ ∫ ds L_k(s, b_k) Π_{j≠k} ∫ db_j L_j(s, b_j), the source by Gauss–Legendre
    quadrature over the range of its marginal.
    """
    p, k = compress(problem), column - 1
    lo, hi, *_ = density_series(p)
    x, w = _SOURCE_NODES
    s = lo + 0.5 * (hi - lo) * (1.0 + x)
    rows = slice(p.first[k], p.first[k + 1])
    start = np.full(len(p.omega_sum), 0.5) * p.upper[1:]
    start = np.minimum(start, (p.counts.sum() + 1.0) / np.maximum(p.omega_sum, 1e-300))
    others = np.empty((3, len(s)))
    powers = np.empty((2, len(p.omega_sum), len(s)))
    gone = rows.stop - rows.start
    first = np.where(np.arange(len(p.first)) > k, p.first - gone, p.first)
    of_rows = ("rows", "counts", "f", "omega", "offset")
    rest = {name: np.delete(getattr(p, name), rows, axis=0) for name in of_rows}
    collapse(p._replace(first=first, **rest), s, start, others, powers)
    f, omega, counts = p.f[rows, 0], p.omega[rows], p.counts[rows]
    total = p.omega_sum[k]

    def density(b):
        mu = f[:, None, None] * s[:, None] + omega[:, None, None] * b
        joint = others[0][:, None] - total * b + np.tensordot(counts, np.log(mu), 1)
        return joint.max(), np.exp(joint - joint.max()).T @ w

    a, b = 0.0, p.upper[column]
    for _ in range(8):
        grid = np.linspace(a, b, 65)[1:]
        values = density(grid)[1]
        seen = np.flatnonzero(values > 1e-11 * values.max())
        step = grid[1] - grid[0]
        narrower = max(a, grid[seen[0]] - step), min(b, grid[seen[-1]] + step)
        if narrower[1] - narrower[0] > 0.7 * (b - a):
            break
        a, b = narrower
    at = nodes(96)
    values = density(a + 0.5 * (b - a) * (1.0 + at))[1]
    coefficients = np.empty(len(at))
    interpolate(at, values, coefficients)
    return Marginal(a, b, float(p.upper[column]), coefficients)


class Series(NamedTuple):
    """Density of s, not normalised, as a Chebyshev series.

    lo, hi : range; coefficients : (order,); backgrounds : (n_backgrounds,) where the
    conditional densities peak in the middle of the range; mean, std : (n_backgrounds,) of the
    posterior of each background.
    """

    lo: float
    hi: float
    coefficients: np.ndarray
    backgrounds: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def density_series(p: Compressed) -> Series:
    """The marginal of the only source of p; SamplingError where it is not resolved."""
    series = Series(*find_series(p, ORDERS, NODES))
    if len(series.coefficients) == 0:
        raise SamplingError(NOT_RESOLVED)
    return series


@njit(**OPTIONS)
def find_series(p, orders, all_nodes):
    """The fields of a Series; no coefficients where the density is not resolved."""
    counts, f, first, omega_sum = p.counts, p.f, p.first, p.omega_sum
    bound, f_sum = p.upper[0], p.f_sum[0]
    start = np.empty(len(omega_sum))
    for k in range(len(omega_sum)):
        total = 1.0
        for r in range(first[k], first[k + 1]):
            total += counts[r]
        start[k] = 0.5 * p.upper[1 + k]
        if omega_sum[k] > 0.0:
            start[k] = min(start[k], total / omega_sum[k])
    n = len(omega_sum)
    none = np.empty(0)
    if f_sum <= 0.0:
        # nothing is known of the source; of the backgrounds no more than this is asked
        unknown = np.full(n, np.inf)
        return 0.0, bound, np.array([1.0 / bound]), start, unknown, unknown
    seen = 1.0
    for r in range(len(counts)):
        seen += counts[r] if f[r, 0] > 0.0 else 0.0
    guess = min(seen / f_sum, 0.5 * bound)
    lo, hi, top = bracket(p, guess, start)
    begin = 0
    for order in orders:
        x = all_nodes[begin : begin + order].copy()
        s = lo + 0.5 * (hi - lo) * (1.0 + x)
        out = np.empty((3, order))
        powers = np.empty((2, n, order))
        collapse(p, s, start, out, powers)
        values = np.exp(out[0] - top)
        coefficients = np.empty(order)
        interpolate(x, values, coefficients)
        allowed = _RESOLVED * (order if order >= _BY_INTEGRAL else 1)
        if np.abs(coefficients[-4:]).max() < allowed * values.max():
            # Gauss-Chebyshev quadrature
            weights = values * np.sqrt(1.0 - x * x)
            weights /= weights.sum()
            mean = np.empty(n)
            std = np.empty(n)
            for k in range(n):
                mean[k] = (weights * powers[0, k]).sum()
                std[k] = np.sqrt(max((weights * powers[1, k]).sum() - mean[k] * mean[k], 0.0))
            return lo, hi, coefficients, start, mean, std
        begin += order
    return lo, hi, none, start, none, none


def tabulate(p: Compressed) -> Table:
    """The marginal of the only source of p for draws; SamplingError where it is not resolved."""
    series = density_series(p)
    table = _to_table(len(series.coefficients)) @ series.coefficients
    return Table(series.lo, series.hi, np.maximum(table, 0.0), series.backgrounds)


@njit(**OPTIONS)
def draw(p, marginal, state, work, values):
    """Fill values (n, 1 + n_backgrounds), n a multiple of the lanes, from the `Table` of p.

    Returns the number of background draws that failed.
    """
    counts, f, omega, offset, first = p.counts, p.f, p.omega, p.offset, p.first
    omega_sum, upper = p.omega_sum, p.upper
    lo, hi, table, start = marginal
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
                mu[r, i] = offset[r] + f[r, 0] * values[begin + i, 0]
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
