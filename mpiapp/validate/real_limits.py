"""Upper limits of published rows: which rule the catalog follows, and on which grid.

Of cells whose f and r other bands tell, the published limit is held against candidates for the
rule; and what becomes a limit against the same expansion on the catalog's grid, of so many points
between the smallest and the largest of so many draws, which end where the priors of CSC 2.0 do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from ..catalog.quantities import TABLE_1
from .effective import Responses, fit_rows, posteriors
from .real_catalog import CNTS, class_of
from .real_rows import RealRows

GRID, DRAWS = 100, 5000
_SIGMAS, _LEAST_VARIANCE = 5.0, 0.5  # of the priors: s_ML ± 5 σ_ML, and of a count in σ_ML
ON_GRID, IN_PRIORS = f"2 × mode on {GRID} points", f"2 × mode on {GRID} points, 5-σ priors"
_VALUES = 2  # bands with a value that f and r are known from
_POINTS = 512


class Limits(NamedTuple):
    """m cells with few counts, and their net counts by several rules, for 1/f and r of other bands.

    source : (m,) counts; published : (m, 3)
    kind : (m,) of CLASSES; grid_kind : (m,) what the expansion on the catalog's grid gives
    rules : name of a rule to (m,) upper limits
    prior_end : (m,) where the 5-σ prior ends; step : (m,) how far hilim is from that of the count
    rate, drawn once more, in counts
    """

    source: np.ndarray
    published: np.ndarray
    kind: np.ndarray
    grid_kind: np.ndarray
    rules: dict[str, np.ndarray]
    prior_end: np.ndarray
    step: np.ndarray


def limits(rows: RealRows, responses: Responses, most: int = 4000, seed: int = 0) -> Limits | None:
    """Cells that are limits, or nearly: a random choice of `most` of them; None without any."""
    rng = np.random.default_rng(seed)
    kind = class_of(rows)
    published = rows.published[:, CNTS]
    of_values = kind == 0
    effective = np.full((*kind.shape, 2), np.nan)
    for band in range(kind.shape[1]):
        others = of_values.copy()
        others[:, band] = False
        enough = others.sum(axis=1) >= _VALUES
        effective[enough, band] = fit_rows(responses, published, others)[enough]
    with np.errstate(invalid="ignore"):
        near = (kind > 0) | ((kind == 0) & (published[..., 1] < 0.5 * published[..., 0]))
    chosen = np.flatnonzero(near.ravel() & np.isfinite(effective[..., 0]).ravel())
    chosen = np.sort(rng.permutation(chosen)[:most])
    scale, ratio = effective.reshape(-1, 2)[chosen].T
    counts = rows.counts.reshape(-1, 2)[chosen]
    if not len(chosen):
        return None
    low, high, density, mode, quantile = _posteriors(counts, ratio)
    end = prior_end(counts, ratio)
    of_cells = list(zip(low, high, density))
    on_grid, in_priors = (
        np.array([expanded(draw(rng, *of, e)) for of, e in zip(of_cells, ends)])
        for ends in (high, end)
    )
    rules = {
        "2 × mode": 2 * mode,
        ON_GRID: np.where(on_grid[:, 0] == 0, on_grid[:, 2], np.nan),
        IN_PRIORS: np.where(in_priors[:, 0] == 0, in_priors[:, 2], np.nan),
        "68 % quantile": quantile,
    }
    grid_kind = np.select([on_grid[:, 1] > 0, on_grid[:, 0] > 0, counts[:, 0] > 0], range(3), 3)
    hilim = rows.published[..., 2].reshape(len(kind), len(TABLE_1), -1)
    again = hilim[:, list(TABLE_1).index("rate")] * rows.livetime[:, None]
    return Limits(
        counts[:, 0],
        published.reshape(-1, 3)[chosen],
        kind.ravel()[chosen],
        grid_kind,
        {name: numbers * scale for name, numbers in rules.items()},
        end * scale,
        np.abs(again - published[..., 2]).ravel()[chosen],
    )


def prior_end(counts: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """(n,) where the prior s_ML + 5 σ_ML of CSC 2.0 ends, in net counts for f = 1.

    A negative s_ML counts as 0, and the variance of no counts as ½, of which the published limits
    of no counts speak (docs/published-limits.md).
    """
    source, background = counts.T
    variance = np.maximum(source, _LEAST_VARIANCE) + ratio**2 * background
    return np.maximum(source - ratio * background, 0.0) + _SIGMAS * np.sqrt(variance)


def _posteriors(counts: np.ndarray, ratio: np.ndarray):
    """(low, high, density) of net counts for f = 1, their smoothed mode and 68 % quantile."""
    found = posteriors(counts[:, None], np.ones((len(counts), 1)), ratio[:, None], _POINTS)
    low, high, density, _ = found.tabulated
    total = np.cumsum(density[:, 0], axis=1)
    place = (total < 0.68 * total[:, -1:]).sum(axis=1) / (_POINTS - 1)
    quantile = low[:, 0] + (high - low)[:, 0] * place
    return low[:, 0], high[:, 0], density[:, 0], found.numbers["mode"][:, 0], quantile


def draw(
    rng: np.random.Generator, low: float, high: float, density: np.ndarray, end: float = np.inf
) -> np.ndarray:
    """(DRAWS,) of a tabulated density, up to where its prior ends."""
    total = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1])))
    x = np.linspace(low, high, len(density))
    return np.interp(rng.random(DRAWS) * np.interp(end, x, total), total, x)


def expanded(draws: np.ndarray) -> tuple[float, float, float]:
    """Value, lolim and hilim as the catalog finds them from draws.

    Smoothed by a kernel as wide as their rms, on GRID points; the bounds step outwards in turn, the
    lower one first, until 68 % is enclosed.  A lower end that has no point left to step to makes an
    upper limit.
    """
    x = np.linspace(max(draws.min(), 1e-30), draws.max(), GRID)
    order = np.sort(draws)
    h = draws.std()
    # sums of 1, draws and their squares up to each draw give the parabola's sum in any window
    sums = np.concatenate(
        [np.zeros((3, 1)), np.cumsum([order**0, order, order**2], axis=1)], axis=1
    )
    first, last = np.searchsorted(order, x - h), np.searchsorted(order, x + h)
    count, one, two = sums[:, last] - sums[:, first]
    density = count - (two - 2 * x * one + x * x * count) / h**2
    density /= density.sum()
    mode = int(density.argmax())
    lower = upper = mode
    inside = density[mode]
    while True:
        if lower == 0:
            return 0.0, 0.0, x[upper]
        lower -= 1
        inside += density[lower]
        if inside < 0.68 and upper < GRID - 1:
            upper += 1
            inside += density[upper]
        if inside >= 0.68:
            return x[mode], 0.0 if lower == 0 else x[lower], x[upper]


def rules_table(found: Limits) -> Table:
    """Limits by rule ÷ published ones, by the counts in the source aperture."""
    rows = []
    for label, mine in _by_counts(found.source):
        limit = mine & (found.published[:, 0] == 0)
        cells = []
        for numbers in found.rules.values():
            ratio = (numbers / found.published[:, 2])[limit]
            ratio = ratio[np.isfinite(ratio)]
            cells.append(_spread(ratio))
        rows.append((label, int(limit.sum()), *cells))
    return Table(rows=rows or None, names=("C", "Limits", *found.rules))


def classes_table(found: Limits) -> Table:
    """Published classes against those on the catalog's grid and by the rule without one."""
    names = ("value", "value, lolim 0", "limit")
    of = [np.minimum(kind, 2) for kind in (found.kind, found.grid_kind)]
    rows = [
        (f"published {name}", *(int(((of[0] == i) & (of[1] == j)).sum()) for j in range(3)))
        for i, name in enumerate(names)
    ]
    return Table(rows=rows, names=("Result", *(f"on the grid: {name}" for name in names)))


