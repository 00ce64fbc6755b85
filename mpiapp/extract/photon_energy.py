"""Mean energy of a source's photons from few events, some of them of the background."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .arf import power_law_kev

# How much photon indices differ from source to source.
_SCATTER = 0.4


def source_kev(
    here: np.ndarray,
    beside: np.ndarray,
    ratio: float,
    band: tuple[float, float],
    photon_index: float,
) -> float:
    """Mean energy in keV of a source's photons in a band.

    here, beside : energies of the events in the aperture and in the background region
    ratio : area of the aperture over that of the background region

    The mean e of the events less the background's has the variance v = (Σ(E - e0)² of the aperture
    + ratio² that of the background) / net²; sources of the field have e0 ± t, that of power laws of
    photon_index ± 0.4.  The answer is the mean of both, weighted with 1/v and 1/t²: that of the
    events for a source of many counts, e0 for one that is lost in the background.
    """
    expected, scatter = _expected(band, photon_index)
    net = len(here) - ratio * len(beside)
    if net <= 0:
        return expected
    off, off_beside = here - expected, beside - expected
    noise = (off @ off + ratio**2 * (off_beside @ off_beside)) / scatter**2
    excess = off.sum() - ratio * off_beside.sum()
    return float(np.clip(expected + net * excess / (net**2 + noise), *band))


@lru_cache(maxsize=64)
def _expected(band: tuple[float, float], photon_index: float) -> tuple[float, float]:
    """Mean energy of a source's photons in keV, and its scatter."""
    soft, hard = (power_law_kev(band, photon_index + step) for step in (_SCATTER, -_SCATTER))
    return power_law_kev(band, photon_index), (hard - soft) / 2
