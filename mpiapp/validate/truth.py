"""Results held against the intensities that a simulated catalog was drawn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table

from ..catalog.outcome import Outcome
from ..catalog.quantities import QUANTITIES
from ..files.mst3 import read_mst3

# Sources whose truth is so many times what it scatters by; of fainter ones the posterior leans
# against zero.
BRIGHT = 3.0
# What obsids may differ by of a source that does not vary: their responses weigh its spectrum.
_STEADY = 0.01

Truth = Mapping[tuple[str, str, str, str], float]


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
    """

    pulls: np.ndarray
    inside: np.ndarray
    limits: np.ndarray
    truth: np.ndarray


def truth_of(catalog: str | Path, level: str) -> Truth:
    """The true intensity of every source of a simulated catalog that has one alone.

    Keys are (target, component, band, quantity); at level master those of the averages.
    A source that varies between its obsids, and net counts of several, have no such value.
    """
    catalog = Path(catalog)
    drawn = Table.read(catalog / "truth.fits")
    drawn.convert_bytestring_to_unicode()
    label = read_mst3(catalog / "mst3.fits").associations.label if level == "master" else None
    found: dict[tuple, list[float]] = defaultdict(list)
    names = ("stack", "obsid", "bundle", "component", "band", *QUANTITIES)
    for stack, obsid, bundle, component, band, *values in zip(*(drawn[n].tolist() for n in names)):
        target = f"{stack}/{obsid}/{bundle}" if level == "obsid" else f"{stack}/{bundle}"
        if label:
            component = label(stack, component)
            target = f"{component}/avg"
        for quantity, value in zip(QUANTITIES, values):
            found[target, component, band, quantity].append(value)
    return {
        key: float(np.mean(values))
        for key, values in found.items()
        if len(values) == 1 or (key[3] != "cnts" and np.ptp(values) <= _STEADY * max(values))
    }


def pulls(photometry: np.ndarray, truth: Truth) -> dict[str, Pulls]:
    """How rows of /photometry lie about the truth, by quantity, as far as it is known."""
    names = ("target", "component", "band", "quantity")
    keys = zip(*(np.char.decode(photometry[n], "utf-8").tolist() for n in names))
    true = np.array([truth.get(key, np.nan) for key in keys])
    found = {}
    for quantity in QUANTITIES:
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
            )
    return found


def pulls_row(found: Pulls) -> tuple:
    """Number, mean and standard deviation of the pulls, and shares with the truth, as text."""
    n, m = len(found.pulls), len(found.limits)
    mean = f"{found.pulls.mean():+.2f} ± {found.pulls.std() / np.sqrt(n):.2f}" if n > 1 else ""
    spread = f"{found.pulls.std(ddof=1):.2f}" if n > 1 else ""
    inside = f"{found.inside.mean():.1%}" if n else ""
    return n, mean, spread, inside, m, f"{found.limits.mean():.1%}" if m else ""
