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
from numpy.polynomial import chebyshev

from ..catalog.problem import Problem
from ..posterior.draws import SamplingError
from ..posterior.marginals import Marginal
from . import _compiled
from .compressed import Compressed, compress

_SOURCE_NODES = np.polynomial.legendre.leggauss(256)
NOT_RESOLVED = f"the exact marginal is not resolved by {_compiled.MOST_NODES} nodes"
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
    gone = rows.stop - rows.start
    first = np.where(np.arange(len(p.first)) > k, p.first - gone, p.first)
    of_rows = ("rows", "counts", "f", "omega", "offset")
    rest = {name: np.delete(getattr(p, name), rows, axis=0) for name in of_rows}
    others = _compiled.log_marginal(p._replace(first=first, **rest), s, start)
    f, omega, counts = p.f[rows, 0], p.omega[rows], p.counts[rows]
    total = p.omega_sum[k]

    def density(b):
        mu = f[:, None, None] * s[:, None] + omega[:, None, None] * b
        joint = others[:, None] - total * b + np.tensordot(counts, np.log(mu), 1)
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
    series = chebyshev.chebinterpolate(lambda x: density(a + 0.5 * (b - a) * (1.0 + x))[1], 95)
    return Marginal(a, b, float(p.upper[column]), series)


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
    series = Series(*_compiled.find_series(p))
    if len(series.coefficients) == 0:
        raise SamplingError(NOT_RESOLVED)
    return series


def tabulate(p: Compressed) -> Table:
    """The marginal of the only source of p for draws; SamplingError where it is not resolved."""
    series = density_series(p)
    table = _to_table(len(series.coefficients)) @ series.coefficients
    return Table(series.lo, series.hi, np.maximum(table, 0.0), series.backgrounds)
