"""From a field to what a catalog pipeline would have found in it: components, bundles, counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..catalog.bundle import Bundle, ObsidBundle
from ..catalog.quantities import APERTURES, TABLE_1, Matrix
from .instrument import (
    ECF90_APERTURE,
    Camera,
    efficiency,
    enclosed_fraction,
    energy,
    exposures,
    photons,
    psf_radius,
)
from .sky import Obsid, Preset, Sources, Stack

MAX_BUNDLE = 10
# Sources closer than this, in units of the 90 % radius, are detected as one.
BLEND = 0.6


@dataclass(frozen=True, eq=False)
class Detections:
    """What one stack detects.

    Attributes
    ----------
    stack : Stack
    member : (n_sources,) int
        Component that each source is part of; -1 for none.
    position : (n_components, 2) arcsec
    seen : (n_sources,) bool
        Whether the source is in the field of any obsid.
    bundles : list of int arrays
        Components of each bundle.
    """

    stack: Stack
    member: np.ndarray
    position: np.ndarray
    seen: np.ndarray
    bundles: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Truth:
    """What a bundle's counts were drawn from.

    intensity (n_quantities, n_bands, n_components) and background
    (n_quantities, n_bands), in the units of the quantities (per pixel for the
    background), in the order of TABLE_1 and of `bands`.
    """

    bands: tuple[str, ...]
    intensity: np.ndarray
    background: np.ndarray


def groups(position: np.ndarray, radius: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """(n,) group numbers: friends of friends closer than factor x (sum of their radii)."""
    n = len(position)
    distance = np.hypot(*(position[:, None] - position[None]).transpose(2, 0, 1))
    friend = distance < factor * (radius[:, None] + radius[None])
    group = np.arange(n)
    while True:
        lowest = np.where(friend, group[None], n).min(axis=1, initial=n)
        lowest = np.minimum(lowest, group)
        if np.array_equal(lowest, group):
            return np.unique(group, return_inverse=True)[1]
        group = lowest


def source_counts(camera: Camera, sources: Sources, obsid: Obsid) -> np.ndarray:
    """(n_sources, n_narrow) photons expected in an obsid without variability."""
    norm = sources.flux / energy("b", sources.index)
    per_area = np.stack([norm * photons(band, sources.index) for band in camera.narrow], axis=1)
    return per_area * efficiency(camera, obsid.off_axis(sources.position)) * obsid.seconds


def mean_off_axis(stack: Stack, position: np.ndarray) -> np.ndarray:
    """(n,) off-axis angle in arcmin, mean of the stack's obsids."""
    return np.mean([obsid.off_axis(position) for obsid in stack.obsids], axis=0)


def detect(preset: Preset, sources: Sources, stack: Stack) -> Detections:
    """Components and bundles of one stack: blended sources count as one component."""
    camera = stack.camera
    on = np.array([obsid.on_detector(camera, sources.position) for obsid in stack.obsids])
    expected = sum(
        source_counts(camera, sources, obsid).sum(axis=1) * where
        for obsid, where in zip(stack.obsids, on)
    )
    seen = on.any(axis=0)
    found = np.flatnonzero(seen & (expected >= preset.detection))
    r90 = psf_radius(mean_off_axis(stack, sources.position[found]))
    blend = groups(sources.position[found], r90, BLEND / 2)
    weight = np.maximum(expected[found], 1e-30)
    n = blend.max(initial=-1) + 1
    total = np.bincount(blend, weight, n)
    position = np.stack(
        [np.bincount(blend, weight * x, n) / total for x in sources.position[found].T], axis=1
    )
    radius = ECF90_APERTURE["aper"] * psf_radius(mean_off_axis(stack, position))
    bundle_of = groups(position, radius)
    bundles = [
        np.flatnonzero(bundle_of == b)[:MAX_BUNDLE] for b in range(bundle_of.max(initial=-1) + 1)
    ]
    kept = np.zeros(n, dtype=bool)
    kept[np.concatenate(bundles or [np.zeros(0, int)])] = True
    # Components beyond the largest bundle were not detected; the rest are numbered again.
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    member = np.full(len(sources.flux), -1)
    member[found] = number[blend]
    return Detections(stack, member, position[kept], seen, [number[b] for b in bundles])


