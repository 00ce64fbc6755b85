"""Points of the unit cube as values of the other sources, for a marginal of several sources.

They become values one after the other, each by the inverse distribution function of a logistic
density that is cut at the prior bounds and has the slope and the curvature of the
fitted conditional density.  Its tails are those of an exponential, so that no posterior
outruns it: log-concave densities never fall more slowly, and a source without counts has
just that density.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..compiled import OPTIONS
from .kernels import exp, log

_CURVATURE = 2.4  # of the logistic at its peak would be 2; more makes the map narrower


@njit(**OPTIONS)
def fit_conditionals(precision, theta, upper, order, pulls, own, bend, side):
    """Fit the conditional density of each source given those before it in `order`.

    The quadratic at the centre, sources that come later integrated out with
    their barriers in place of the bounds, and its own barrier taken away.  Returns the
    standard deviation of the first source.
    """
    n = len(order)
    a = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a[i, j] = precision[order[i], order[j]]
    for i in range(n - 1, -1, -1):
        below, above = theta[order[i]], upper[order[i]] - theta[order[i]]
        barrier = 1.0 / (below * below) + 1.0 / (above * above)
        side[i] = 1.0 if below < above else -1.0
        bend[i] = max(a[i, i] - barrier, 1e-9 * a[i, i])
        own[i] = side[i] * (1.0 / below - 1.0 / above) - bend[i] * min(below, above)
        for p in range(i):
            pulls[i, p] = side[i] * a[i, p]
            for q in range(i):
                a[p, q] -= a[i, p] * a[i, q] / a[i, i]
    return 1.0 / np.sqrt(a[0, 0])


@njit(**OPTIONS)
def map_points(theta, upper, order, pulls, own, bend, side, u, s, weight):
    """Fill sources order[1:] of s (n, lanes) from u (n − 1, lanes), given order[0].

    weight : (lanes,) the inverse density of the map.  Distances x are from that
    bound of the prior to which the centre is closer.
    """
    lanes = s.shape[1]
    b = np.empty(lanes)
    weight[:] = 1.0
    for n in range(1, len(order)):
        j = order[n]
        b[:] = own[n]
        for p in range(n):
            before, pull = order[p], pulls[n, p]
            for i in range(lanes):
                b[i] += pull * (s[before, i] - theta[before])
        a, top = bend[n], upper[j]
        for i in range(lanes):
            # where the fitted density times x peaks: its slope there is 1/x, its curvature a
            root = np.sqrt(b[i] * b[i] + 4.0 * a)
            x0 = 2.0 / (b[i] + root) if b[i] > 0.0 else 0.5 * (root - b[i]) / a
            x0 = min(x0, top)
            rate = np.sqrt(_CURVATURE * a + 1.0 / (x0 * x0))
            tilt = 1.0 / (rate * x0)
            odds = (1.0 + tilt) / (1.0 - tilt)
            low = exp(-x0 * rate) * odds
            high = exp((x0 - top) * rate) / odds
            low = low / (1.0 + low)
            high = high / (1.0 + high)
            mass = 1.0 - low - high
            left = low + u[n - 1, i] * mass
            right = high + (1.0 - u[n - 1, i]) * mass
            x = x0 + log(left / (right * odds)) / rate
            x = min(max(x, 1e-12 * x0), top)
            weight[i] *= mass / (left * right * rate)
            s[j, i] = x if side[n] > 0.0 else top - x
