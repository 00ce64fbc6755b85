"""What there is to see and who looks: sources, stacks and their obsids in one field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .instrument import CAMERAS, Camera

# The telescope points evenly over so many arcsec to either side.
DITHER = 8.0


@dataclass(frozen=True)
class Preset:
    """What kind of catalog is simulated; ranges are inclusive.

    Attributes
    ----------
    stacks, obsids, sources : (low, high)
        Stacks per field, obsids per stack (few are many), sources per field.
    flux, flux_break : erg/s/cm^2 in 0.5-7 keV
        Range and break of the differential log N-log S, S^-slope with the two
        slopes below and above the break; 2.5 is that of a Euclidean universe.
    crowded : fraction of the sources that sit close to another one.
    variable : fraction of the sources whose flux changes between blocks.
    detection : net counts expected in the whole stack that make a detection.
    exposure, exposure_scatter : median in s, and scatter in dex.
    hrc : fraction of the stacks taken with HRC.
    net_counts, background_counts : (low, high) or None
        If given, expected source counts in an obsid's broad band, and counts in
        the background aperture, are uniform in this range instead.
    scatter : arcsec between the pointings of a field's stacks, rms of each coordinate.
    blocks : whether the mst3 file names Bayesian Blocks.
    bands, quantities, apertures : what is written of the camera's; all if empty.
    prefix : begins the names of stacks and masters, so that catalogs can be measured together.
    """

    stacks: tuple[int, int] = (1, 3)
    obsids: tuple[int, int] = (1, 20)
    sources: tuple[int, int] = (30, 150)
    flux: tuple[float, float] = (1e-16, 1e-11)
    flux_break: float = 1e-14
    slopes: tuple[float, float] = (1.6, 2.5)
    crowded: float = 0.2
    variable: float = 0.2
    detection: float = 4.0
    exposure: float = 20e3
    exposure_scatter: float = 0.4
    hrc: float = 0.1
    net_counts: tuple[float, float] | None = None
    background_counts: tuple[float, float] | None = None
    scatter: float = 200.0
    blocks: bool = True
    bands: str = ""
    quantities: tuple[str, ...] = ()
    apertures: tuple[str, ...] = ()
    prefix: str = ""


PRESETS = {
    "survey": Preset(),
    "crowded": Preset(crowded=0.8, sources=(80, 200)),
    "single": Preset(stacks=(1, 1), obsids=(1, 1), crowded=0.0),
    "bright": Preset(flux=(1e-12, 1e-7), flux_break=1e-10, slopes=(1.2, 1.6)),
    # The low-count regime in which CSC 2.0 lost most of its photometry (memo, section 1).
    "faint": Preset(
        stacks=(1, 1),
        obsids=(1, 1),
        crowded=0.1,
        detection=0.0,
        hrc=0.2,
        net_counts=(0.0, 5.0),
        background_counts=(0.0, 50.0),
    ),
}


@dataclass(frozen=True, eq=False)
class Sources:
    """Positions (n, 2) in arcsec, fluxes (n,) in 0.5-7 keV, photon indices (n,)."""

    position: np.ndarray
    flux: np.ndarray
    index: np.ndarray


@dataclass(frozen=True, eq=False)
class Obsid:
    """One pointing: centre in arcsec, roll in radian, background factor of its four chips.

    mjd : its start
    """

    name: str
    centre: np.ndarray
    roll: float
    seconds: float
    mjd: float
    chips: np.ndarray

    def on_detector(self, camera: Camera, position: np.ndarray) -> np.ndarray:
        """(n,) whether positions fall into the field of view."""
        return (np.abs(self._detector(position)) < camera.half_width).all(axis=-1)

    def exposed(self, camera: Camera, position: np.ndarray) -> np.ndarray:
        """(n,) parts of the time in which positions are in the field, as the telescope dithers."""
        inside = camera.half_width + DITHER - np.abs(self._detector(position))
        return np.clip(inside / (2 * DITHER), 0, 1).prod(axis=-1)

    def chip(self, position: np.ndarray) -> np.ndarray:
        """(n,) number of the chip that positions fall on."""
        right, up = (self._detector(position) > 0).T
        return right + 2 * up

    def off_axis(self, position: np.ndarray) -> np.ndarray:
        """(n,) off-axis angle in arcmin."""
        return np.hypot(*(position - self.centre).T) / 60

    def sky(self, detector: np.ndarray) -> np.ndarray:
        """(n, 2) positions in arcsec of places on the detector, in arcsec from its centre."""
        c, s = np.cos(self.roll), np.sin(self.roll)
        return detector @ np.array([[c, s], [-s, c]]) + self.centre

    def _detector(self, position: np.ndarray) -> np.ndarray:
        c, s = np.cos(self.roll), np.sin(self.roll)
        return (position - self.centre) @ np.array([[c, -s], [s, c]])


@dataclass(frozen=True, eq=False)
class Stack:
    """Obsids of one instrument and nearly one pointing, in which sources are detected together."""

    name: str
    camera: Camera
    obsids: list[Obsid]


def draw_fluxes(preset: Preset, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) fluxes from the broken power law, by inverting each side's integral."""
    (low, high), middle = preset.flux, preset.flux_break
    a, b = (1 - slope for slope in preset.slopes)
    faint = (1 - (low / middle) ** a) / a
    bright = ((high / middle) ** b - 1) / b
    u = rng.random(n) * (faint + bright)
    below = ((low / middle) ** a + a * np.minimum(u, faint)) ** (1 / a)
    above = (1 + b * np.maximum(u - faint, 0)) ** (1 / b)
    return middle * np.where(u < faint, below, above)