def grid_ends(found: Limits) -> str:
    """Where the draws of limits of no counts ended, as the steps of their grid tell."""
    none = (found.source == 0) & (found.published[:, 0] == 0) & np.isfinite(found.step)
    steps, end = GRID * found.step[none], found.prior_end[none]
    one = np.abs(steps / end - 1) < 0.25
    if not one.any():
        return ""
    of_prior = np.median(steps[one] / end[one])
    return (
        f" Of {len(end)} limits of no counts {np.mean(steps < 0.02 * end):.0%} have the hilim of "
        f"the count rate, which was drawn by itself, and {np.mean(one):.0%} one that is a step of "
        f"the grid away: {GRID} steps are {_spread(steps[one])} counts, {of_prior:.3f} times where "
        "the 5-σ prior ends if the variance of no counts is ½."
    )


def third_class(found: Limits) -> str:
    """A sentence on values with lolim 0."""
    value, _, hilim = found.published[found.kind == 1].T
    if not len(value):
        return "No value has a lolim of 0."
    return (
        f"{len(value)} values have a lolim of 0: hilim ÷ value {_spread(hilim / value)}, that is "
        "the lower end met zero in the very step that enclosed 68 %."
    )


def _by_counts(source: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for c in (0, 1, 2, 3, 4, 5):
        yield str(c), source == c
    yield "6 to 10", (source > 5) & (source <= 10)
    yield "11 and more", source > 10
    yield "1 and more", source > 0


def _spread(values: np.ndarray) -> str:
    if not len(values):
        return ""
    low, median, high = np.percentile(values, (16, 50, 84))
    return f"{median:.3f} ({low:.3f}-{high:.3f})"
