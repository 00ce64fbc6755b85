"""Matrices of model fluxes: those of net count rates, in the unit that a conversion factor gives.

The catalog multiplies a source's net count rate by the flux that a spectral model has for a rate
of 1 / s.  Counts of the source stand for that spectrum in whichever aperture they are, so the
factor belongs to the source's column of F, not to an aperture's row.
"""

from __future__ import annotations

import numpy as np


def model_matrices(rate: np.ndarray, factors: np.ndarray, is_known: bool = False) -> np.ndarray:
    """F (…, n_rows, n + 1) of a model flux from that of count rates, background last (Eq. 1).

    factors : (…, n) flux of each source for a net count rate of 1 / s, in erg cm-2 count-1
    is_known : whether the background is known: its column has expected counts, and stays

    In one obsid the posterior of a flux is that of the rate times the factor.  The background has
    no model: its column has the mean of the factors, which changes the unit of a nuisance only.
    """
    of_background = factors.mean(axis=-1, keepdims=True)
    of_background = np.ones_like(of_background) if is_known else of_background
    columns = np.concatenate([factors, of_background], axis=-1)
    return rate / columns[..., None, :]
