"""Gamma densities as tables and in results files, and hardness ratios in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import Polynomial
from results_files import publish
from scipy import optimize, stats

from mpiapp.files.schema import MPDF_DTYPE, PHOTOMETRY_DTYPE


class Gamma(NamedTuple):
    """A photon flux with the density xᵃ⁻¹ e⁻ᵖˣ."""

    a: float
    p: float

    def table(self, n=128):
        """(low, high, density) down to e⁻²⁴ of the peak, as /mpdf has it."""
        gamma = stats.gamma(self.a, scale=1 / self.p)
        mode = max(self.a - 1, 1e-12) / self.p

        def above(x):
            return gamma.logpdf(x) - gamma.logpdf(mode) + 24.0

        high = optimize.brentq(above, mode, (self.a + 30 * np.sqrt(self.a) + 60) / self.p)
        low = optimize.brentq(above, 1e-12 * mode, mode) if self.a > 1 else 0.0
        return low, high, gamma.pdf(np.linspace(low, high, n)).astype("f4")


def hardness(x: Gamma, y: Gamma, level=0.68):
    """(mode, lolim, hilim) of H, whose (1+H)p/((1+H)p + (1−H)q) is a Beta variable."""
    (a, p), (b, q) = x, y

    def cdf(hardness):
        h = np.clip(hardness, -1.0, 1.0)
        return stats.beta(a, b).cdf(p * (1 + h) / (p * (1 + h) + q * (1 - h)))

    def log_density(h):
        parts = (a - 1) * np.log1p(h) + (b - 1) * np.log1p(-h)
        return parts - (a + b) * np.log((1 + h) * p + (1 - h) * q)

    total, up, down = Polynomial([p + q, p - q]), Polynomial([1, 1]), Polynomial([1, -1])
    slope = (a - 1) * down * total - (b - 1) * up * total - (a + b) * (p - q) * up * down
    inside = [r.real for r in slope.roots() if abs(r.imag) < 1e-9 and -1 < r.real < 1]
    mode = max([*inside, -1 + 1e-13, 1 - 1e-13], key=log_density)
    width = optimize.brentq(lambda d: cdf(mode + d) - cdf(mode - d) - level, 0, 2, xtol=1e-15)
    return np.array([mode, max(mode - width, -1), min(mode + width, 1)])


def write_results(folder, found, quantity="photflux"):
    """A results file of fluxes: (level, target, component, flags, band, Gamma) of each.

    An exponential is an upper limit, below which 68 % of it lies.
    """
    photometry = np.zeros(len(found), PHOTOMETRY_DTYPE)
    mpdf = np.zeros(len(found), MPDF_DTYPE)
    for i, (level, target, component, flags, band, flux) in enumerate(found):
        photometry[["level", "target", "component", "band", "aperture", "quantity"]][i] = tuple(
            word.encode() for word in (level, target, component, band, "aper", quantity)
        )
        photometry[["flags", "mean", "rms"]][i] = flags, flux.a / flux.p, flux.a**0.5 / flux.p
        value, half = (flux.a - 1) / flux.p, flux.a**0.5 / flux.p
        ends = (value - half, value + half) if flux.a > 1 else (0.0, -np.log(0.32) / flux.p)
        photometry[["value", "lolim", "hilim", "outcome"]][i] = value, *ends, flux.a == 1
        mpdf[["low", "high", "density"]][i] = flux.table()
    photometry["run_id"] = mpdf["run_id"] = np.arange(len(found))
    return publish(folder / "results.h5", photometry, mpdf=mpdf)
