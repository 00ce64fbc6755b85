"""Marginal densities of several sources, by quadrature instead of draws.

Backgrounds are integrated out obsid by obsid.  The marginal of source j is wanted at a few values
t of s_j, and there the other sources are integrated out: points of the unit cube become their
values.  The same points serve all t, so that most of their error cancels in the shape.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from ..posterior.draws import SamplingError
from ..posterior.marginals import Marginal
from . import _compiled
from .compressed import Compressed
from .cubature import LEVELS, cubature

NOT_FOUND = "Newton's method has not found the middle of the posterior"
NOT_FINITE = "the marginal density is not finite"


class Fit(NamedTuple):
    """A posterior without the unseen sources, and what is known of it beforehand.

    seen : (n_seen,) the sources that any aperture sees
    upper : (n_seen + n_backgrounds,) prior bounds of these and of the backgrounds
    reach : (n_columns,) 13 standard deviations beyond the centre, even where that is beyond the
        prior's bound (no density's Eq. 11 exceeds it: docs/engine-exact.md); the bound itself of
        unseen sources
    posterior : its centre and the rules of its backgrounds
    """

    seen: np.ndarray
    upper: np.ndarray
    reach: np.ndarray
    posterior: _compiled.PosteriorFit


@cache
def _levels(dimensions: int, entropy: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    seed = np.random.SeedSequence(entropy)
    return tuple([cubature(dimensions, level, seed) for level in range(LEVELS)])


def levels(
    n_sources: int, seed: np.random.SeedSequence
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Points and weights of each level of `cubature` for the marginals of so many sources."""
    return _levels(n_sources - 1, seed.entropy)


def fit(c: Compressed) -> Fit:
    """Find the centre of a posterior and the rules for its backgrounds.

    Raises SamplingError where the centre is not found.
    """
    seen = np.flatnonzero(c.f_sum > 0.0)
    column = np.append(seen, np.arange(len(c.f_sum), len(c.upper)))
    f, f_sum, upper = c.f.take(seen, axis=1), c.f_sum[seen], c.upper[column]
    posterior = _compiled.PosteriorFit(c._replace(f=f, f_sum=f_sum, upper=upper))
    if not posterior.is_found:
        raise SamplingError(NOT_FOUND)
    reach = c.upper.copy()
    reach[column] = posterior.reach
    return Fit(seen, upper, reach, posterior)


def with_background_as_source(c: Compressed, k: int) -> Compressed:
    """The same posterior with background k as the last source; nothing is left in its own place."""
    n = len(c.f_sum)
    rows = slice(c.first[k], c.first[k + 1])
    column, omega, omega_sum = np.zeros(len(c.omega)), c.omega.copy(), c.omega_sum.copy()
    column[rows], omega[rows], omega_sum[k] = c.omega[rows], 0.0, 0.0
    return c._replace(
        f=np.column_stack([c.f, column]),
        f_sum=np.append(c.f_sum, c.omega_sum[k]),
        omega=omega,
        omega_sum=omega_sum,
        upper=np.insert(c.upper, n, c.upper[n + k]),
    )


def marginals(
    p: Fit,
    column: int,
    accuracy: float,
    seed: np.random.SeedSequence,
    last_level: int = LEVELS - 1,
) -> list[Marginal]:
    """The marginal of a source, and after it those of the repeats of which it is the mean.

    accuracy : standard error asked for, in standard deviations of the marginal; points are
        added until the repeats agree so well, or `last_level` of `cubature` is reached
    seed : of the shifts of the lattices

    Raises SamplingError where the density has no finite values.
    """
    index = np.searchsorted(p.seen, column)
    if index == len(p.seen) or p.seen[index] != column:
        upper = float(p.reach[column])
        return [Marginal(0.0, upper, upper, np.ones(1))]
    for cube in levels(len(p.seen), seed)[: last_level + 1]:
        lo, hi, series, error = p.posterior.marginal(int(index), cube)
        if not len(series):
            raise SamplingError(NOT_FINITE)
        if error <= accuracy:
            break
    upper = float(p.upper[index])
    return [Marginal(lo, hi, upper, s) for s in series]
