"""Mean energy of a source's photons from few events, some of them of background and neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .arf import power_law_kev

# How much photon indices differ from source to source.
_SCATTER = 0.4


class PhotonEnergy(NamedTuple):
    """Mean energy of a source's photons in a band.

    kev : the mean, and its standard deviation `error`
    assumed : part of it that is the power law's and not of the source's events, 0 to 1; as much of
    the variance is common to all observations of the source
    """

    kev: float
    error: float
    assumed: float


def source_energies(
    F: np.ndarray,
    energies: Sequence[np.ndarray],
    band: tuple[float, float],
    photon_index: float,
) -> list[PhotonEnergy]:
    """Mean energy of the photons of each of a bundle's n sources in a band, by their events.

    F : (n + 1, n + 1) PSF fractions, and in its last column areas, of apertures and background
    energies : n + 1 arrays, keV of the events in each of these regions

    With A the inverse of F, S = A C are the net counts (Eq. 8) and X = A Σ (E - e0) their energies
    in excess of e0, without those of background and neighbours.  e0 and σ are mean and scatter of
    a power law's photons.  The mean e0 + X/S has the variance v = Σ_k A_ik² V_k / S², V_k being
    what Σ (E - e0)² is expected to be in region k: σ² for each photon of a source, since a scatter
    of the few events would go with their mean, and what is measured for the background.  Sources
    of the field have e0 ± t, that of power laws of photon_index ± 0.4.  The answer is the mean of
    both, weighted with 1/v and 1/t²: e0 + X/S of a source of many counts, e0 of one that is lost
    in background or neighbours.  Its variance is 1 / (1/v + 1/t²), and v / (v + t²) of it is
    assumed.
    """
    expected = assumed_energy(band, photon_index)
    off = [values - expected.kev for values in energies]
    sums = np.array([(len(x), x.sum(), x @ x) for x in off])
    try:
        A = np.linalg.inv(F)
    except np.linalg.LinAlgError:  # apertures that tell nothing apart
        return [expected] * (len(F) - 1)
    net, excess, squares = (A @ sums).T
    squares[:-1] = _variance(band, photon_index) * net[:-1]
    noise = A**2 @ (F @ np.maximum(squares, 0)) / expected.error**2
    found = []
    for s, x, n in zip(net[:-1], excess, noise):
        if s <= 0:
            found.append(expected)
            continue
        kev = float(np.clip(expected.kev + s * x / (s**2 + n), *band))
        assumed = float(n / (s**2 + n))
        found.append(PhotonEnergy(kev, expected.error * assumed**0.5, assumed))
    return found


@lru_cache(maxsize=64)
def _variance(band: tuple[float, float], photon_index: float) -> float:
    """Variance in keV² of the energies of a power law's photons: its mean energy, weighted so."""
    mean = power_law_kev(band, photon_index)
    return mean * power_law_kev(band, photon_index - 1) - mean**2


@lru_cache(maxsize=64)
def assumed_energy(band: tuple[float, float], photon_index: float) -> PhotonEnergy:
    """Mean energy of the photons of a power law in a band."""
    soft, hard = (power_law_kev(band, photon_index + step) for step in (_SCATTER, -_SCATTER))
    return PhotonEnergy(power_law_kev(band, photon_index), (hard - soft) / 2, 1.0)
