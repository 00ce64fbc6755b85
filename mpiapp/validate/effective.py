"""The effective PSF fraction and area ratio of published rows, which the catalog does not publish.

C ~ Poisson(f s + r b), B ~ Poisson(b): of the counts C and B of a band the smoothed mode and its
bounds are 1/f times a function of r, the `Responses`, tabulated once with the engine `exact`.
Rows share f and r between their bands, which is what makes published numbers a test.
"""

from __future__ import annotations

import numpy as np
from astropy.table import Table

from ..catalog.assemble import assemble_unnamed
from ..catalog.quantities import TABLE_1
from ..engines import create
from ..posterior import Smoothing, Solutions
from ..tables import measure_table

_POINTS = 56
_PIXELS = 1000.0  # of the background aperture
_BEYOND = 4.0  # net counts below 0 up to where the responses are tabulated, in √(C + 1)
_RATIOS = np.log([1e-4, 5.0])
_COARSE, _FINE, _ZOOMS = 80, 16, 3
# What the residuals in half-widths count for: the numbers of CSC 2.0 for no counts are too low by
# some 15 % (docs/published-limits.md), and 1/f is near 1.06, weakly, where counts do not decide.
_NO_COUNTS, _USUAL, _USUALLY = 0.5, 0.05, 1.064
_AS_PUBLISHED = {"get_draws": {"least_variance": 0.5}}  # docs/published-limits.md


class Responses:
    """Mode, lolim and hilim for f = 1 of pairs of counts, as functions of r.

    Parameters
    ----------
    counts : (…, 2) array
        Source and background counts; NaN where there are none.
    """

    def __init__(self, counts: np.ndarray):
        self.known = np.isfinite(counts).all(axis=-1)
        pairs, which = np.unique(counts[self.known], axis=0, return_inverse=True)
        self.which = np.zeros(self.known.shape, np.int64)
        self.which[self.known] = which.reshape(-1)
        self._source, self._background = pairs.T
        self._scale = np.sqrt(self._source + 1.0)
        self._first = -np.arcsinh(_BEYOND)
        self._last = np.arcsinh(self._source / self._scale)
        v = self._first + (self._last - self._first)[:, None] * np.linspace(0, 1, _POINTS)
        r = (self._source[:, None] - self._scale[:, None] * np.sinh(v)) / (
            self._background[:, None] + 1.0
        )
        numbers = solve("exact", np.repeat(pairs, _POINTS, axis=0), np.maximum(r, 1e-9).ravel())
        self._table = numbers[:, [3, 1, 2]].reshape(len(pairs), _POINTS, 3)

    @property
    def source_counts(self) -> np.ndarray:
        """(…) counts in the source aperture."""
        return self._source[self.which]

    def at(self, r: np.ndarray, cells=...) -> np.ndarray:
        """(…, m, 3) mode, lolim and hilim for (…, m) ratios r of some cells."""
        which = self.which[cells][..., None]
        net = (self._source[which] - r * (self._background[which] + 1.0)) / self._scale[which]
        place = (np.arcsinh(net) - self._first) / (self._last[which] - self._first)
        place = np.clip(place * (_POINTS - 1), 0, _POINTS - 1 - 1e-9)
        i = place.astype(int)
        u = (place - i)[..., None]
        return self._table[which, i] * (1 - u) + self._table[which, i + 1] * u


