"""The likelihood of several sources with every background integrated out.

Given the sources s an obsid's background b touches only its own rows, so that

    ∫₀^U db e^{−bΩ} Π_r (m_r(s) + Ω_r b)^{C_r},    m_r(s) = Σ_j f_rj s_j + o_r,

is one integral an obsid, done by one of two rules:

- Fixed nodes.  At a point s* in the middle of the posterior the integrand is a weight W(b);
  elsewhere it is W(b) times a ratio, smooth where the background hardly follows the
  sources.  The Gauss rule that belongs to W, exact for polynomials of degree 2n − 1,
  integrates the ratio with few nodes, which do not depend on s.
- Moving nodes.  Where the background follows the sources by more than its own width, Gauss–Legendre
  nodes over the range in which the integrand at that very s lives.

Either is compared with finer moving nodes, along the line on which the background follows the
sources most: fixed nodes that fail there are replaced, and what is left counts as noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .collapse import reach_down
from .gauss_rule import gauss_rule, log_density
from .kernels import TINY, exp, log

_MOST_NODES = 16  # of a fixed rule; moving nodes cost no more
_MORE_NODES = 0, 2, 5  # than the number so decided, tried one after the other
_RATIO = 3e-5  # relative error that decides their number
_NEAR = 4.0  # standard deviations of b from the root of a factor, within which W leaves it out
_REACH = 5.7  # standard deviations of the sources where a Gaussian density has ended
_COARSE, _COARSE_WEIGHTS = np.polynomial.legendre.leggauss(16)
_FINE, _FINE_WEIGHTS = np.polynomial.legendre.leggauss(32)
_DROPS = 16.0, 26.0  # logarithm of the peak over the value at the ends, of coarse and fine nodes
SCRATCH = 8
# Standard deviations of the sources at which rules are compared; farther out if a bound is near.
_STEPS = np.array([0.0, -5.5, -3.0, -1.2, 1.2, 3.0, 5.5, 4.0])
_NEAR_BOUND, _FAR = 3.0, 11.0
# A log density that is off by ε (1 + |τ|)² at τ standard deviations moves bounds by 4 ε half-widths
_TOLERATED, _TO_HALF_WIDTHS = 1e-4, 4.0


class Rule(NamedTuple):
    """How the backgrounds of a problem are integrated out.

    begins : (n_obsids + 1,) first fixed node of each obsid; nodes, logs : of all of them, with the
        logarithms of their weights
    moves : (n_obsids,) whether an obsid has moving nodes instead
    theta, pull : the point about which backgrounds follow sources, and by how much; see `Centre`
    error : what all rules together may move mode and bounds by, in half-widths
    """

    begins: np.ndarray
    nodes: np.ndarray
    logs: np.ndarray
    moves: np.ndarray
    theta: np.ndarray
    pull: np.ndarray
    error: float


@njit(**OPTIONS)
def _count_nodes(shift):
    """How many nodes a rule needs whose weight moves by `shift` of its standard deviations.

    The n-point Gauss–Hermite rule integrates e^{δx}, whose integral is e^{δ²/2}, with an error
    of δ^{2n} n!/(2n)!, which is asked to be small where the density of the sources ends.
    """
    reach = _REACH * shift
    error, n = 0.5 * reach * reach * np.exp(-0.5 * reach * reach), 1
    while (error > _RATIO or n < 2) and n <= _MOST_NODES:
        n += 1
        error *= reach * reach / (2.0 * (2.0 * n - 1.0))
    return n


@njit(**OPTIONS)
def _fill_fixed(p, k, theta, shift, more, nodes, logs):
    """Fill the fixed rule of obsid k about theta; its number of nodes, 0 if it needs too many.

    more : nodes than the shift asks for

    The log weights contain the likelihood at theta, so that of the collapsed likelihood they are
    the constant.
    """
    counts, f, omega, upper, total = p.counts, p.f, p.omega, p.upper, p.omega_sum[k]
    sources = len(p.f_sum)
    begin, end = p.first[k], p.first[k + 1]
    mu = np.empty(len(counts))
    powers = np.empty(len(counts))
    for r in range(begin, end):
        mu[r] = p.offset[r]
        for j in range(sources):
            mu[r] += f[r, j] * theta[j]
    b = min(theta[sources + k], 0.999 * upper[sources + k])
    bend = 1.0 / (b * b)
    for r in range(begin, end):
        bend += counts[r] * (omega[r] / (mu[r] + omega[r] * b)) ** 2
    degree = 0.0
    for r in range(begin, end):
        near = mu[r] + omega[r] * b < _NEAR * omega[r] / np.sqrt(bend)
        degree += counts[r] if near else 0.0
        powers[r] = 0.0 if near else counts[r]
    n = _count_nodes(shift) + more + int(np.ceil(0.5 * min(degree, 2.0 * _MOST_NODES)))
    if n > _MOST_NODES:
        return 0
    x, w = nodes[:n], logs[:n]
    gauss_rule(powers, omega, mu, begin, end, total, upper[sources + k], b, x, w)
    best = 0
    for q in range(n):
        if w[q] > w[best]:
            best = q
    x[0], x[best] = x[best], x[0]
    w[0], w[best] = w[best], w[0]
    for q in range(n):
        height, _, _ = log_density(powers, omega, mu, begin, end, total, x[q])
        w[q] = np.log(max(w[q], TINY)) - height - total * x[q]
    return n


@njit(**OPTIONS)
def _expected(p, begin, end, s, mu):
    """mu (end − begin, lanes), written: what rows expect of the sources s (n_sources, lanes)."""
    for r in range(begin, end):
        for i in range(s.shape[1]):
            mu[r - begin, i] = p.offset[r]
        for j in range(len(s)):
            for i in range(s.shape[1]):
                mu[r - begin, i] += p.f[r, j] * s[j, i]


@njit(**OPTIONS)
def _by_fixed(p, begin, end, nodes, logs, mu, h, out):
    """Add to out (lanes,) the log integral over a background by fixed nodes."""
    counts, omega, lanes = p.counts, p.omega, len(out)
    for q in range(len(nodes)):
        for i in range(lanes):
            h[1, i] = logs[q]
        for r in range(begin, end):
            c, add = counts[r], omega[r] * nodes[q]
            for i in range(lanes):
                h[1, i] += c * log(mu[r - begin, i] + add)
        if q == 0:
            for i in range(lanes):
                out[i] += h[1, i]
                h[0, i] = h[1, i]
                h[2, i] = 1.0
        else:
            for i in range(lanes):
                h[2, i] += exp(min(h[1, i] - h[0, i], 600.0))
    if len(nodes) > 1:
        for i in range(lanes):
            out[i] += log(h[2, i])


@njit(**OPTIONS)
def _by_moving(p, k, rule_theta, pull, x, w, drop, s, mu, h, out):
    """Add to out (lanes,) the log integral over background k by nodes x, w that follow s."""
    begin, end = p.first[k], p.first[k + 1]
    counts, omega, total = p.counts[begin:end], p.omega[begin:end], p.omega_sum[k]
    sources, lanes = s.shape
    bound, b = p.upper[sources + k], rule_theta[sources + k]
    peak, lo, hi = h[0], h[1], h[2]
    for i in range(lanes):
        peak[i] = b
    for j in range(sources):
        for i in range(lanes):
            peak[i] += pull[j, k] * (s[j, i] - rule_theta[j])
    for i in range(lanes):
        peak[i] = min(max(peak[i], 0.01 * b), 0.99 * bound + 0.01 * b)
    reach_down(
        counts, mu, omega, 0, end - begin, total, bound, drop, peak, lo, hi, h[3], h[4], h[5], h[6]
    )
    height = np.empty(len(x))
    for i in range(lanes):
        half = 0.5 * (hi[i] - lo[i])
        base = -total * peak[i]
        for q in range(len(x)):
            height[q] = -total * (lo[i] + half * (1.0 + x[q]) - peak[i])
        for r in range(end - begin):
            at_peak = mu[r, i] + omega[r] * peak[i]
            base += counts[r] * log(at_peak)
            scale = 1.0 / at_peak
            for q in range(len(x)):
                b = lo[i] + half * (1.0 + x[q])
                height[q] += counts[r] * log((mu[r, i] + omega[r] * b) * scale)
        mass = 0.0
        for q in range(len(x)):
            mass += w[q] * exp(min(height[q], 600.0))
        out[i] += base + log(mass * half)


@njit(**OPTIONS)
def _disagreement(steps, one, other):
    """The largest difference of two log densities over (1 + |τ|)² at the steps τ, the first 0."""
    worst = 0.0
    for i in range(len(steps)):
        off = abs((one[i] - other[i]) - (one[0] - other[0])) / (1.0 + abs(steps[i])) ** 2
        worst = off if not off <= worst else worst
    return worst


@njit(**OPTIONS)
def rules(p, c):
    """The `Rule` of a problem about its `Centre`.

    Frozen backgrounds make one block with one node at zero.
    """
    sources, blocks = len(p.f_sum), len(p.omega_sum)
    if blocks == 0:
        begins, moves = np.array([0, 1]), np.zeros(1, dtype=np.bool_)
        return Rule(begins, np.zeros(1), np.zeros(1), moves, c.theta, c.pull, 0.0)
    begins = np.zeros(blocks + 1, dtype=np.int64)
    moves = np.zeros(blocks, dtype=np.bool_)
    nodes = np.empty(blocks * _MOST_NODES)
    logs = np.empty(blocks * _MOST_NODES)
    steps = _STEPS.copy()
    for j in range(sources):
        if min(c.theta[j], p.upper[j] - c.theta[j]) < _NEAR_BOUND * c.spread[j]:
            steps[-1] = _FAR
    lanes = len(steps)
    s = np.empty((sources, lanes))
    mu = np.empty((len(p.counts), lanes))
    h = np.empty((SCRATCH, lanes))
    found, reference = np.empty(lanes), np.empty(lanes)
    error = 0.0
    for k in range(blocks):
        at, begin, end = begins[k], p.first[k], p.first[k + 1]
        begins[k + 1] = at
        if end == begin:
            continue
        if p.omega_sum[k] <= 0.0:
            nodes[at] = logs[at] = 0.0
            begins[k + 1] = at + 1
            continue
        for j in range(sources):
            for i in range(lanes):
                t = c.theta[j] + steps[i] * c.way[j, k]
                s[j, i] = min(max(t, 1e-3 * c.theta[j]), p.upper[j])
        _expected(p, begin, end, s, mu)
        args = p, k, c.theta, c.pull
        reference[:] = 0.0
        _by_moving(*args, _FINE, _FINE_WEIGHTS, _DROPS[1], s, mu, h, reference)
        n, off = 0, np.inf
        for more in _MORE_NODES:
            n = _fill_fixed(p, k, c.theta, c.shift[k], more, nodes[at:], logs[at:])
            found[:] = 0.0
            _by_fixed(p, begin, end, nodes[at : at + n], logs[at : at + n], mu, h, found)
            off = _disagreement(steps, found, reference) if n else np.inf
            if n == 0 or off <= _TOLERATED:
                break
        if not off <= _TOLERATED:
            moves[k] = True
            n = 0
            found[:] = 0.0
            _by_moving(*args, _COARSE, _COARSE_WEIGHTS, _DROPS[0], s, mu, h, found)
            off = _disagreement(steps, found, reference)
        error += _TO_HALF_WIDTHS * off
        begins[k + 1] = at + n
    end = begins[blocks]
    return Rule(begins, nodes[:end].copy(), logs[:end].copy(), moves, c.theta, c.pull, error)


@njit(**OPTIONS)
def log_likelihood(p, rule, s, mu, h, out):
    """Collapsed log-likelihood of s (n_sources, lanes) in out (lanes,), up to a constant.

    rule : of p, from `rules`
    mu, h : scratch (most rows of an obsid, lanes) and (SCRATCH, lanes)
    """
    sources, lanes = s.shape
    for i in range(lanes):
        out[i] = 0.0
    for j in range(sources):
        for i in range(lanes):
            out[i] -= p.f_sum[j] * s[j, i]
    for k in range(len(rule.moves)):
        begin = p.first[k]
        end = p.first[k + 1] if len(p.first) > 1 else len(p.counts)
        _expected(p, begin, end, s, mu)
        if rule.moves[k]:
            args = p, k, rule.theta, rule.pull, _COARSE, _COARSE_WEIGHTS, _DROPS[0]
            _by_moving(*args, s, mu, h, out)
        elif rule.begins[k + 1] > rule.begins[k]:
            a, b = rule.begins[k], rule.begins[k + 1]
            _by_fixed(p, begin, end, rule.nodes[a:b], rule.logs[a:b], mu, h, out)
