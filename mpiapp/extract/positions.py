"""Master sources by position: components of different stacks that are the same source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, search_around_sky

from ..catalog.fault import InputError
from ..files.association_tables import import_associations
from ..files.mst3 import write_mst3
from .overlaps import StackSources

Link = tuple[str, str, str, str]  # master, match_type, stack, component


@dataclass
class Masters:
    """Links of master sources, as an mst3 file has them, and what was ambiguous."""

    links: list[Link] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write_masters(
    given: str, stacks: Sequence[StackSources], folder: str | os.PathLike
) -> list[str]:
    """Write mst3.fits into the folder, from a radius in arcsec or a table of associations.

    Returns lines that say what was done; raises InputError if nothing can be.
    """
    out = Path(folder) / "mst3.fits"
    try:
        radius = float(given)
    except ValueError:
        report = import_associations(given, out)
        lines = [fault.message for fault in report.faults]
        return [f"{out}: {report.accepted} associations of {given}", *lines]
    if not 0 < radius < np.inf:
        raise InputError(f"--masters {given}: expected a radius in arcsec, or a table")
    masters = masters_by_position(stacks, radius)
    if not masters.links:
        raise InputError(f"--masters {given}: no source has a position; give ra and dec")
    write_mst3(out, masters.links)
    n = len({link[0] for link in masters.links})
    return [f"{out}: {n} master sources, {len(masters.links)} associations", *masters.notes]


def masters_by_position(stacks: Sequence[StackSources], radius_arcsec: float) -> Masters:
    """Master sources of components within a radius of each other, by the nearest.

    Stacks are taken in their order.  A component is the unique match (u) of the nearest master
    source within the radius if each is the only one for the other; otherwise it is an ambiguous
    match (a) of all that are within it.  Where there is none it begins a master source.  A master
    source lies where its first component does.
    """
    found = Masters()
    names: list[str] = []
    at = SkyCoord([], [], unit="deg")
    for stack in stacks:
        placed = {
            name: position
            for name, position in stack.positions.items()
            if np.isfinite(position).all()
        }
        if len(placed) < len(stack.positions):
            found.notes.append(
                f"{stack.stack}: {len(stack.positions) - len(placed)} sources without a position "
                "are of no master source"
            )
        if not placed:
            continue
        components = list(placed)
        here = SkyCoord(*np.transpose(list(placed.values())), unit="deg")
        near: dict[int, list[int]] = {i: [] for i in range(len(components))}
        claimed: dict[int, int] = {}
        if names:
            mine, theirs, *_ = search_around_sky(here, at, radius_arcsec * u.arcsec)
            for i, j in zip(mine.tolist(), theirs.tolist()):
                near[i].append(j)
                claimed[j] = claimed.get(j, 0) + 1
        for i, component in enumerate(components):
            if not near[i]:
                names.append(_name(here[i], names))
                found.links.append((names[-1], "u", stack.stack, component))
                continue
            alone = len(near[i]) == 1 and claimed[near[i][0]] == 1
            for j in near[i]:
                found.links.append((names[j], "u" if alone else "a", stack.stack, component))
            if not alone:
                rivals = ", ".join(names[j] for j in near[i])
                found.notes.append(
                    f"{stack.stack}/{component}: ambiguous, within {radius_arcsec:g} arcsec of "
                    f"{rivals}"
                )
        new = [i for i in range(len(components)) if not near[i]]
        if new:
            both = [np.append(a, b) for a, b in ((at.ra, here[new].ra), (at.dec, here[new].dec))]
            at = SkyCoord(*both, unit="deg")
    return found


def _name(position: SkyCoord, taken: Sequence[str]) -> str:
    """A name by position, to 0.1 s and 1", as the catalog's; with a letter if it is taken."""
    ra = position.ra.to_string(u.hour, sep="", precision=1, pad=True)
    dec = position.dec.to_string(u.deg, sep="", precision=0, pad=True, alwayssign=True)
    name, letter = f"J{ra}{dec}", ord("a")
    base = name
    while name in taken:
        name, letter = f"{base}{chr(letter)}", letter + 1
    return name
