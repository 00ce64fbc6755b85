"""Gamma priors of a job's sources, from a table or from the results of an earlier epoch."""

from __future__ import annotations

import os

import numpy as np

from ..catalog.fault import InputError, grouped
from ..catalog.priors import SourcePriors
from ..catalog.quantities import QUANTITIES
from .catalog_tables import file_bytes, read_table
from .counts_table import find_priors
from .own_columns import PRIORS

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_source_priors(path: str | os.PathLike, level: str) -> SourcePriors:
    """The priors of sources by name, band, aperture and quantity.

    level : of results, whose rows are the priors: at level master the averages

    Of a table these are its columns prior_mean_photflux and prior_rms_photflux, or
    prior_alpha_photflux and prior_beta_photflux, and those of other quantities; without a column
    band or aperture they hold for all.  Of results they have mean and rms of the posterior.

    Raises InputError if there is none, one cannot be used, or a source has several.
    """
    if file_bytes(path, len(_HDF5)) == _HDF5:
        return _of_results(path, level)
    counts = find_priors(read_table(path))
    if faults := counts.faults():
        raise InputError(next(grouped(faults)))
    found: SourcePriors = {}
    nothing = [None] * len(counts)
    of_rows = (counts.names.get(name, nothing) for name in ("component", "band", "aperture"))
    keys = list(zip(*of_rows))
    for quantity, gamma in counts.gamma.items():
        if (gamma[:, 1, 1] > 0).any():
            raise InputError(
                f"{path}: column prior_…_{quantity}_bkg: in a job sources alone have priors; leave "
                "it out, or measure the table by `mpiapp measure`"
            )
        for row in np.flatnonzero(gamma[:, 0, 1] > 0).tolist():
            _add(found, (*keys[row], quantity), gamma[row, 0], f"{path}, {counts.where(row)}")
    if not found:
        raise InputError(f"{path}: no prior in it; it needs columns such as {', '.join(PRIORS)}")
    return found


def _of_results(path: str | os.PathLike, level: str) -> SourcePriors:
    from .results import open_results

    found: SourcePriors = {}
    with open_results(path) as results:
        for rows in results.chunks("photometry"):
            rows = rows[(rows["level"] == level.encode()) & (rows["rms"] > 0)]
            if level == "master":
                rows = rows[np.char.endswith(rows["target"], b"/avg")]
            for row in rows:
                # No posterior of counts has an rms above its mean, but by the noise of draws.
                alpha = max((row["mean"] / row["rms"]) ** 2, 1.0)
                names = ("component", "band", "aperture", "quantity")
                key = tuple([row[name].decode() for name in names])
                gamma = np.array([alpha - 1.0, alpha / row["mean"]])
                _add(found, key, gamma, f"{path}, level {level}, target {row['target'].decode()}")
    if not found:
        raise InputError(f"{path}: no result at level {level}; set priors.level to one that it has")
    return found


def _add(found: SourcePriors, key: tuple, gamma: np.ndarray, place: str) -> None:
    if key in found:
        source, *about = key
        raise InputError(
            f"{place}: a second prior of {source} ({', '.join(map(str, about))}); keep one, or "
            "take a level of the results that has one row of each source"
        )
    if key[3] not in QUANTITIES:
        raise InputError(f"{place}: quantity {key[3]!r}: expected one of {', '.join(QUANTITIES)}")
    found[key] = gamma[0], gamma[1]
