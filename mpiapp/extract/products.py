"""A folder of the catalog's products, understood by their names.

Names are those of cxc.harvard.edu/csc/data_products, release 2.1:
`acisf01575_001N021_r0115b_psf3.fits.gz` of an observation,
`acisfJ0042326p411606_001N020_r0115_reg3.fits.gz` of a stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..catalog.fault import InputError
from .field import Field, ObservationFiles, Settings, SourceFiles
from .fits_input import open_fits
from .region_files import RegionFile
from .sky import number_in

_NAME = re.compile(
    r"(?P<instrument>acis|hrc)f(?:(?P<obsid>\d{5,})_(?P<obi>\d{3})|(?P<stack>J\d{7}[pm]\d{6}_\d{3}))"
    r"N(?P<version>\d{3})(?:_(?P<cycle>e[12]))?(?:_(?P<region>r\d{4}))?_?(?P<band>[bhmsuw])?"
    r"_(?P<product>[a-z]+3(?:_srcimg)?)\.fits(?:\.gz)?",
    re.IGNORECASE,
)
_REGIONS = ("reg3", "srcreg3", "bkgreg3")
# Counts images, which stand for event lists that are not there.
IMAGES = ("regimg3", "regevt3_srcimg")
# Observations of a stack point within an arcmin of each other.
_STACK_DEGREES = 0.1


@dataclass
class Found:
    """The products of an observation or a stack: path by product, region and band ("" for none)."""

    instrument: str
    label: str
    folders: set[Path] = field(default_factory=set)
    paths: dict[tuple[str, str, str], str] = field(default_factory=dict)
    versions: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def add(self, product: str, region: str, band: str, version: str, path: Path) -> None:
        key = product, region, band
        if version >= self.versions.get(key, ""):
            self.versions[key], self.paths[key] = version, str(path)

    def get(self, product: str, region: str = "", band: str = "") -> str:
        return self.paths.get((product, region, band), "")

    def bands(self, product: str, region: str = "") -> dict[str, str]:
        """The product's paths by band."""
        found = {(p, r): {} for p, r, _ in self.paths}
        for (p, r, band), path in self.paths.items():
            found[p, r][band] = path
        return found.get((product, region), {})

    @property
    def regions(self) -> list[str]:
        return sorted({region for _, region, _ in self.paths if region})


def find_products(folder: str | Path, settings: Settings = Settings()) -> Field:  # noqa: B008
    """The observations of a folder of catalog products, searched with all folders inside.

    A source is extracted from an observation for which there are events (`regevt3`, or `evt3` of
    the whole observation) or else counts images, and PSF images (`psf3`).  Its aperture and
    background are those of the stack (`reg3`), or of the observation where older files have them.

    Raises InputError if there is no such source.
    """
    observations, stacks = scan(folder)
    notes: list[str] = []
    made = []
    for key, found in observations.items():
        if not found.regions:
            continue
        stack = stack_of(found, key, stacks, notes)
        sources = _sources(found, stacks.get(stack), notes)
        if sources:
            events = found.get("evt3")
            maps = found.bands("exp3")
            made.append(
                ObservationFiles(
                    stack, found.label, sources, events, maps=maps, instrument=key[0].upper()
                )
            )
    if not made:
        raise InputError(f"{folder}: no source with all it needs. " + "; ".join(notes[:5]))
    return Field(tuple(made), settings, tuple(notes))


def scan(folder: str | Path) -> tuple[dict[tuple[str, ...], Found], dict[str, Found]]:
    """The products in a folder, of each observation and of each stack, by their names.

    An observation's key is its instrument, obsid, observation interval and cycle.
    """
    observations: dict[tuple[str, ...], Found] = {}
    stacks: dict[str, Found] = {}
    paths = sorted(path for path in Path(folder).rglob("*") if "_" in path.name)
    for path in paths:
        match = _NAME.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        parts = {key: (value or "").lower() for key, value in match.groupdict().items()}
        if match["stack"]:
            name = f"{parts['instrument']}f{match['stack']}"
            found = stacks.setdefault(name, Found(parts["instrument"], name))
        else:
            key = parts["instrument"], parts["obsid"], parts["obi"], parts["cycle"]
            found = observations.setdefault(key, Found(parts["instrument"], ""))
        found.folders.add(path.parent)
        found.add(parts["product"], parts["region"], parts["band"], parts["version"], path)
    obsids = [key[1] for key in observations]
    for key, found in observations.items():
        _, obsid, obi, cycle = key
        alone = obsids.count(obsid) == 1
        found.label = str(int(obsid)) + ("" if alone else f"_{obi}{cycle}")
    return observations, stacks


