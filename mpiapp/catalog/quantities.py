"""The aperture quantities of the catalog, their units and their priors (memo, Table 1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple


class Matrix(NamedTuple):
    """Which of a bundle's matrices; with level and target it is a run."""

    band: str
    aperture: str
    quantity: str


@dataclass(frozen=True)
class Quantity:
    """One way of correcting F for exposure, and so one unit of intensity.

    Prior bounds are the upper ends of uniform priors that start at zero; the
    background bound is per pixel of aperture area.  `hrc_background_upper`
    differs from `background_upper` for energy flux only.  `exposure_unit` is the
    unit of the exposure in F.  `conversion` is the column of a source's flux for a net count rate
    of 1 / s: an energy flux of this kind is the rate in another unit.
    """

    name: str
    column: str
    description: str
    unit: str
    source_upper: float
    background_upper: float
    hrc_background_upper: float
    exposure_unit: str
    conversion: str = ""

    @property
    def exposure_column(self) -> str | None:
        """Where a flat table has the exposure; None for net counts, which need none."""
        if self.conversion:
            return "exposure_rate"
        return f"exposure_{self.name}" if self.exposure_unit else None

    def prior_upper(self, instrument: str) -> tuple[float, float]:
        """Upper prior bounds (source, background) for `instrument`, "ACIS" or "HRC" (Table 1)."""
        if instrument == "HRC":
            return self.source_upper, self.hrc_background_upper
        return self.source_upper, self.background_upper


# Memo, Table 1.
TABLE_1 = {
    q.name: q
    for q in (
        Quantity(
            "flux", "flux", "energy flux", "erg s-1 cm-2", 1e-8, 1e-12, 1e-13, "count erg-1 s cm2"
        ),
        Quantity(
            "photflux",
            "photflux",
            "photon flux",
            "photon s-1 cm-2",
            1e-2,
            1e-6,
            1e-6,
            "count photon-1 s cm2",
        ),
        Quantity("rate", "src_rate", "count rate", "count s-1", 10.0, 1e-3, 1e-3, "s"),
        Quantity("cnts", "src_cnts", "net counts", "count", 1e6, 10.0, 10.0, ""),
    )
}

_MODELS = {
    "powlaw": "power law",
    "bb": "blackbody",
    "brems": "bremsstrahlung",
    "apec": "hot plasma (APEC)",
}


def _model_flux(model: str, absorption: str) -> Quantity:
    """The energy flux that a net count rate stands for if the spectrum is that of a model."""
    of = replace(
        TABLE_1["flux"],
        name=model + absorption[:2],
        column=f"flux_{model}{absorption}",
        conversion=f"conversion_{model}{absorption}",
    )
    how = "unabsorbed energy flux" if absorption else "energy flux"
    return replace(of, description=f"{how} of a {_MODELS[model]}")


# Those with a conversion factor; names are at most 8 characters, as in results files.
MODEL_FLUXES = {
    q.name: q for a in ("", "_unabs") for q in (_model_flux(model, a) for model in _MODELS)
}
QUANTITIES = TABLE_1 | MODEL_FLUXES

# Energy ranges in keV of the catalog's bands.
BANDS = {
    "u": (0.2, 0.5),
    "s": (0.5, 1.2),
    "m": (1.2, 2.0),
    "h": (2.0, 7.0),
    "b": (0.5, 7.0),
    "w": (0.1, 10.0),
}
# The catalog's hardness ratios: the harder band and the softer one.
HARDNESS = {"hm": ("h", "m"), "hs": ("h", "s"), "ms": ("m", "s")}
INSTRUMENT_BANDS = {"ACIS": ("b", "h", "m", "s", "u"), "HRC": ("w",)}
APERTURES = ("aper", "aper90")
LEVELS = ("obsid", "stack", "master")


def in_order(bands: Iterable[str]) -> list[str]:
    """Bands in the order of the catalog, others after these by their names."""
    return sorted(bands, key=band_order)


def band_order(band: str) -> tuple[int, str]:
    """The key of that order."""
    names = list(BANDS)
    return (names.index(band) if band in names else len(names)), band