# MJD of a field's first observation, and days from one to the next.
_FIRST, _BETWEEN = 55_000.0, 30.0


def draw_stacks(preset: Preset, field: int, rng: np.random.Generator) -> list[Stack]:
    """Stacks of one field: pointings some arcmin apart, obsids within an arcmin or so."""
    stacks = []
    number = 0
    for k in range(int(rng.integers(preset.stacks[0], preset.stacks[1] + 1))):
        camera = CAMERAS["HRC" if rng.random() < preset.hrc else "ACIS"]
        centre = rng.normal(0, preset.scatter if k else 0, 2)
        low, high = preset.obsids
        n = min(low + int(rng.geometric(0.4)) - 1, high)
        if rng.random() < 0.05:
            n = int(rng.integers(low, high + 1))
        obsids = []
        for _ in range(n):
            seconds = preset.exposure * 10 ** rng.normal(0, preset.exposure_scatter)
            obsids.append(
                Obsid(
                    name=str(1_000_000 + 100 * field + number),
                    centre=centre + rng.normal(0, 40, 2),
                    roll=rng.uniform(0, 2 * np.pi),
                    seconds=round(float(np.clip(seconds, 1e3, 2e5)), 3),
                    mjd=_FIRST + _BETWEEN * number,
                    chips=10 ** rng.normal(0, 0.2, 4),
                )
            )
            number += 1
        name = f"{preset.prefix}{camera.name.lower()}fSIM{field:06d}_{k + 1:03d}"
        stacks.append(Stack(name, camera, obsids))
    return stacks


def draw_sources(preset: Preset, n: int, stacks: list[Stack], rng: np.random.Generator) -> Sources:
    """Sources over the field of the first stack, some close to another one."""
    width = 1.1 * stacks[0].camera.half_width
    position = rng.uniform(-width, width, (n, 2))
    close = np.flatnonzero(rng.random(n) < preset.crowded)
    close = close[close > 0]
    if close.size:
        beside = (rng.random(close.size) * np.maximum(1, close * 0.3)).astype(int)
        distance = rng.uniform(1, 12, close.size)
        angle = rng.uniform(0, 2 * np.pi, close.size)
        for i, j, step in zip(close, beside, np.stack([np.cos(angle), np.sin(angle)], 1)):
            position[i] = position[j] + distance[close.searchsorted(i)] * step
    return Sources(position, draw_fluxes(preset, n, rng), rng.normal(1.7, 0.3, n))
