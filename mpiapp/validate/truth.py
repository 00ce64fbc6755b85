"""Results held against the intensities that a simulated catalog was drawn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..catalog.outcome import Outcome
from ..catalog.quantities import TABLE_1
from ..files.mst3 import read_mst3

# Sources whose truth is so many times what it scatters by; of fainter ones the posterior leans
# against zero.
BRIGHT = 3.0
# What obsids may differ by of a source that does not vary: their responses weigh its spectrum.
_STEADY = 0.01


class Truth(NamedTuple):
    """What a simulated catalog was drawn from.

    Attributes
    ----------
    values : by (target, component, band, quantity)
    groups : by target
        Number of the sources that it belongs to: all that share events, in a bundle or as
        observations of one master source.
    """

    values: Mapping[tuple[str, str, str, str], float]
    groups: Mapping[str, int]


class Pulls(NamedTuple):
    """How the results of one quantity lie about the truth.

    Attributes
    ----------
    pulls : (n,) array
        (mode - truth) / rms of the bright sources.  It scatters by 1 about -1/(2 √counts),
        since rms grows with the mode.
    inside : (n,) bool array
        Whether their 68 % intervals hold it.
    limits : (m,) bool array
        Whether the truth lies below the upper limit, for all upper limits.
    truth : (n,) array
        That of the pulls.
    groups : (n,) int array
        Which sources they are of, as in `Truth`: pulls of one group are not independent.
    """

    pulls: np.ndarray
    inside: np.ndarray
    limits: np.ndarray
    truth: np.ndarray
    groups: np.ndarray

    @property
    def mean(self) -> tuple[float, float]:
        """Mean of the pulls and its error."""
        return float(self.pulls.mean()), self._error(self.pulls)

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviation of the pulls and its error."""
        spread = float(self.pulls.std())
        return spread, self._error((self.pulls - self.pulls.mean()) ** 2) / (2 * spread or 1.0)

    def _error(self, values: np.ndarray) -> float:
        """Error of the mean of values, all of whose covariances may be within groups.

        NaN of a single group.
        """
        _, group = np.unique(self.groups, return_inverse=True)
        sums = np.bincount(group, values - values.mean())
        n = len(sums)
        return float(np.sqrt(sums @ sums * n / (n - 1)) / len(values)) if n > 1 else np.nan


def truth_of(catalog: str | Path, level: str) -> Truth:
    """The true intensity of every source of a simulated catalog that has one alone.

    At level master they are those of the averages.  A source that varies between its obsids, and
    net counts of several, have no such value.
    """
    catalog = Path(catalog)
    drawn = Table.read(catalog / "truth.fits")
    drawn.convert_bytestring_to_unicode()
    label = read_mst3(catalog / "mst3.fits").associations.label
    found: dict[tuple, list[float]] = defaultdict(list)
    links: dict[str, set[str]] = defaultdict(set)  # master sources of each target
    names = ("stack", "obsid", "bundle", "component", "band", *TABLE_1)
    for stack, obsid, bundle, component, band, *values in zip(*(drawn[n].tolist() for n in names)):
        master = label(stack, component)
        target = f"{stack}/{obsid}/{bundle}" if level == "obsid" else f"{stack}/{bundle}"
        links[target].add(master)
        if level == "master":
            component, target = master, f"{master}/avg"
        for quantity, value in zip(TABLE_1, values):
            found[target, component, band, quantity].append(value)
    values = {
        key: float(np.mean(values))
        for key, values in found.items()
        if len(values) == 1 or (key[3] != "cnts" and np.ptp(values) <= _STEADY * max(values))
    }
    return Truth(values, _groups(links))


def _groups(links: Mapping[str, set[str]]) -> dict[str, int]:
    """Numbers that are equal for targets, and the averages of masters, that hang together."""
    targets = {name: i for i, name in enumerate(links)}
    masters = {name: i for i, name in enumerate(set().union(*links.values()))}
    pairs = [(targets[t], masters[m] + len(targets)) for t, of in links.items() for m in of]
    n = len(targets) + len(masters)
    graph = coo_matrix((np.ones(len(pairs)), np.transpose(pairs)), shape=(n, n))
    _, group = connected_components(graph, directed=False)
    names = [*targets, *(f"{master}/avg" for master in masters)]
    return dict(zip(names, group.tolist()))


def pulls(photometry: np.ndarray, truth: Truth) -> dict[str, Pulls]:
    """How rows of /photometry lie about the truth, by quantity, as far as it is known."""
    names = ("target", "component", "band", "quantity")
    keys = [*zip(*(np.char.decode(photometry[n], "utf-8").tolist() for n in names))]
    true = np.array([truth.values.get(key, np.nan) for key in keys])
    groups = np.array([truth.groups.get(target, -1) for target, *_ in keys])
    found = {}
    for quantity in TABLE_1:
        known = np.isfinite(true) & (photometry["quantity"] == quantity.encode())
        limited = known & (photometry["outcome"] == Outcome.UPPER_LIMIT)
        # Chosen by the truth: what is chosen by its own numbers has fluctuated towards them.
        with np.errstate(divide="ignore", invalid="ignore"):
            scatter = photometry["rms"] * np.sqrt(true / photometry["mode"])
        measured = known & ~limited & (true > BRIGHT * scatter)
        rows, at = photometry[measured], true[measured]
        if known.any():
            found[quantity] = Pulls(
                (rows["mode"] - at) / rows["rms"],
                (rows["lolim"] <= at) & (at <= rows["hilim"]),
                true[limited] <= photometry["hilim"][limited],
                at,
                groups[measured],
            )
    return found


def pulls_row(found: Pulls) -> tuple:
    """Number, mean and spread of the pulls with errors, and shares with the truth, as text."""
    n, m = len(found.pulls), len(found.limits)
    mean, spread = "", ""
    if n > 1:
        mean, spread = (
            f"{value:{form}}" + (f" ± {error:.2f}" if np.isfinite(error) else "")
            for form, (value, error) in (("+.2f", found.mean), (".2f", found.spread))
        )
    inside = f"{found.inside.mean():.1%}" if n else ""
    return n, mean, spread, inside, m, f"{found.limits.mean():.1%}" if m else ""
