"""Event lists: sky positions and energies of the events that count, read once for all sources."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.io import fits

from ..catalog.fault import InputError
from .fits_input import open_fits
from .region import Bounds, Region
from .sky import Frame, celestial_of_table


@dataclass(frozen=True)
class EventCuts:
    """Which events count, beside those of a band.

    status : only those whose status bits are all 0, where there is such a column
    good_times : only those within the good-time intervals, where there are some
    chips : only those of these ccd_id; empty for all
    """

    status: bool = True
    good_times: bool = True
    chips: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Events:
    """Events of an observation, ordered by y.

    x, y : (n,) sky pixels;  kev : (n,) energies, None where there are none (HRC)
    """

    path: str
    x: np.ndarray
    y: np.ndarray
    kev: np.ndarray | None
    frame: Frame
    header: fits.Header

    def inside(self, region: Region) -> np.ndarray:
        """(m,) numbers of the events in a region."""
        x_low, x_high, y_low, y_high = region.bounds
        first, last = np.searchsorted(self.y, (y_low, y_high), side="left")
        near = first + np.flatnonzero(
            (self.x[first:last] >= x_low) & (self.x[first:last] <= x_high)
        )
        return near[region.contains(self.x[near], self.y[near])]

    def in_band(self, numbers: np.ndarray, kev: tuple[float, float]) -> np.ndarray:
        """Those of the numbered events whose energy is in the band; all where there is none."""
        if self.kev is None:
            return numbers
        energies = self.kev[numbers]
        return numbers[(energies >= kev[0]) & (energies < kev[1])]


def merged(lists: Sequence[Events]) -> Events:
    """Events of several lists of one observation, those that are in more than one once."""
    if len(lists) == 1:
        return lists[0]
    columns = [
        np.concatenate([getattr(events, name) for events in lists])
        for name in ("y", "x", "kev")
        if all(getattr(events, name) is not None for events in lists)
    ]
    columns = np.unique(np.stack(columns), axis=1)
    kev = columns[2] if len(columns) > 2 else None
    corners = zip(*(events.frame.bounds for events in lists))
    reach = Bounds(*(pick(values) for pick, values in zip((min, max, min, max), corners)))
    frame = Frame(lists[0].frame.wcs, reach)
    return Events(lists[0].path, columns[1], columns[0], kev, frame, lists[0].header)


def read_events(path: str | os.PathLike, cuts: EventCuts = EventCuts()) -> Events:
    """The events of a FITS file; InputError if it has none, or lacks a column."""
    with open_fits(path) as hdus:
        hdu = _event_table(hdus, path)
        column = {name.lower(): name for name in hdu.columns.names}
        if missing := {"x", "y"} - column.keys():
            raise InputError(f"{path}, {hdu.name}: no column {min(missing)} (sky position)")
        header, data = hdu.header, hdu.data

        def values(name: str) -> np.ndarray | None:
            return np.asarray(data[column[name]]) if name in column else None

        keep = np.ones(len(data), dtype=bool)
        if cuts.status and (status := values("status")) is not None:
            keep &= ~(status.reshape(len(data), -1).astype(bool).any(axis=1))
        ccd, time = values("ccd_id"), values("time")
        if cuts.chips:
            if ccd is None:
                raise InputError(f"{path}, {hdu.name}: no column ccd_id to choose chips by")
            keep &= np.isin(ccd, cuts.chips)
        if cuts.good_times and time is not None:
            keep &= _in_good_times(hdus, time, ccd)
        x, y = (values(name).astype(np.float64) for name in ("x", "y"))
        keep &= np.isfinite(x) & np.isfinite(y)
        order = np.flatnonzero(keep)
        order = order[np.argsort(y[order], kind="stable")]
        energy = values("energy")
        kev = None if energy is None else energy[order].astype(np.float64) / 1000
        frame = Frame(celestial_of_table(header, ("x", "y")), _reach(header, column, x, y))
        return Events(str(path), x[order], y[order], kev, frame, header)


def read_frame(path: str | os.PathLike) -> Frame:
    """The sky plane of an event list, without its events."""
    with open_fits(path, headers=True) as hdus:
        hdu = next((hdu for hdu in hdus if hdu.header.get("XTENSION") == "BINTABLE"), None)
        if hdu is None:
            raise InputError(f"{path}: no table of events in it; check that it is an event list")
        names = [str(hdu.header.get(f"TTYPE{n + 1}", "")) for n in range(hdu.header["TFIELDS"])]
        column = {name.strip().lower(): name for name in names}
        nothing = np.zeros(0)
        reach = _reach(hdu.header, column, nothing, nothing)
        return Frame(celestial_of_table(hdu.header, ("x", "y")), reach)


def _event_table(hdus: fits.HDUList, path) -> fits.BinTableHDU:
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    named = [hdu for hdu in tables if hdu.name == "EVENTS"]
    found = named or [hdu for hdu in tables if not hdu.name.startswith("GTI")]
    if not found:
        raise InputError(f"{path}: no table of events in it; check that it is an event list")
    return found[0]


def _in_good_times(hdus: fits.HDUList, time: np.ndarray, ccd: np.ndarray | None) -> np.ndarray:
    """Which events lie in the good times of their chip, or of all where chips have none."""
    intervals: dict[int | None, list[np.ndarray]] = {}
    for hdu in hdus:
        if isinstance(hdu, fits.BinTableHDU) and hdu.name.startswith("GTI"):
            names = {name.upper(): name for name in hdu.columns.names}
            if {"START", "STOP"} <= names.keys() and len(hdu.data):
                chip = hdu.header.get("CCD_ID", hdu.name[3:])
                is_number = ccd is not None and str(chip).strip().isdigit()
                both = np.array([hdu.data[names[k]] for k in ("START", "STOP")], dtype=np.float64)
                intervals.setdefault(int(chip) if is_number else None, []).append(both)
    if not intervals:
        return np.ones(len(time), dtype=bool)
    good = np.zeros(len(time), dtype=bool)
    everywhere = intervals.pop(None, [])
    for chip, own in intervals.items():
        good |= (ccd == chip) & _within(np.concatenate(own, axis=1), time)
    if everywhere:
        rest = np.ones(len(time), bool) if ccd is None else ~np.isin(ccd, list(intervals))
        good |= rest & _within(np.concatenate(everywhere, axis=1), time)
    elif ccd is not None:
        good |= ~np.isin(ccd, list(intervals))
    return good


def _within(intervals: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Whether each time is in one of the intervals (2, n), which do not overlap."""
    start, stop = intervals[:, np.argsort(intervals[0])]
    at = np.searchsorted(start, time, side="right") - 1
    return (at >= 0) & (time <= stop[np.maximum(at, 0)])


def _reach(header: fits.Header, column: dict[str, str], x: np.ndarray, y: np.ndarray) -> Bounds:
    """The rectangle of the sky plane on which there may be events."""
    reach = []
    for name, values in (("x", x), ("y", y)):
        number = list(column).index(name) + 1 if name in column else 0
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.5, 8192.5)
        for keyword, default in (("TLMIN", low), ("TLMAX", high)):
            value = header.get(f"{keyword}{number}", default)
            reach.append(float(value) if isinstance(value, (int, float)) else float(default))
    return Bounds(*reach)
