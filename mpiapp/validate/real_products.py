"""Published hardness ratios and variability, and master fluxes, recomputed from published counts.

The densities of photon fluxes follow from the counts, with exposures fitted to the published photon
fluxes (`real_catalog`); `products` makes hardness and variability of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from ..catalog.quantities import BANDS, HARDNESS, TABLE_1
from ..files.schema import MPDF_DTYPE, MPDF_POINTS
from ..posterior import Smoothing
from ..products.hardness import hardness_ratios
from ..products.kept import catalog_densities
from ..products.variability import catalog_constancy, chances, index_of
from ..report.matching import signed_distance
from .effective import posteriors
from .real_catalog import Recomputed
from .real_rows import RealRows

_PHOTFLUX = list(TABLE_1).index("photflux")
_BANDS = list(BANDS)
MOST_OBSIDS = 10


class Densities(NamedTuple):
    """Densities of m photon fluxes as the catalog's products use them, and where they belong.

    place : (n, bands) which of them; −1 for none
    """

    low: np.ndarray
    high: np.ndarray
    density: np.ndarray
    place: np.ndarray

    def of(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.low[cells], self.high[cells], self.density[cells]


def densities(rows: RealRows, found: Recomputed) -> Densities:
    """Densities of all photon fluxes with published numbers, with the published limits."""
    published = rows.published[:, _PHOTFLUX]
    use = np.isfinite(published[..., 0]) & np.isfinite(found.numbers[:, _PHOTFLUX, :, 0])
    if not use.any():
        nothing = np.empty(0), np.empty(0), np.empty((0, MPDF_POINTS))
        return Densities(*nothing, np.full(use.shape, -1))
    ends = rows.counts[use], found.exposure[:, _PHOTFLUX][use], found.ratios[use]
    tables = posteriors(*(x[:, None] for x in ends), points=MPDF_POINTS).tabulated
    kept = np.zeros(int(use.sum()), MPDF_DTYPE)
    kept["low"], kept["high"], kept["density"] = (x[:, 0] for x in tables[:3])
    value, _, hilim = published[use].T
    place = np.full(use.shape, -1)
    place[use] = np.arange(len(kept))
    limit = np.where(value == 0, hilim, np.nan)
    return Densities(*catalog_densities(kept, limit, Smoothing()), place)


def hardness_table(rows: RealRows, found: Densities) -> Table:
    """Published ratios against those of the published counts, in published half-widths."""
    out = []
    level = Smoothing().level
    is_limit = rows.published[:, _PHOTFLUX, :, 0] == 0
    for pair, bands in HARDNESS.items():
        x, y = (_BANDS.index(band) for band in bands)
        theirs = rows.hardness[pair]
        use = (found.place[:, [x, y]] >= 0).all(axis=1) & np.isfinite(theirs).all(axis=1)
        use &= theirs[:, 2] > theirs[:, 1]
        ours = hardness_ratios(
            *found.of(found.place[use, x]), *found.of(found.place[use, y]), level
        )
        half = 0.5 * (theirs[use, 2] - theirs[use, 1])
        off = np.abs(ours[:, 0] - theirs[use, 0]) / half
        width = 0.5 * (ours[:, 2] - ours[:, 1]) / half
        n_limits = is_limit[use][:, [x, y]].sum(axis=1)
        for label, mine in [*((str(k), n_limits == k) for k in range(3)), ("all", n_limits >= 0)]:
            if mine.any():
                q = np.quantile(off[mine], (0.5, 0.9, 0.99))
                ends = f"{np.mean(off[mine] <= 1):.1%}", f"{np.median(width[mine]):.3f}"
                numbers = (f"{v:.3f}" for v in q)
                out.append((f"hard_{pair}", label, int(mine.sum()), *numbers, *ends))
    return Table(
        rows=out or None,
        names=("Ratio", "Limits", "N", "median", "90 %", "99 %", "<= 1", "width ratio"),
    )


def variability(rows: RealRows, found: Densities) -> np.ndarray:
    """Master sources and bands with published var_inter_…, all of whose rows are here and unique.

    A structured array: n observations, limits, and prob, index and sigma, published and ours.
    """
    names = ("prob", "index", "sigma")
    kinds = [("n", "i8"), ("limits", "i8")]
    kinds += [(f"{side}{name}", "f8") for side in ("", "published_") for name in names]
    parts = [np.zeros(0, kinds)]
    published = rows.published[:, _PHOTFLUX]
    masters, which = np.unique(np.char.add(rows.name, rows.aperture), return_inverse=True)
    all_unique = np.bincount(which, ~rows.is_unique, len(masters)) == 0
    order = np.argsort(which, kind="stable")
    for k, band in enumerate(_BANDS):
        mine = order[(found.place[order, k] >= 0) & all_unique[which[order]]]
        seen, first = np.unique(which[mine], return_index=True)
        first = np.append(first, len(mine))
        value, low, high = published[mine, k].T
        limit = np.where(value == 0, high, np.nan)
        numbers = catalog_constancy(
            *found.of(found.place[mine, k]), value, 0.5 * (high - low), limit, first
        )
        part = np.zeros(len(seen), kinds)
        part["n"], part["limits"] = np.diff(first), np.add.reduceat(
            (value == 0).astype(int), first[:-1]
        ) if len(seen) else 0  # fmt: skip
        part["prob"], part["index"] = 1 - chances(numbers), index_of(numbers)
        part["sigma"] = numbers[:, 2]
        theirs = rows.variability[band][mine[first[:-1]]] if len(seen) else np.zeros((0, 3))
        for i, name in enumerate(names):
            part[f"published_{name}"] = theirs[:, i]
        # of a source whose rows in the table are not all that it has, nothing can be said
        lacking = np.bincount(which, found.place[:, k] < 0, len(masters))[seen] > 0
        parts.append(part[np.isfinite(part["published_sigma"]) & (part["n"] > 1) & ~lacking])
    return np.concatenate(parts)


def variability_table(found: np.ndarray) -> Table:
    """Published variability against ours, by number of observations."""
    few = (found["n"] <= 6) & (found["limits"] == 0)
    groups = [("2, no limit", (found["n"] == 2) & (found["limits"] == 0)),
              ("3 to 6, no limit", few & (found["n"] > 2)),
              ("2 to 6, no limit", few),
              ("7 and more, no limit", (found["n"] > 6) & (found["limits"] == 0)),
              ("some limits", found["limits"] > 0)]  # fmt: skip
    out = []
    for label, mine in groups:
        of = found[mine & np.isfinite(found["sigma"])]
        if not len(of):
            continue
        ratio = of["sigma"] / of["published_sigma"]
        low, median, high = np.percentile(of["prob"] - of["published_prob"], (16, 50, 84))
        gap = np.abs(of["index"] - of["published_index"])
        # 0 is followed by 3
        near = (gap <= 1) | ((np.minimum(of["index"], of["published_index"]) == 0) & (gap == 3))
        out.append((label, len(of), f"{np.median(ratio):.3f}",
                    f"{np.mean(np.abs(ratio - 1) <= 0.1):.1%}",
                    f"{median:+.3f} ({low:+.3f}-{high:+.3f})",
                    f"{np.mean(gap == 0):.1%}", f"{np.mean(near):.1%}"))  # fmt: skip
    names = ("Observations", "N", "sigma ratio", "sigma in 10 %", "prob difference",
             "index equal", "equal or next")  # fmt: skip
    return Table(rows=out or None, names=names)


def master_fluxes(rows: RealRows, found: Recomputed) -> np.ndarray:
    """(m, 2) f of the energy flux in band b, and number of obsids.

    Of master sources with several observations that do not vary (var_inter_index_b 0): all their
    counts together, with the f, r and exposures of their observations, against the master's
    published flux, to which nothing was fitted.
    """
    flux, b = list(TABLE_1).index("flux"), _BANDS.index("b")
    steady = (rows.variability["b"][:, 1] == 0) & rows.is_unique & (rows.aperture == "aper")
    steady &= np.isfinite(rows.master_flux).all(axis=1)
    usable = np.isfinite(rows.counts[:, b]).all(axis=1) & np.isfinite(found.numbers[:, flux, b, 0])
    out = [np.zeros((0, 2))]
    for n, sources in _by_number(rows.name, steady):
        good = usable[sources].all(axis=1)
        sources = sources[good]
        if not len(sources):
            continue
        exposure, ratios = found.exposure[sources, flux, b], found.ratios[sources, b]
        numbers = posteriors(rows.counts[sources, b], exposure, ratios).numbers[:, 0]
        theirs = rows.master_flux[sources[:, 0]]
        f = np.abs(signed_distance(numbers["mode"], numbers["hilim"], *theirs.T))
        out.append(np.column_stack([f, np.full(len(f), n)]))
    return np.concatenate(out)


def _by_number(names: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(n, (m, n) rows) of the names whose rows are all chosen, for each n from 2 on."""
    _, which, size = np.unique(names, return_inverse=True, return_counts=True)
    whole = np.bincount(which, chosen, len(size)) == size
    order = np.argsort(which, kind="stable")
    for n in range(2, MOST_OBSIDS + 1):
        mine = order[(whole & (size == n))[which[order]]]
        yield n, mine.reshape(-1, n)


def master_table(found: np.ndarray) -> Table:
    """f of master fluxes, by number of observations."""
    n = found[:, 1]
    rows = []
    for label, mine in (("2", n == 2), ("3", n == 3), ("4 and more", n > 3), ("all", n > 0)):
        f = found[mine, 0]
        f = f[np.isfinite(f)]
        if len(f):
            q = np.quantile(f, (0.5, 0.9, 0.99))
            rows.append((label, len(f), *(f"{v:.3f}" for v in q), f"{np.mean(f <= 1):.1%}"))
    return Table(rows=rows or None, names=("Observations", "N", "median", "90 %", "99 %", "<= 1"))
