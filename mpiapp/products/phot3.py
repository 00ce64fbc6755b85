"""`mpiapp export --mpdf`: the MPDFs in the layout of the catalog's phot3 files.

A FITS file per source and band, in it a table per quantity with the columns `intensity`, `MPDF`,
`intensity90` and `MPDF90`.  What is kept of an exact posterior is not smoothed; it is here, by the
catalog's kernel, so that the MPDF has the mode of the result.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

import numpy as np
from astropy.io import fits
from astropy.units import Unit
from numpy.polynomial import chebyshev

from .. import __version__
from ..catalog.bundle import InputError
from ..catalog.quantities import APERTURES, QUANTITIES
from ..files.replacing import replacing
from ..files.results import Results
from ..posterior import Smoothing
from ..posterior.marginals import Marginal
from ..posterior.tabulated import cubics
from .columns import KEYS
from .kept import kept_rows, smoothing_of
from .rows import is_of, name_parts

_ORDER = 96


def write_phot3(results: Results, level: str, folder: str | Path) -> int:
    """Write the MPDFs of a level, `<names>_<band>_phot3.fits` in a folder; returns how many files.

    level : as for `catalog_table`; at level "master" the averages' tables are called `…_AVG`.
    Names are joined by "_", with characters other than letters, digits and "+-._~" in percent
    encoding.  Raises InputError if the results have no MPDF of this level; OSError as usual.
    """
    found = _index(results, level)
    if not found:
        raise InputError(
            f"{results.path}: no MPDFs at level {level}; name runs of it in [output] mpdf and "
            "measure them"
        )
    smoothing = smoothing_of(results)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for (names, band), kept in found.items():
        tables = defaultdict(dict)
        for place, quantity, aperture, average in kept:
            (row,) = results.rows("mpdf", place, place + 1)
            tables[quantity, average][aperture] = mpdf(row, smoothing)
        primary = fits.PrimaryHDU()
        primary.header["CREATOR"] = f"mpiapp {__version__}"
        primary.header["LEVEL"], primary.header["BAND"] = level, band
        for column, name in zip(KEYS[level], names, strict=True):
            primary.header[column.name[:8].upper()] = (name, column.description)
        hdus = [_hdu(*key, of) for key, of in sorted(tables.items())]
        path = folder / f"{'_'.join(quote(name, safe='+') for name in names)}_{band}_phot3.fits"
        with replacing(path) as new:
            fits.HDUList([primary, *hdus]).writeto(new, checksum=True)
    return len(found)


def mpdf(row: np.void, smoothing: Smoothing) -> tuple[np.ndarray, np.ndarray]:
    """(n,) equidistant intensities, and the smoothed density there, of a row of /mpdf."""
    n = len(row["density"])
    if row["kernel"]:
        return np.linspace(row["low"], row["high"], n), row["density"].astype(float)
    posterior = marginal(row)
    h = smoothing.bandwidth * posterior.std
    x = np.linspace(max(row["low"] - h, 0.0), row["high"] + h, n)
    return x, posterior.mpdf(x, smoothing)


def marginal(row: np.void) -> Marginal:
    """The posterior of a row that is not smoothed, by cubics through its points."""
    low, high, values = float(row["low"]), float(row["high"]), row["density"].astype(float)

    def at(t: np.ndarray) -> np.ndarray:
        return cubics(values, 0.5 * (t + 1.0) * (len(values) - 1))

    # The prior's own end is beyond: what would be near it is pegged, and NULL.
    return Marginal(low, high, 2.0 * high, chebyshev.chebinterpolate(at, _ORDER - 1))


def _index(results: Results, level: str) -> dict[tuple, list[tuple]]:
    """For every (names, band): the (row of /mpdf, quantity, aperture, is an average) it has."""
    found = defaultdict(list)
    for rows, places in kept_rows(results):
        mine = is_of(rows, level)
        for place, row in zip(places[mine].tolist(), rows[mine]):
            target, component, band, aperture, quantity = (
                row[name].decode()
                for name in ("target", "component", "band", "aperture", "quantity")
            )
            average = level == "master" and target.endswith("/avg")
            found[name_parts(level, target, component), band].append(
                (place, quantity, aperture, average)
            )
    return found


def _hdu(quantity: str, average: bool, of: dict[str, tuple]) -> fits.BinTableHDU:
    what = QUANTITIES[quantity]
    columns = []
    per = (1 / Unit(what.unit)).unit.to_string("fits")
    for aperture, suffix in zip(APERTURES, ("", "90"), strict=True):
        if aperture in of:
            x, density = of[aperture]
            columns.append(fits.Column(f"intensity{suffix}", "D", unit=what.unit, array=x))
            columns.append(fits.Column(f"MPDF{suffix}", "D", unit=per, array=density))
    name = what.column.upper() + ("_AVG" if average else "")
    return fits.BinTableHDU.from_columns(columns, name=name)
