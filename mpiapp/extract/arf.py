"""Effective areas: exposure and mean photon energy of a power law, where there is no map."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..catalog.fault import InputError
from .fits_input import open_fits


class BandArea(NamedTuple):
    """For a band: effective area in cm², mean energy in keV of a photon that arrives."""

    area: float
    kev: float


@lru_cache(maxsize=8)  # a source's bands share it
def read_arf(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper energies in keV and effective areas in cm² of an ARF (OGIP)."""
    with open_fits(path) as hdus:
        for hdu in hdus:
            columns = getattr(hdu, "columns", None)
            if columns is not None and {"ENERG_LO", "ENERG_HI", "SPECRESP"} <= set(columns.names):
                low, high, area = (
                    np.asarray(hdu.data[name], dtype=np.float64)
                    for name in ("ENERG_LO", "ENERG_HI", "SPECRESP")
                )
                break
        else:
            raise InputError(f"{path}: no table with ENERG_LO, ENERG_HI, SPECRESP; name an ARF")
    if not (np.isfinite(area).all() and area.min(initial=0) >= 0 and (high > low).all()):
        raise InputError(f"{path}: areas below 0, NaN, or energies that do not grow")
    return low, high, area


def band_area(arf, band: tuple[float, float], photon_index: float) -> BandArea:
    """The band's effective area and mean energy for a power law E^-photon_index at the telescope.

    area = ∫ A(E) N(E) dE / ∫ N(E) dE,  kev = ∫ E N(E) dE / ∫ N(E) dE, so that counts = photon
    flux x area x seconds and energy flux = photon flux x kev
    """
    low, high, area = arf
    low, high = np.clip(low, *band), np.clip(high, *band)
    middle = np.sqrt(np.maximum(low, 1e-3) * np.maximum(high, 1e-3))
    photons = middle**-photon_index * (high - low)
    total = photons.sum()
    if not total > 0:
        raise InputError(f"an ARF without energies in {band[0]}-{band[1]} keV")
    return BandArea(float(area @ photons / total), float(middle @ photons / total))


def power_law_kev(band: tuple[float, float], photon_index: float) -> float:
    """Mean energy in keV of the photons of a power law in a band, whatever is detected of them."""
    edges = np.geomspace(*band, 201)
    flat = edges[:-1], edges[1:], np.ones(200)
    return band_area(flat, band, photon_index).kev
