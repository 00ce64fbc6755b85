"""One observation to one prep3 file: counts and matrices of all its bundles."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..catalog.fault import InputError
from ..files.prep3 import prep3_name
from ..files.prep3_write import write_prep3
from .bundle_files import OpenObservation, open_observation
from .bundles import MadeBundle, make_bundle
from .field import ObservationFiles, Settings
from .sky import start_of


@dataclass
class Extracted:
    """What became of an observation.

    path : its prep3 file, empty if there is nothing to write
    sources, source_bands : how many are measured, and in how many bands all together
    missing : components that lie off the field here (Eq. 3)
    flags : by component, those of any of its bands and apertures
    """

    name: str
    path: str = ""
    sources: int = 0
    source_bands: int = 0
    missing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Piece:
    """Some bundles of an observation, measured; `fault` is what costs them all."""

    made: list[MadeBundle] = field(default_factory=list)
    instrument: str = ""
    exposure: float | None = None
    mjd: float | None = None
    fault: str = ""
    seconds: float = 0.0


def extract_observation(
    files: ObservationFiles,
    bundles: Mapping[str, tuple[str, ...]],
    settings: Settings,
    folder: str,
) -> Extracted:
    """Write the prep3 file of an observation into `folder`; never raises for bad input.

    bundles : components of the stack's bundles, by name
    """
    return write_pieces(files, [measure_piece(files, bundles, settings)], folder)


# Damaged bytes make signalling NaNs, of which numpy warns as it converts them.
@np.errstate(invalid="ignore")
def measure_piece(
    files: ObservationFiles,
    bundles: Mapping[str, tuple[str, ...]],
    settings: Settings,
    opened: Callable[[ObservationFiles, Settings], OpenObservation] = open_observation,
) -> Piece:
    """Counts and matrices of some bundles of an observation; never raises for bad input.

    bundles : their components, by name
    opened : reads what all sources share, or knows it already
    """
    begun = time.perf_counter()
    piece = Piece()
    of_source = {source.name: source for source in files.sources}
    try:
        observation = opened(files, settings)
        piece.instrument, piece.exposure = observation.instrument, observation.seconds
        piece.mjd = start_of(observation.header)
        for name, components in bundles.items():
            here = [of_source[c] for c in components if c in of_source]
            if here:
                piece.made.append(_make(observation, name, here, files))
    except InputError as error:
        piece.fault = str(error)
    piece.seconds = time.perf_counter() - begun
    return piece


def write_pieces(files: ObservationFiles, pieces: Sequence[Piece], folder: str) -> Extracted:
    """Write the prep3 file of an observation, all pieces of which are there."""
    begun = time.perf_counter()
    done = Extracted(files.name, seconds=sum(piece.seconds for piece in pieces))
    made = sorted((one for piece in pieces for one in piece.made), key=lambda one: one.name)
    done.faults = [*dict.fromkeys(piece.fault for piece in pieces if piece.fault)]
    done.faults += [fault for one in made for fault in one.faults]
    done.missing = [name for one in made for name in one.missing]
    usable = [one for one in made if one.bundle]
    try:
        if usable:
            path = str(Path(folder) / prep3_name(files.stack, files.obsid))
            write_prep3(
                path,
                files.stack,
                files.obsid,
                pieces[0].instrument,
                [one.bundle for one in usable],
                pieces[0].exposure,
                [row for one in usable for row in one.info],
                pieces[0].mjd,
            )
            done.path = path
        _count(done, usable)
    except InputError as error:
        done.faults.append(str(error))
    done.seconds += time.perf_counter() - begun
    return done


def _make(observation, name: str, here, files: ObservationFiles) -> MadeBundle:
    try:
        return make_bundle(observation, name, here)
    except InputError as error:
        place = f"{files.name}, bundle {name} ({', '.join(s.name for s in here)})"
        return MadeBundle(name, faults=[f"{place}: {error}"])


def _count(done: Extracted, made: list[MadeBundle]) -> None:
    flags: dict[str, dict[str, None]] = {}
    measured = set()
    for one in made:
        done.sources += len(one.bundle.components)
        for _, component, band, _, columns in one.info:
            measured.add((component, band))
            for flag in columns["extract_flags"].split():
                flags.setdefault(component, {})[flag] = None
    done.source_bands = len(measured)
    done.flags = {component: " ".join(names) for component, names in flags.items()}