def solve(engine: str, counts: np.ndarray, r: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n, 5) value, lolim, hilim, mode and outcome of net counts for f = 1.

    counts : (n, 2); r : (n,).  What is asked for twice is measured once.
    """
    problems, which = np.unique(np.column_stack([counts, r]), axis=0, return_inverse=True)
    ones = np.ones(len(problems))
    table = Table(
        {
            "cnts": problems[:, 0].astype(np.int64),
            "cnts_bkg": problems[:, 1].astype(np.int64),
            "psf_frac": ones,
            "psf_frac_bkg": 0 * ones,
            "area": _PIXELS * problems[:, 2],
            "area_bkg": _PIXELS * ones,
        }
    )
    # the bounds of Table 1, raised where counts are many
    source, background = TABLE_1["cnts"].prior_upper("ACIS")
    most = 20.0 * problems[:, :2].max(axis=0)
    upper = {
        "source": max(source, float(most[0])),
        "background": max(background, float(most[1]) / _PIXELS),
    }
    found = measure_table(
        table, ["cnts"], engine=engine, seed=seed, prior_upper=upper, progress=False,
        **_AS_PUBLISHED.get(engine, {}),
    )  # fmt: skip
    ends = ("", "_lolim", "_hilim", "_mode", "_outcome")
    columns = [
        np.asarray(getattr(found[f"src_cnts{e}"], "value", found[f"src_cnts{e}"])) for e in ends
    ]
    return np.column_stack(columns).astype(float)[which.reshape(-1)]


def posteriors(
    counts: np.ndarray, exposure: np.ndarray, r: np.ndarray, points: int = 0
) -> Solutions:
    """Solutions of the engine `exact` for n sources, each in as many observations.

    counts : (n, obsids, 2); exposure : (n, obsids) of the source in F, in any unit; r : (n, obsids)
    points : of the tables of the densities; 0 for none
    """
    n, n_obsids = exposure.shape
    F = np.zeros((n_obsids, n, 2, 2))
    F[..., 0, 0], F[..., 0, 1], F[..., 1, 1] = exposure.T, r.T, 1.0
    seen = counts.astype(np.int64).transpose(1, 0, 2)
    problems = assemble_unnamed(list(seen), list(F), np.full((n, 1 + n_obsids), 1e9))
    return create("exact").summarise(problems, Smoothing(), points)


def fit_rows(responses: Responses, published: np.ndarray, use: np.ndarray) -> np.ndarray:
    """(n, 2) 1/f and r of detections, from the net counts of some of their bands.

    published : (n, bands, 3); use : (n, bands) which.  NaN without any.

    Least squares in published half-widths, over r on a grid that zooms in, over 1/f in closed form.
    """
    use = use & responses.known & np.isfinite(published).all(axis=-1)
    target = np.where(use[..., None], published, 0.0)
    weight = _weights(target, use)
    weight *= np.where(responses.source_counts == 0, _NO_COUNTS, 1.0)[..., None]
    low, high = (np.full(len(use), end) for end in _RATIOS)
    rows, points = np.arange(len(use)), _COARSE
    for _ in range(1 + _ZOOMS):
        grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, points)
        found = responses.at(np.exp(grid)[:, None, :])
        product = np.einsum("nbmk,nbk->nm", found, target * weight) + _USUAL * _USUALLY
        square = np.einsum("nbmk,nbmk,nbk->nm", found, found, weight) + _USUAL
        scale = product / square
        best = (scale * scale * square - 2 * scale * product).argmin(axis=1)
        step, middle = (high - low) / (points - 1), grid[rows, best]
        low, high, points = middle - 1.5 * step, middle + 1.5 * step, _FINE
    out = np.column_stack([scale[rows, best], np.exp(middle)])
    out[~use.any(axis=1)] = np.nan
    return out


def fit_scale(numbers: np.ndarray, published: np.ndarray) -> np.ndarray:
    """(…) what numbers (…, 3) are to be multiplied with to be published ones, of a unit unknown."""
    use = np.isfinite(published).all(axis=-1) & np.isfinite(numbers).all(axis=-1)
    target, given = (np.where(use[..., None], x, 0.0) for x in (published, numbers))
    weight = _weights(target, use)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weight * given * target).sum(axis=-1) / (weight * given * given).sum(axis=-1)


def _weights(published: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Weights of squared residuals, in half-widths; of an upper limit only the bound counts."""
    half = 0.5 * (published[..., 2] - published[..., 1])
    which = np.where(published[..., :1] == 0, [0.0, 0.0, 1.0], [1.0, 1.0, 1.0])
    return np.where(use[..., None], which / np.where(half > 0, half, 1.0)[..., None] ** 2, 0.0)
