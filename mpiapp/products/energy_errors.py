"""Bounds of energy fluxes that allow for the error of mean photon energies, as the catalog's don't.

An energy flux is a photon flux times the mean energy of the source's photons, which `mpiapp
extract` takes from the source's events and gives with its error in SRCINFO.  Over several
observations of a source, weighted with their exposures w, its relative variance is

    sum w² s² (1 - a) / (sum w)²  +  (sum w s √a)² / (sum w)²

with s the relative error of an observation and a the part of its variance that is common to all:
that of the power law to which energies of few events are drawn.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ..catalog.fault import InputError
from ..catalog.masters import Associations
from ..files.results import Results
from ..files.source_info import read_source_info
from .rows import RowsOf, selected

_COLUMNS = ("photon_energy", "photon_energy_err", "photon_energy_assumed")
Errors = dict[tuple[str, str], np.ndarray]


def relative_errors(
    paths: Iterable[str],
    level: str,
    rows_of: RowsOf,
    associations: Associations | None = None,
    blocks: Mapping[str, Collection[tuple[str, str]]] | None = None,
) -> Errors:
    """By band and aperture the relative error of each row's mean photon energy, (len(rows_of),).

    paths : prep3 files;  rows_of : rows of the product of a level, obsid, stack or master
    associations : which components make which master source, at level master
    blocks : stack and obsid of the observations that count, by master source; all if None

    NaN where no file says it.  Raises InputError if none does of any source.
    """
    if level == "master" and associations is None:
        raise InputError("--energy-errors: name the associations of master sources with --mst3")
    if level == "block":
        raise InputError("--energy-errors: of levels obsid, stack and master alone")
    sums: dict[tuple[str, str], np.ndarray] = {}
    for path in paths:
        info = read_source_info(path)
        if info is None or not {*_COLUMNS} <= {*info.colnames}:
            continue
        stack, obsid = info.meta["STACKID"], info.meta["OBS_ID"]
        kev, error, common = (np.ma.filled(info[name], np.nan) for name in _COLUMNS)
        weight = np.ones(len(info))
        if {"expmap_min", "expmap_max"} <= {*info.colnames}:
            middle = np.ma.filled(info["expmap_min"] + info["expmap_max"], np.nan) / 2
            weight = np.where(np.isfinite(middle), middle, 1.0)
        names = (np.char.strip(np.asarray(info[n], str)).tolist() for n in info.colnames[:4])
        for i, (bundle, component, band, aperture) in enumerate(zip(*names)):
            key = (stack, bundle, component)
            if level == "obsid":
                key = (stack, obsid, bundle, component)
            elif level == "master":
                key = (associations.label(stack, component),)
                if blocks is not None and (stack, obsid) not in blocks.get(key[0], ()):
                    continue
            if key not in rows_of or not np.isfinite(error[i]):
                continue
            terms = sums.setdefault((band, aperture), np.zeros((3, len(rows_of))))
            s, w = error[i] / kev[i], weight[i]
            terms[:, rows_of[key]] += w, (w * s) ** 2 * (1 - common[i]), w * s * common[i] ** 0.5
    if not sums:
        raise InputError(
            "--energy-errors: no prep3 file has photon_energy_err in SRCINFO; extract them anew"
        )
    with np.errstate(invalid="ignore"):
        return {key: np.sqrt(own + shared**2) / total for key, (total, own, shared) in sums.items()}


def best_blocks(
    results: Results, associations: Associations
) -> dict[str, Collection[tuple[str, str]]]:
    """Stack and obsid of the observations in the best block of each master source."""
    found = {}
    for rows in results.chunks("photometry"):
        rows = selected(rows, "master", average=False)
        for target, component in np.unique(rows[["target", "component"]]).tolist():
            master, number = component.decode(), re.search(rb"\d+$", target)
            found[master] = associations.blocks_of(master).get(int(number[0]), ())
    return found


def widened(
    value: np.ndarray, low: np.ndarray, high: np.ndarray, relative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) lower and upper bounds with a relative error of the scale added in quadrature.

    An upper limit is twice a value whose interval just reaches 0, and grows as that would.
    """
    relative = np.nan_to_num(relative)
    is_limit = value == 0
    middle = np.where(is_limit, high / 2, value)
    below = middle - np.hypot(middle - low, middle * relative)
    above = middle + np.hypot(high - middle, middle * relative)
    return np.where(is_limit, low, np.maximum(below, 0.0)), above
