"""Gamma priors of a job, from a table or from the results of an earlier epoch."""

from __future__ import annotations

import os

import numpy as np

from ..catalog.fault import InputError, grouped
from ..catalog.priors import PriorKey, Priors
from ..catalog.quantities import QUANTITIES
from .catalog_tables import file_bytes, read_table
from .counts_table import find_priors
from .own_columns import PRIORS

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_source_priors(path: str | os.PathLike, level: str) -> Priors:
    """The priors of sources and backgrounds.

    level : of results, whose rows are the priors: at level master the averages

    Of a table these are its columns prior_mean_photflux and prior_rms_photflux, or
    prior_alpha_photflux and prior_beta_photflux, with the suffix _bkg of the background per pixel,
    and those of other quantities; without a column stack, obsid, band or aperture, or a value in
    it, they hold for all.  Of results the sources have mean and rms of the posterior.

    Raises InputError if there is none, one cannot be used, or a source has several.
    """
    if file_bytes(path, len(_HDF5)) == _HDF5:
        return _of_results(path, level)
    counts = find_priors(read_table(path))
    if faults := counts.faults():
        raise InputError(next(grouped(faults)))
    found: Priors = {}
    nothing = [None] * len(counts)
    names = ("stack", "obsid", "component", "band", "aperture")
    keys = list(zip(*(counts.names.get(name, nothing) for name in names)))
    for quantity, gamma in counts.gamma.items():
        for row, k in np.argwhere(gamma[:, :, 1] > 0).tolist():
            key = PriorKey(*keys[row], quantity, bool(k))
            _add(found, key, gamma[row, k], f"{path}, {counts.where(row)}")
    if not found:
        raise InputError(f"{path}: no prior in it; it needs columns such as {', '.join(PRIORS)}")
    return found


def _of_results(path: str | os.PathLike, level: str) -> Priors:
    from .results import open_results

    found: Priors = {}
    with open_results(path) as results:
        for rows in results.chunks("photometry"):
            rows = rows[(rows["level"] == level.encode()) & (rows["rms"] > 0)]
            if level == "master":
                rows = rows[np.char.endswith(rows["target"], b"/avg")]
            for row in rows:
                # No posterior of counts has an rms above its mean, but by the noise of draws.
                alpha = max((row["mean"] / row["rms"]) ** 2, 1.0)
                names = ("component", "band", "aperture", "quantity")
                key = PriorKey(None, None, *(row[name].decode() for name in names))
                gamma = np.array([alpha - 1.0, alpha / row["mean"]])
                _add(found, key, gamma, f"{path}, level {level}, target {row['target'].decode()}")
    if not found:
        raise InputError(f"{path}: no result at level {level}; set priors.level to one that it has")
    return found


def _add(found: Priors, key: PriorKey, gamma: np.ndarray, place: str) -> None:
    if key.quantity not in QUANTITIES:
        said = f"quantity {key.quantity!r}: expected one of {', '.join(QUANTITIES)}"
        raise InputError(f"{place}: {said}")
    own = float(gamma[0]), float(gamma[1])
    if found.setdefault(key, own) != own:
        of = ("the background of " if key.is_background else "") + key.source
        about = ", ".join(text for text in (*key[:2], *key[3:6]) if text)
        raise InputError(
            f"{place}: a second prior of {of} ({about}); keep one, name stack or obsid where they "
            "differ, or take a level of the results that has one row of each source"
        )
