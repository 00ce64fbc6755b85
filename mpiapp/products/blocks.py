"""`mpiapp blocks`: the Bayesian Blocks of master sources, from the results of their observations.

By flux, and by time where the start of each observation is known.

The blocks are found in each band by itself, from the flux posteriors at level obsid, and what is
one block in every band is one in the end; instruments share none, as ACIS and HRC in the catalog's
blocks3 products.  They go into an mst3 file, with which `mpiapp run` measures them.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from ..catalog.fault import Fault, InputError
from ..catalog.instruments import LONGEST_BAND
from ..catalog.masters import Associations, Blocks
from ..catalog.quantities import INSTRUMENT_BANDS, band_order
from ..files.mst3 import read_mst3, write_mst3_tables
from ..files.results import Results
from ..files.schema import MPDF_DTYPE
from .flux_blocks import (
    Cells,
    default_penalty,
    fitness,
    gamma_cells,
    intersection,
    partition,
    tabulated_cells,
)

_SILENT = ("u",)  # soft and of few counts, it decides nothing, as in the catalog
_NUMBERED = ("b", "s", "m", "h", "w")  # blocks are numbered by flux in the first of these, if any

_FLUX = np.dtype(
    [("master", "S48"), ("stack", "S96"), ("obsid", "S96"), ("band", f"S{LONGEST_BAND}")]
    + [("mode", "f8"), ("mean", "f8"), ("rms", "f8"), ("mpdf", "i8")]
)


class FoundBlocks(NamedTuple):
    """What `write_blocks` has found.

    masters, split : master sources with observations; those that vary for one instrument
    unmeasured : observations without a number in any band, which are in no block
    unobserved : master sources without an observation in the results; they keep their blocks
    untimed : observations without a start, which are in no block by time
    tables, gammas : posteriors that were compared, from /mpdf and as Gamma distributions
    faults : of the mst3 file; the master sources concerned are not in the new one
    """

    masters: int
    split: int
    unmeasured: int
    unobserved: int
    untimed: int
    tables: int
    gammas: int
    faults: list[Fault]


def write_blocks(
    results: Results,
    mst3: str | os.PathLike,
    out: str | os.PathLike,
    aperture: str = "aper",
    penalty: float | None = None,
    starts: Mapping[tuple[str, str], float] | None = None,
    quantity: str = "photflux",
    bands: Collection[str] = (),
) -> FoundBlocks:
    """Write the associations of an mst3 file with the blocks that the results tell of.

    penalty : per block, in log10; None for that with which 5 % of constant sources are split
    starts : MJD of each (stack, obsid); with it blocks in the order of time are found too
    quantity, bands : of the fluxes that decide; all bands but u by default

    A posterior is that of /mpdf where an exact one is kept, else the Gamma distribution with its
    mean and rms: smoothed by the kernel it would be too wide.  Exposures stay those of the file.
    Raises InputError if the results have no such fluxes at level obsid of these master sources.
    """
    file = read_mst3(mst3)
    associations = file.associations
    fluxes = _fluxes(results, associations, aperture, quantity, bands)
    if not len(fluxes):
        where = f"level obsid, aperture {aperture}{''.join(f', band {band}' for band in bands)}"
        raise InputError(
            f"{results.path}: no {quantity} at {where}, of master sources of {file.path}; measure "
            "it first, or name another with --quantity"
        )
    observations, which = np.unique(fluxes[["stack", "obsid"]], return_inverse=True)
    of_instruments = instruments(fluxes["band"], which.reshape(-1))
    posteriors = _Posteriors(results, fluxes)
    mjd = _starts(observations, starts or {})[which.reshape(-1)]
    found: list[tuple[bytes, int, bytes, bytes, int]] = []
    several, unmeasured = set(), 0
    masters, edges = np.unique(fluxes["master"], return_index=True)
    for master, first, last in zip(masters, edges, [*edges[1:], len(fluxes)]):
        n_blocks = n_in_time = 0
        for own in of_instruments:
            mine = np.flatnonzero(np.isin(fluxes["band"][first:last], own)) + first
            names, blocks = _blocks_of(posteriors, mine, own, penalty)
            timed = mine[np.isfinite(mjd[mine])]
            later = dict(zip(*_blocks_of(posteriors, timed, own, penalty, mjd[timed])))
            unmeasured += int((blocks < 0).sum())
            for name, block in zip(names, blocks.tolist()):
                if block >= 0:
                    in_time = int(later.get(name, -1)) + 1
                    in_time += n_in_time if in_time else 0
                    found.append((master, n_blocks + block + 1, *name, in_time))
            if (n := int(blocks.max(initial=-1)) + 1) > 1:
                several.add(master)
            n_blocks += n
            n_in_time += max(later.values(), default=-1) + 1
    kept = ~np.isin(associations.blocks.master, masters)
    blocks = _table(found, associations.blocks, kept)
    untimed = 0
    if starts is not None:
        untimed = len(np.unique(fluxes[["master", "stack", "obsid"]][np.isnan(mjd)]))
    history = [
        f"blocks by flux{'' if starts is None else ' and time'}, {quantity}, aperture {aperture}, "
        "penalty " + ("of 5 % false alarms" if penalty is None else f"{penalty:g}")
    ]
    write_mst3_tables(out, associations.links, blocks, history)
    return FoundBlocks(
        len(masters),
        len(several),
        unmeasured,
        len(associations) - len(masters),
        untimed,
        posteriors.tables,
        posteriors.gammas,
        file.faults,
    )


def _starts(observations: np.ndarray, starts: Mapping[tuple[str, str], float]) -> np.ndarray:
    """(n,) MJD of each observation, NaN where it is not known."""
    found = [starts.get((s.decode(), o.decode()), np.nan) for s, o in observations.tolist()]
    return np.array(found, float)


def instruments(of_flux: np.ndarray, observation: np.ndarray) -> list[np.ndarray]:
    """The bands of each instrument: the catalog's, and others that an observation has together.

    Those that are there, in the order in which they number blocks.

    of_flux, observation : (n,) band and number of the observation of each flux
    """
    bands, band = np.unique(of_flux, return_inverse=True)
    order = np.argsort(observation, kind="stable")
    band, together = band.reshape(-1)[order], np.diff(observation[order]) == 0
    pairs = np.unique(np.stack([band[:-1], band[1:]])[:, together], axis=1)
    found: list[set[str]] = [set(known) for known in INSTRUMENT_BANDS.values()]
    for new in (*bands[:, None], *bands[pairs.T]):
        names = set(new.astype(str).tolist())
        same = [one for one in found if one & names]
        found = [one for one in found if not one & names] + [names.union(*same)]
    found.sort(key=lambda one: min(map(band_order, one)))
    seen = bands.astype(str).tolist()
    ranked = [*_NUMBERED, *seen]
    there = [sorted(one.intersection(seen), key=ranked.index) for one in found]
    return [np.array(own, bands.dtype) for own in there if own]


def _fluxes(
    results: Results,
    associations: Associations,
    aperture: str,
    quantity: str,
    bands: Collection[str],
) -> np.ndarray:
    """The fluxes of all observations of master sources (n,), in the order of masters."""
    kept = results.mpdf_rows()
    labels: dict[tuple[bytes, bytes], str] = {}
    found = [np.empty(0, _FLUX)]
    start = 0
    for rows in results.chunks("photometry"):
        number = np.arange(start, start + len(rows))
        start += len(rows)
        wanted = (rows["level"] == b"obsid") & (rows["aperture"] == aperture.encode())
        wanted &= rows["quantity"] == quantity.encode()
        wanted &= np.isin(rows["band"], [b.encode() for b in bands or _SILENT], invert=not bands)
        rows, number = rows[wanted], number[wanted]
        names, which = np.unique(rows[["target", "component"]], return_inverse=True)
        of_names = np.zeros(len(names), _FLUX)
        for i, (target, component) in enumerate(names.tolist()):
            stack, obsid = target.split(b"/")[:2]
            label = _label(associations, stack, component, labels)
            of_names[i] = (label, stack, obsid, b"", 0.0, 0.0, 0.0, -1)
        mine = of_names[which.reshape(-1)]
        for name in ("band", "mode", "mean", "rms"):
            mine[name] = rows[name]
        place = np.searchsorted(kept, number)
        has = place < len(kept)
        has[has] = kept[place[has]] == number[has]
        mine["mpdf"] = np.where(has, place, -1)
        found.append(mine[mine["master"] != b""])
    fluxes = np.concatenate(found)
    return fluxes[np.argsort(fluxes["master"], kind="stable")]


def _label(associations: Associations, stack: bytes, component: bytes, known: dict) -> str:
    """The master source whose unique match a component is; empty if of none."""
    key = stack, component
    if key not in known:
        names = stack.decode(), component.decode()
        label = associations.label(*names)
        known[key] = "" if label == "/".join(names) else label
    return known[key]


class _Posteriors:
    """The posteriors of fluxes; of those that are the only one of master and band, none."""

    def __init__(self, results: Results, fluxes: np.ndarray):
        self.fluxes = fluxes
        self.tables = self.gammas = 0
        _, which, times = np.unique(
            fluxes[["master", "band"]], return_inverse=True, return_counts=True
        )
        wanted = np.unique(fluxes["mpdf"][times[which.reshape(-1)] > 1])
        wanted = wanted[wanted >= 0]
        parts, start = [np.empty(0, MPDF_DTYPE)], 0
        for rows in results.chunks("mpdf", 50_000):
            inside = slice(*np.searchsorted(wanted, [start, start + len(rows)]))
            parts.append(rows[wanted[inside] - start])
            start += len(rows)
        self._kept = np.concatenate(parts)
        usable = (self._kept["kernel"] == 0) & (self._kept["low"] >= 0)
        usable &= (self._kept["high"] > self._kept["low"]) & (self._kept["density"] >= 0).all(1)
        usable &= np.isfinite(self._kept["density"].sum(1)) & (self._kept["density"] > 0).any(1)
        self._kept, self._number = self._kept[usable], wanted[usable]

    def measured(self, mine: np.ndarray) -> np.ndarray:
        """Which of some fluxes have numbers."""
        rows = self.fluxes[mine]
        return np.isfinite(rows["mode"]) & (rows["mean"] > 0) & (rows["rms"] > 0)

    def cells(self, mine: np.ndarray) -> Cells:
        """Those of some fluxes, all of which have numbers."""
        rows = self.fluxes[mine]
        place = np.minimum(np.searchsorted(self._number, rows["mpdf"]), len(self._number) - 1)
        exact = self._number[place] == rows["mpdf"] if len(self._number) else place >= 0
        table = self._kept[place[exact]]
        parts = (
            tabulated_cells(table["low"], table["high"], table["density"]),
            gamma_cells(rows["mean"][~exact], rows["rms"][~exact]),
        )
        self.tables += len(parts[0])
        self.gammas += len(parts[1])
        back = np.argsort(np.concatenate([np.flatnonzero(exact), np.flatnonzero(~exact)]))
        return Cells(*(np.concatenate(column)[back] for column in zip(*parts)))


def _blocks_of(
    posteriors: _Posteriors,
    mine: np.ndarray,
    bands: np.ndarray,
    penalty: float | None,
    mjd: np.ndarray | None = None,
) -> tuple[list[tuple[bytes, bytes]], np.ndarray]:
    """The (stack, obsid) of a master source's observations, and their blocks from 0, or -1.

    mjd : of each flux, where they are to be blocks by time
    """
    rows = posteriors.fluxes[mine]
    names, which = np.unique(rows[["stack", "obsid"]], return_inverse=True)
    which = which.reshape(-1)
    measured = posteriors.measured(mine)
    there = [band for band in bands if (measured & (rows["band"] == band)).any()]
    of_bands = np.full((len(there), len(names)), -1)
    for of_band, band in zip(of_bands, there):
        inside = np.flatnonzero(measured & (rows["band"] == band))
        keys = (rows["mean"], rows["mode"]) if mjd is None else (mjd,)
        inside = inside[np.lexsort([key[inside] for key in keys])]
        n = len(inside)
        if n > 1:
            in_time = mjd is not None
            cost = default_penalty(n, len(there), in_time) if penalty is None else penalty
            of_band[which[inside]] = partition(fitness(posteriors.cells(mine[inside])), cost)
        else:
            of_band[which[inside]] = 0
    blocks = np.full(len(names), -1)
    if there:
        some = (of_bands >= 0).any(axis=0)
        blocks[some] = intersection(of_bands[:, some])
    return names.tolist(), blocks


def _table(found: list[tuple], old: Blocks, kept: np.ndarray) -> Blocks:
    """The blocks of an mst3 file: those found, with the exposures that the old ones had, and old
    ones that are kept."""
    seconds = dict(zip(zip(old.stack.tolist(), old.obsid.tolist()), old.exposure.tolist()))
    columns = [np.array(column) for column in zip(*found)] or [old.master[:0]] * 5
    exposure = np.array([seconds.get(row[2:4], np.nan) for row in found])
    whole = (columns[i].astype(np.int64) for i in (1, 4))
    new = Blocks(columns[0], next(whole), *columns[2:4], exposure, next(whole))
    pairs = zip(vars(old).values(), vars(new).values())
    return Blocks(*(np.concatenate([a[kept], b]) for a, b in pairs))
