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
from .compressed import Compressed, compress
from .draws import SamplingError
from .kernels import (
    OPTIONS,
    approach_modes,
    draw_on_lines,
    exp,
    fill_uniform,
    log,
    rise,
    slopes,
)

_DROP = 24.0  # logarithm of the peak density over that at the ends of the range
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_MOMENT_NODES = np.polynomial.legendre.leggauss(128)
_ORDERS = (32, 64, 128, 256)  # Chebyshev nodes, tried until the density is resolved
_TABLE = 1024  # cells of the table that draws are made from


@njit(**OPTIONS)
def collapse(counts, f, omega, offset, first, f_sum, omega_sum, upper, s, start, out):
    """Log marginal of s with its first and second derivatives, backgrounds integrated out.

    s : (lanes,); start : (n_backgrounds,) guesses of the background, overwritten
    by the conditional mode of the middle lane; out : (3, lanes), written.
    """
    lanes = len(s)
    nodes = len(_NODES)
    for i in range(lanes):
        out[0, i] = -f_sum * s[i]
        out[1, i] = -f_sum
        out[2, i] = 0.0
    mu = np.empty((len(counts), lanes))
    for r in range(len(counts)):
        for i in range(lanes):
            mu[r, i] = offset[r] + f[r] * s[i]
    if len(omega_sum) == 0:
        for r in range(len(counts)):
            for i in range(lanes):
                ratio = f[r] / mu[r, i]
                out[0, i] += counts[r] * log(mu[r, i])
                out[1, i] += counts[r] * ratio
                out[2, i] -= counts[r] * ratio * ratio
        return
    work = np.empty((7, lanes))
    lo, hi, peak, slope, curvature, right, gain = (
        work[0], work[1], work[2], work[3], work[4], work[5], work[6],
    )  # fmt: skip
    b = np.empty(nodes)
    height = np.empty(nodes)
    pull = np.empty(nodes)
    bend = np.empty(nodes)
    for k in range(len(omega_sum)):
        begin, end = first[k], first[k + 1]
        # Without counts, or without background, this obsid says the same about every s.
        if begin == end:
            continue
        for i in range(lanes):
            lo[i] = 0.0
            hi[i] = upper[k]
            peak[i] = start[k]
        approach_modes(
            counts, mu, omega, begin, end, omega_sum[k], lo, hi, peak, slope, curvature, right, gain
        )
        start[k] = peak[lanes // 2]
        # The range: a parabola bounds the fall to the left since ψ''' > 0; to the right Newton
        # steps, which end beyond the point where the drop is reached.
        for i in range(lanes):
            root = np.sqrt(slope[i] * slope[i] + 2.0 * _DROP * curvature[i])
            lo[i] = max(0.0, peak[i] - 2.0 * _DROP / max(slope[i] + root, 1e-300))
            hi[i] = min(upper[k], peak[i] + 2.0 * _DROP / max(root - slope[i], 1e-300))
        for _ in range(2):
            rise(counts, mu, omega, begin, end, omega_sum[k], peak, hi, gain)
            slopes(counts, mu, omega, begin, end, omega_sum[k], hi, right)
            for i in range(lanes):
                if right[i] < 0.0:
                    hi[i] = min(upper[k], hi[i] - (gain[i] + _DROP) / right[i])
        for i in range(lanes):
            half = 0.5 * (hi[i] - lo[i])
            base = -omega_sum[k] * peak[i]
            for j in range(nodes):
                b[j] = lo[i] + half * (1.0 + _NODES[j])
                height[j] = -omega_sum[k] * (b[j] - peak[i])
                pull[j] = 0.0
                bend[j] = 0.0
            for r in range(begin, end):
                at_peak = mu[r, i] + omega[r] * peak[i]
                base += counts[r] * log(at_peak)
                for j in range(nodes):
                    x = 1.0 / (mu[r, i] + omega[r] * b[j])
                    height[j] -= counts[r] * log(at_peak * x)
                    pull[j] += counts[r] * f[r] * x
                    bend[j] += counts[r] * (f[r] * x) * (f[r] * x)
            total = 0.0
            first_moment = 0.0
            second_moment = 0.0
            for j in range(nodes):
                weight = _WEIGHTS[j] * exp(min(height[j], 0.5))
                total += weight
                first_moment += weight * pull[j]
                second_moment += weight * (pull[j] * pull[j] - bend[j])
            mean = first_moment / total
            out[0, i] += base + log(total * half)
            out[1, i] += mean
            out[2, i] += second_moment / total - mean * mean


@njit(**OPTIONS)
def bracket(counts, f, omega, offset, first, f_sum, omega_sum, upper, s, start):
    """(lo, hi, log density at the peak) of the marginal of s, searched from s.

    lo and hi are bounds of the prior or points where the density has fallen by e⁻²⁴ or more.
    """
    at = np.empty(1)
    out = np.empty((3, 1))
    bound = upper[0]
    args = (counts, f, omega, offset, first, f_sum, omega_sum, upper[1:])
    at[0] = s
    below, above = 0.0, bound
    for _ in range(100):
        collapse(*args, at, start, out)
        g, h = out[1, 0], max(-out[2, 0], 1e-300)
        edge = at[0] if g < 0.0 else bound - at[0]
        if g * g <= 0.01 * h or abs(g) * edge <= 0.01:
            break
        if g > 0.0:
            below = at[0]
            at[0] += min(g / h, (0.9 if above == bound else 0.5) * (above - at[0]))
        else:
            above = at[0]
            at[0] -= min(-g / h, (0.9 if below == 0.0 else 0.5) * (at[0] - below))
    peak, top = at[0], out[0, 0]
    root = np.sqrt(g * g + 2.0 * _DROP * h)
    ends = np.empty(2)
    for side in range(2):
        sign = 2.0 * side - 1.0
        room = bound - peak if side == 1 else peak
        x = min(2.0 * _DROP / max(root - sign * g, 1e-300), room)
        for _ in range(30):
            if x >= room:
                x = room
                # the density at a bound of the prior may be zero, so look just inside
                at[0] = peak + sign * room * (1.0 - 1e-9)
            else:
                at[0] = peak + sign * x
            collapse(*args, at, start, out)
            fall = top - out[0, 0]
            if (x >= room and fall <= _DROP) or (_DROP <= fall <= 1.3 * _DROP):
                break
            slope = sign * out[1, 0]
            if not slope < 0.0:
                x = min(2.0 * x, room)
                continue
            # From inside, a tangent leads beyond the drop; from beyond, closer to it.
            x = min(max(x + (_DROP * 1.1 - fall) / -slope, 0.3 * x), room)
        ends[side] = peak + sign * x
    return ends[0], ends[1], top


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
