"""Mean energy of a source's photons from few events, some of them of the background."""

from __future__ import annotations

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


def source_energy(
    here: np.ndarray,
    beside: np.ndarray,
    ratio: float,
    band: tuple[float, float],
    photon_index: float,
) -> PhotonEnergy:
    """Mean energy of a source's photons in a band, by its events.

    here, beside : (m,) energies in keV of the events in the aperture and in the background region
    ratio : area of the aperture over that of the background region

    The mean e of the net events has the variance v = (net σ² + ratio (1 + ratio) Σ (E - e0)²) /
    net², the sum over events beside; e0 and σ are mean and scatter of a power law's photons: a
    scatter of the few events would go with their mean, and make it too low.  Sources of the field
    have e0 ± t, that of power laws of photon_index ± 0.4.  The answer is the mean of both, weighted
    with 1/v and 1/t²: e of a source of many counts, e0 of one that is lost in the background.  Its
    variance is 1 / (1/v + 1/t²), and v / (v + t²) of it is assumed.
    """
    expected = assumed_energy(band, photon_index)
    net = len(here) - ratio * len(beside)
    if net <= 0:
        return expected
    off, off_beside = here - expected.kev, beside - expected.kev
    variance = net * _variance(band, photon_index) + ratio * (1 + ratio) * (off_beside @ off_beside)
    noise = variance / expected.error**2
    excess = off.sum() - ratio * off_beside.sum()
    kev = float(np.clip(expected.kev + net * excess / (net**2 + noise), *band))
    assumed = float(noise / (net**2 + noise))
    return PhotonEnergy(kev, expected.error * assumed**0.5, assumed)


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