def stack_of(found: Found, key: tuple, stacks: dict[str, Found], notes: list[str]) -> str:
    """The stack of an observation: that in its folder, the one it points at, or one of its own."""
    alike = {n: s for n, s in stacks.items() if s.instrument == found.instrument}
    beside = {n: s for n, s in alike.items() if s.folders & found.folders}
    alike = beside or alike
    if len(alike) == 1:
        return next(iter(alike))
    own = f"{key[0]}f{key[1]}_{key[2]}{key[3]}"
    if not alike:
        return own
    try:
        path = next(p for (product, *_), p in found.paths.items() if product.endswith("evt3"))
        with open_fits(path, headers=True) as hdus:
            header = hdus[1].header
        ra, dec = (number_in(header, f"{axis}_PNT", f"{axis}_NOM") for axis in ("RA", "DEC"))
        distances = {name: _distance(_position(name), (ra, dec)) for name in alike}
        nearest = min(distances, key=distances.__getitem__)
        if distances[nearest] < _STACK_DEGREES:
            return nearest
    except (StopIteration, InputError, TypeError, IndexError):
        pass
    notes.append(f"obsid {found.label}: in none of the stacks {', '.join(alike)} by its pointing")
    return own


def _position(stack: str) -> tuple[float, float]:
    """Right ascension and declination in degrees from a stack's name."""
    digits = re.search(r"J(\d\d)(\d\d)(\d{3})([pm])(\d\d)(\d\d)(\d\d)", stack)
    h, m, s, d, am, asec = (int(digits[i]) for i in (1, 2, 3, 5, 6, 7))
    sign = -1 if digits[4] == "m" else 1
    return 15 * (h + m / 60 + s / 36000), sign * (d + am / 60 + asec / 3600)


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Degrees between positions that are close to each other."""
    east = (a[0] - b[0] + 180) % 360 - 180
    return float(np.hypot(east * np.cos(np.radians(a[1])), a[1] - b[1]))


def _sources(found: Found, stack: Found | None, notes: list[str]) -> tuple[SourceFiles, ...]:
    """The sources for which an observation has what is needed; `notes` has the others."""
    sources = []
    for region in found.regions:
        own = {product: found.get(product, region) for product in (*_REGIONS, "regevt3")}
        aper = background = None
        if path := (stack.get("reg3", region) if stack else "") or own["reg3"]:
            aper, background = (RegionFile(path, (hdu,)) for hdu in ("SRCREG", "BKGREG"))
        if own["srcreg3"]:
            aper = RegionFile(own["srcreg3"])
        if own["bkgreg3"]:
            background = RegionFile(own["bkgreg3"])
        psf = found.bands("psf3", region)
        events = own["regevt3"] or found.get("evt3")
        images = {} if events else next(filter(None, (found.bands(p, region) for p in IMAGES)), {})
        lacking = {
            "events (regevt3)": events or images,
            "the source region (reg3 of the stack)": aper,
            "the background region (reg3 of the stack)": background,
            "PSF images (psf3)": psf,
        }
        if missing := [what for what, there in lacking.items() if not there]:
            notes.append(f"obsid {found.label}, {region}: without {', '.join(missing)}")
            continue
        aper90 = {}
        if own["reg3"]:
            ellipses = {band: (f"ECF90REG{band.upper()}",) for band in psf}
            aper90 = {band: RegionFile(own["reg3"], hdus) for band, hdus in ellipses.items()}
        maps = found.bands("regexp3", region)
        sources.append(
            SourceFiles(region, aper, background, aper90, psf, own["regevt3"], maps, images=images)
        )
    return tuple(sources)
