"""Hardness ratios H = (x − y)/(x + y) of two bands, from the densities of their photon fluxes.

The bands of a source are measured independently, so with F = x + y

    p(H) = ∫₀^∞ p_x((1+H)F/2) p_y((1−H)F/2) F/2 dF,

a quadrature without noise (CSC, "Spectral Properties").  It is done in w = (a − b)/(a + b) with
a = x/x̄ and b = y/ȳ, which has no corner where one band is much brighter than the other: H is a
fraction of first order in w.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from ..files.results import Results
from .columns import HARDNESS, HARDNESS_FIELDS, CatalogColumn, hardness_column
from .kept import catalog_densities, kept_by_band, smoothing_of
from .rows import RowsOf
from .tables import is_density, moments_of, value_at

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
POINTS = 97
_COARSE = 25
_NOTHING = 1e-11  # of the highest density, what is left out at both ends
_ROWS = 10_000  # whose densities are in memory at a time


def hardness_columns(
    results: Results, level: str, average: bool, rows_of: RowsOf
) -> Iterator[tuple[CatalogColumn, np.ndarray]]:
    """The columns of every hardness ratio that a product has, (len(rows_of),) each, NaN for NULL.

    rows_of : the row of each source, by name; the other parameters as for `catalog_table`

    From the densities in the source aperture that `catalog_densities` gives.
    """
    smoothing = smoothing_of(results)
    kept = kept_by_band(results, level, average, rows_of)
    for pair, (harder, softer) in HARDNESS.items():
        if harder not in kept or softer not in kept:
            continue
        found = np.full((len(rows_of), len(HARDNESS_FIELDS)), np.nan)
        both = np.flatnonzero((kept[harder]["place"] >= 0) & (kept[softer]["place"] >= 0))
        both = both[np.argsort(kept[harder]["place"][both])]
        for part in np.split(both, range(_ROWS, len(both), _ROWS)):
            densities = []
            for mine in (kept[band][part] for band in (harder, softer)):
                tables = results.at("mpdf", mine["place"])
                densities += catalog_densities(tables, mine["limit"], smoothing)
            found[part] = hardness_ratios(*densities, smoothing.level)
        for field, values in zip(HARDNESS_FIELDS, found.T, strict=True):
            yield hardness_column(pair, field, average), values


@njit(**OPTIONS)
def hardness_ratios(x_low, x_high, x_density, y_low, y_high, y_density, level):
    """Mode and bounds of n hardness ratios; (n, 3) of mode, lolim, hilim.

    x_low, x_high : (n,) ends, and x_density : (n, points) the density at equidistant points, of
    the photon flux in the harder band; y_… those of the softer one
    level : probability that the bounds enclose

    The mode is that of p(H), and the bounds are those that, growing symmetrically about it,
    enclose `level`; one that reaches −1 or 1 stays there.  NaN where there is no density.
    """
    out = np.full((len(x_low), 3), np.nan)
    density = np.empty(POINTS)
    for i in range(len(out)):
        x, y = x_density[i], y_density[i]
        if is_density(x_low[i], x_high[i], x) and is_density(y_low[i], y_high[i], y):
            x_mean = moments_of(x_low[i], x_high[i], x)[1]
            y_mean = moments_of(y_low[i], y_high[i], y)[1]
            ends = x_low[i] / x_mean, x_high[i] / x_mean
            w0, w1 = density_of_w(*ends, x, y_low[i] / y_mean, y_high[i] / y_mean, y, density)
            out[i] = _summarised(w0, w1, density, x_mean, y_mean, level)
    return out


@njit(**OPTIONS)
def density_of_w(a0, a1, x, b0, b1, y, out):
    """Fill out with the density of w at equidistant points, not normalised; (first, last) w.

    x : density of a at equidistant points from a0 to a1; y : of b from b0 to b1
    """
    w0, w1 = (a0 - b1) / (a0 + b1), (a1 - b0) / (a1 + b0)
    peak = 0.0
    coarse = np.empty(_COARSE)
    for i in range(_COARSE):
        coarse[i] = _at(w0 + (w1 - w0) * i / (_COARSE - 1), a0, a1, x, b0, b1, y)
        peak = max(peak, coarse[i])
    left, right = 0, _COARSE - 1
    while left < right and coarse[left + 1] < _NOTHING * peak:
        left += 1
    while right > left and coarse[right - 1] < _NOTHING * peak:
        right -= 1
    step = (w1 - w0) / (_COARSE - 1)
    w0, w1 = w0 + step * left, w0 + step * right
    for i in range(len(out)):
        out[i] = _at(w0 + (w1 - w0) * i / (len(out) - 1), a0, a1, x, b0, b1, y)
    return w0, w1


@njit(**OPTIONS)
def _at(w, a0, a1, x, b0, b1, y):
    """The density of w, ∫ p_a((1+w)s) p_b((1−w)s) 2s ds."""
    p, q = 1.0 + w, 1.0 - w
    left = max(a0 / p if a0 > 0.0 else 0.0, b0 / q if b0 > 0.0 else 0.0)
    right = min(a1 / p if p > 0.0 else np.inf, b1 / q if q > 0.0 else np.inf)
    if not left < right:
        return 0.0
    half, total = 0.5 * (right - left), 0.0
    for k in range(len(_NODES)):
        s = left + half * (1.0 + _NODES[k])
        # rounding must not put the first and last points outside
        a, b = min(max(p * s, a0), a1), min(max(q * s, b0), b1)
        total += _WEIGHTS[k] * value_at(a0, a1, x, a) * value_at(b0, b1, y, b) * s
    return 2.0 * half * total


@njit(**OPTIONS)
def hardness_at(w, x_mean, y_mean):
    """H of w."""
    x, y = x_mean * (1.0 + w), y_mean * (1.0 - w)
    return (x - y) / (x + y)


@njit(**OPTIONS)
def per_hardness(w, x_mean, y_mean):
    """dw/dH: a density of w times this is one of H."""
    total = x_mean * (1.0 + w) + y_mean * (1.0 - w)
    return total * total / (4.0 * x_mean * y_mean)


@njit(**OPTIONS)
def _w_of(hardness, x_mean, y_mean):
    x, y = y_mean * (1.0 + hardness), x_mean * (1.0 - hardness)
    return (x - y) / (x + y)


@njit(**OPTIONS)
def _summarised(w0, w1, density, x_mean, y_mean, level):
    """(mode, lolim, hilim) of H, from the density of w."""
    n = len(density)
    step = (w1 - w0) / (n - 1)
    total = np.empty(n)  # integral of the density up to each point
    total[0] = 0.0
    for i in range(n - 1):
        k = min(max(i - 1, 0), n - 4)
        f0, f1, f2, f3 = density[k], density[k + 1], density[k + 2], density[k + 3]
        if i == k:
            part = 9.0 * f0 + 19.0 * f1 - 5.0 * f2 + f3
        elif i == k + 1:
            part = -f0 + 13.0 * f1 + 13.0 * f2 - f3
        else:
            part = f0 - 5.0 * f1 + 19.0 * f2 + 9.0 * f3
        total[i + 1] = total[i] + part * step / 24.0
    mode = hardness_at(_mode_w(w0, w1, density, x_mean, y_mean), x_mean, y_mean)
    narrow, wide = 0.0, 2.0
    for _ in range(60):
        width = 0.5 * (narrow + wide)
        high = _w_of(min(mode + width, 1.0), x_mean, y_mean)
        low = _w_of(max(mode - width, -1.0), x_mean, y_mean)
        inside = _up_to(w0, step, total, density, high) - _up_to(w0, step, total, density, low)
        if inside < level * total[-1]:
            narrow = width
        else:
            wide = width
    return mode, max(mode - wide, -1.0), min(mode + wide, 1.0)


@njit(**OPTIONS)
def _mode_w(w0, w1, density, x_mean, y_mean):
    """w at the mode of H: where the quartic through the five highest points peaks."""
    n = len(density)
    step = (w1 - w0) / (n - 1)
    f = np.empty(n)
    best = 0
    for i in range(n):
        f[i] = density[i] * per_hardness(w0 + step * i, x_mean, y_mean)
        if f[i] > f[best]:
            best = i
    if best == 0 or best == n - 1:
        return w0 + step * best
    c = min(max(best, 2), n - 3)
    a, b, d, e = f[c - 2], f[c - 1], f[c + 1], f[c + 2]
    # derivatives at the middle point
    d1 = (a - 8.0 * b + 8.0 * d - e) / 12.0
    d2 = (-a + 16.0 * b - 30.0 * f[c] + 16.0 * d - e) / 12.0
    d3 = (-a + 2.0 * b - 2.0 * d + e) / 2.0
    d4 = a - 4.0 * b + 6.0 * f[c] - 4.0 * d + e
    u = float(best - c)
    for _ in range(8):
        slope = d1 + u * (d2 + u * (d3 / 2.0 + u * d4 / 6.0))
        curvature = d2 + u * (d3 + u * d4 / 2.0)
        if curvature >= 0.0:
            break
        u = min(max(u - slope / curvature, best - c - 1.0), best - c + 1.0)
    return w0 + step * (c + u)


@njit(**OPTIONS)
def _up_to(w0, step, total, density, w):
    """The integral of the density up to w, by the cubic with its values and slopes."""
    place = (w - w0) / step
    if place <= 0.0:
        return 0.0
    if place >= len(density) - 1:
        return total[-1]
    i = int(place)
    u = place - i
    rise = total[i + 1] - total[i]
    left, right = density[i] * step, density[i + 1] * step
    return total[i] + u * (
        left + u * (3.0 * rise - 2.0 * left - right + u * (left + right - 2.0 * rise))
    )