def observe(
    preset: Preset,
    detections: Detections,
    obsid: Obsid,
    expected: np.ndarray,
    rng: np.random.Generator,
) -> list[tuple[Bundle, Truth]]:
    """Draw the counts of one obsid's bundles.

    `expected` (n_components, n_narrow) are the photons that each component
    would give on this obsid.  A bundle lacks the components that are outside
    the field of view.
    """
    stack, camera = detections.stack, detections.stack.camera
    on = obsid.on_detector(camera, detections.position)
    result = []
    for b, members in enumerate(detections.bundles):
        here = members[on[members]]
        if here.size:
            key = ObsidBundle(stack.name, obsid.name, f"b{b + 1:04d}")
            names = tuple(f"r{i + 1:04d}" for i in here)
            position = detections.position[here]
            result.append(_draw(preset, camera, obsid, key, names, position, expected[here], rng))
    return result


def _draw(preset, camera, obsid, key, names, position, photons_of, rng) -> tuple[Bundle, Truth]:
    n = len(names)
    geometry = aperture_geometry(camera, obsid, position)
    centre = position.mean(axis=0, keepdims=True)
    density = np.array(camera.background) * obsid.seconds * obsid.chips[obsid.chip(centre)[0]]
    if preset.background_counts is not None:
        broad = camera.sums()[-1]
        wanted = rng.uniform(*preset.background_counts)
        density = density * wanted / (geometry["aper"][n, n] * (density @ broad))
    theta = np.concatenate([photons_of, density[None]])  # (n + 1, n_narrow)
    # The smaller aperture's photons are among the larger one's, and a wide band's
    # photons are those of its narrow bands.
    inner = rng.poisson(geometry["aper90"] @ theta)
    outer = rng.poisson(np.maximum(geometry["aper"] - geometry["aper90"], 0) @ theta)
    sums = camera.sums().astype(np.int64).T
    drawn = {"aper90": inner @ sums, "aper": (inner + outer) @ sums}
    E = exposures(camera, float(obsid.off_axis(centre)[0]), obsid.seconds)
    counts = {
        (band, aperture): drawn[aperture][:, i].copy()
        for i, band in enumerate(camera.bands)
        for aperture in APERTURES
    }
    F = {
        Matrix(band, aperture, quantity): geometry[aperture] * E[q, i]
        for q, quantity in enumerate(TABLE_1)
        for i, band in enumerate(camera.bands)
        for aperture in APERTURES
    }
    per_band = (theta @ camera.sums().T).T  # (n_bands, n + 1)
    intensity = per_band[None, :, :n] / E[:, :, None]
    background = per_band[None, :, n] / E
    bundle = Bundle(key, camera.name, names, counts, F)
    return bundle, Truth(camera.bands, intensity, background)


def aperture_geometry(camera: Camera, obsid: Obsid, position: np.ndarray) -> dict[str, np.ndarray]:
    """(n + 1, n + 1) PSF fractions and areas in pixels of both apertures: F at exposure 1.

    Source apertures are circles; the background aperture is a ring around all
    of them and the same for both kinds.
    """
    n = len(position)
    r90 = psf_radius(obsid.off_axis(position))
    distance = np.hypot(*(position[:, None] - position[None]).transpose(2, 0, 1))
    from_centre = np.hypot(*(position - position.mean(axis=0)).T)
    inner = float((from_centre + 2 * ECF90_APERTURE["aper"] * r90).max())
    ring = enclosed_fraction(from_centre, 3 * inner, r90) - enclosed_fraction(
        from_centre, inner, r90
    )
    result = {}
    for aperture in APERTURES:
        radius = ECF90_APERTURE[aperture] * r90
        matrix = np.empty((n + 1, n + 1))
        matrix[:n, :n] = enclosed_fraction(distance, radius[:, None], r90[None])
        matrix[:n, n] = np.pi * radius**2 / camera.pixel**2
        matrix[n, :n] = np.maximum(ring, 0)
        matrix[n, n] = np.pi * 8 * inner**2 / camera.pixel**2
        result[aperture] = matrix
    return result
