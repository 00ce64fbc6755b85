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
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np
from scipy.special import ndtri

from ..catalog.fault import InputError
from ..catalog.masters import Associations
from ..files.results import Results
from ..files.source_info import read_source_info
from .rows import RowsOf, selected

_COLUMNS = ("photon_energy", "photon_energy_err", "photon_energy_assumed")
Errors = dict[tuple[str, str], np.ndarray]
# By master source and name of a row, the (stack, obsid) that it is made of.
Blocks = Mapping[str, Mapping[tuple[str, ...], Collection[tuple[str, str]]]]


def relative_errors(
    paths: Iterable[str],
    level: str,
    rows_of: RowsOf,
    associations: Associations | None = None,
    blocks: Blocks | None = None,
) -> Errors:
    """By band and aperture the relative error of each row's mean photon energy, (len(rows_of),).

    paths : prep3 files;  rows_of : rows of the product of a level
    associations : which components make which master source, at levels master and block
    blocks : of rows that are blocks; all observations of master sources if None

    NaN where no file says it.  Raises InputError if none does of any source.
    """
    is_master = level in ("master", "block")
    if is_master and associations is None:
        raise InputError("--energy-errors: name the associations of master sources with --mst3")
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
            if not np.isfinite(error[i]):
                continue
            if is_master:
                master, seen = associations.label(stack, component), (stack, obsid)
                own = {(master,): {seen}} if blocks is None else blocks.get(master, {})
                keys = [key for key, obsids in own.items() if seen in obsids]
            else:
                keys = [(stack, *([obsid] if level == "obsid" else []), bundle, component)]
            s, w = error[i] / kev[i], weight[i]
            for row in (rows_of[key] for key in keys if key in rows_of):
                terms = sums.setdefault((band, aperture), np.zeros((3, len(rows_of))))
                terms[:, row] += w, (w * s) ** 2 * (1 - common[i]), w * s * common[i] ** 0.5
    if not sums:
        raise InputError(
            "--energy-errors: no prep3 file has photon_energy_err in SRCINFO; extract them anew"
        )
    with np.errstate(invalid="ignore"):
        return {key: np.sqrt(own + shared**2) / total for key, (total, own, shared) in sums.items()}


def best_blocks(results: Results, associations: Associations) -> Blocks:
    """The observations in the best block of each master source."""
    found: Blocks = {}
    for rows in results.chunks("photometry"):
        rows = selected(rows, "master", average=False)
        for target, component in np.unique(rows[["target", "component"]]).tolist():
            master, block = component.decode(), target.decode().rpartition("/")[2]
            found[master] = {(master,): _obsids(associations, master, block)}
    return found


def every_block(rows_of: RowsOf, associations: Associations) -> Blocks:
    """The observations in each block of the product of level block."""
    found: dict[str, dict] = {}
    for master, block in rows_of:
        obsids = _obsids(associations, master, block)
        found.setdefault(master, {})[master, block] = obsids
    return found


def _obsids(associations: Associations, master: str, block: str) -> Collection[tuple[str, str]]:
    """Stack and obsid of the observations of a block, by its name: block1, or time1."""
    kind, number = re.fullmatch(r"(\D+)(\d+)", block).groups()
    in_order = associations.time_blocks_of if kind == "time" else associations.blocks_of
    return in_order(master).get(int(number), ())


def bounds(sources: Collection[str], level: float) -> Iterator[tuple[str, str, float]]:
    """The lower and upper bounds among the sources of fields, and how wide errors are in them.

    level : probability between those that do not name theirs.  A standard deviation is taken for
    the half-width of 68 %, and grows as that of a Gaussian.
    """
    for low in sources:
        if low in ("lolim", "hdi_lo"):
            at = level
        elif " " in low and low.split()[-2] == "lo":
            at = float(low.split()[-1])
        else:
            continue
        yield low, low.replace("lo", "hi", 1), float(ndtri((1 + at) / 2) / ndtri(0.84))


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
