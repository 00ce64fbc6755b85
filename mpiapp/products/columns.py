"""The columns of the catalog's products: names, units, UCDs and descriptions, in one place.

Names are those of the Chandra Source Catalog (`flux_aper_lolim_b`, `flux_aper90_b`,
`flux_aper_avg_b`); what the catalog has no name for follows the same pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from astropy.units import Unit

from ..catalog.quantities import (
    APERTURES,
    BANDS,
    HARDNESS,
    MODEL_FLUXES,
    QUANTITIES,
    Matrix,
    Quantity,
    in_order,
)


class CatalogColumn(NamedTuple):
    """One column of a product."""

    name: str
    unit: str
    ucd: str
    description: str
    dtype: str = "f8"


Energies = Mapping[str, tuple[float, float]]


class Compared(NamedTuple):
    """Which fluxes are compared between bands and observations, and which bands there are.

    quantity : that of hardness ratios, variability, significance and blocks
    hardness : the harder band and the softer one of each ratio
    energies : of bands that are not the catalog's, in keV
    """

    quantity: str = "photflux"
    hardness: Mapping[str, tuple[str, str]] = HARDNESS
    energies: Energies = BANDS


CATALOG = Compared()


class Field(NamedTuple):
    """One number of a result: what is added to the column's name, and how it is got.

    source : column of /photometry, "alpha" or "beta" (of the Gamma distribution with the
    posterior's mean and variance), "significance" (value in half-widths of the bounds),
    "n_obsids" of /runs, or column of /extras
    """

    source: str
    suffix: str
    ucd: str
    description: str
    dtype: str = "f8"


BASIC = (
    Field("value", "", "", "mode of the MPDF; 0 for an upper limit"),
    Field("lolim", "_lolim", "stat.min", "lower 68 % bound; 0 for an upper limit"),
    Field("hilim", "_hilim", "stat.max", "upper 68 % bound, or upper limit"),
    Field("outcome", "_outcome", "meta.code", "0 measured, 1 upper limit, 10 and above NULL", "i2"),
    Field("flags", "_flags", "meta.code", "bits of the fallbacks that were used", "i4"),
)
EXTRAS = {
    "mode": Field("mode", "_mode", "", "mode of the MPDF, not set to 0 for limits"),
    "mean": Field("mean", "_mean", "stat.mean", "mean of the posterior"),
    "rms": Field("rms", "_rms", "stat.stdev", "standard deviation of the posterior"),
    "gamma_alpha": Field("alpha", "_alpha", "stat.param", "shape of the Gamma with that mean, rms"),
    "gamma_beta": Field("beta", "_beta", "stat.param", "rate of the Gamma with that mean, rms"),
    "noise": Field("noise", "_noise", "stat.error", "noise of mode or bounds in half-widths", "f4"),
    "n_obsids": Field("n_obsids", "_n_obsids", "meta.number", "observations that entered", "i4"),
}  # fmt: skip
# Those that results have where [extras] of their job asked for them.
OF_JOB = {
    name: Field(name, f"_{name}", ucd, description)
    for name, ucd, description in (
        ("ml", "stat.fit.param", "maximum-likelihood solution"),
        ("ml_sigma", "stat.stdev", "standard deviation of the maximum-likelihood solution"),
        ("no_source", "stat.probability", "chance of so many counts or more without the source"),
        ("threshold", "stat.param", "counts in its apertures that a detection exceeds"),
        ("detection_limit", "stat.param", "how bright a source has to be to be detected"),
        ("hdi_lo", "stat.min", "lower bound of the interval of highest density"),
        ("hdi_hi", "stat.max", "upper bound of the interval of highest density"),
    )
}
EXTRAS |= OF_JOB
# Of numbers in another unit than the quantity's.
_UNITS = dict.fromkeys(("outcome", "flags", "alpha", "noise", "n_obsids", "no_source"), "")
_UNITS["threshold"] = "ct"

_RANGES = {
    "u": "em.X-ray.soft", "s": "em.X-ray.soft", "m": "em.X-ray.medium", "h": "em.X-ray.hard",
    "b": "em.X-ray", "w": "em.X-ray",
}  # fmt: skip
# In keV, as the virtual observatory divides X-rays.
_ENERGIES = {"em.X-ray.soft": (0.12, 2), "em.X-ray.medium": (2, 12), "em.X-ray.hard": (12, 120)}
_PRIMARY = (
    "meta.code",
    "meta.number",
    "stat.stdev",
    "stat.param",
    "stat.error",
    "stat.fit.param",
    "stat.probability",
)  # words that come first
_WORDS = {"flux": "phot.flux", "photflux": "phot.flux", "rate": "phot.count", "cnts": "phot.count"}
_WORDS |= dict.fromkeys(MODEL_FLUXES, "phot.flux")

KEYS = {
    "obsid": (
        CatalogColumn("stack", "", "meta.id", "detection stack", "U64"),
        CatalogColumn("obsid", "", "meta.id;obs", "observation", "U16"),
        CatalogColumn("bundle", "", "meta.id", "sources fitted together", "U32"),
        CatalogColumn("component", "", "meta.id;meta.main", "source as the stack names it", "U48"),
    ),
    "stack": (
        CatalogColumn("stack", "", "meta.id", "detection stack", "U64"),
        CatalogColumn("bundle", "", "meta.id", "sources fitted together", "U32"),
        CatalogColumn("component", "", "meta.id;meta.main", "source as the stack names it", "U48"),
    ),
    "master": (CatalogColumn("name", "", "meta.id;meta.main", "master source", "U48"),),
    "block": (
        CatalogColumn("name", "", "meta.id;meta.main", "master source", "U48"),
        CatalogColumn("block", "", "meta.id;time.interval", "its Bayesian Block", "U16"),
    ),
}


HARDNESS_FIELDS = (
    Field("mode", "", "", "mode of the density"),
    Field("lolim", "_lolim", "stat.min", "lower 68 % bound; -1 where it reaches that"),
    Field("hilim", "_hilim", "stat.max", "upper 68 % bound; 1 where it reaches that"),
)


def fields(extras: Sequence[str] = ()) -> tuple[Field, ...]:
    """The numbers of every result, with the chosen of EXTRAS.

    Raises ValueError for one that is not there.
    """
    if unknown := [name for name in extras if name not in EXTRAS]:
        raise ValueError(f"{unknown[0]!r}: expected some of {', '.join(EXTRAS)}")
    return (*BASIC, *(EXTRAS[name] for name in extras))


def _range(band: str, energies: Energies) -> tuple[str, str]:
    """A band in words, and the UCD of its energies.

    That is the catalog's for its bands, and of others the range of the virtual observatory that
    they lie in, if they do.
    """
    if band in BANDS:
        low, high = BANDS[band]
        return f"{low:g}-{high:g} keV", _RANGES[band]
    if band not in energies:
        return f"band {band}", "em.X-ray"
    low, high = energies[band]
    ucd = next((u for u, (a, b) in _ENERGIES.items() if a <= low < high <= b), "em.X-ray")
    return f"{low:g}-{high:g} keV", ucd


def column(
    matrix: Matrix, field: Field, average: bool = False, energies: Energies = BANDS
) -> CatalogColumn:
    """The column of one number of one band, aperture and quantity.

    energies : of bands that are not the catalog's, in keV
    """
    quantity = QUANTITIES[matrix.quantity]
    name = f"{quantity.column}_{matrix.aperture}{'_avg' if average else ''}"
    name = f"{name}{field.suffix}_{matrix.band}"
    words, energy = _range(matrix.band, energies)
    unit = _UNITS.get(field.source, quantity.unit)
    if field.source == "beta":
        unit = (1 / Unit(unit)).unit.to_string("fits")
    about = f"{_WORDS[matrix.quantity]};{energy}"
    ucd = _ucd(field, about)
    what = (
        f"{quantity.description}, {'ECF90' if matrix.aperture == 'aper90' else 'source'} aperture"
    )
    where = words + (", all observations" if average else "")
    return CatalogColumn(name, unit, ucd, f"{field.description}: {what}, {where}", field.dtype)


def _ucd(field: Field, about: str) -> str:
    if field.ucd in _PRIMARY:
        return f"{field.ucd};{about}"
    return about if not field.ucd else f"{about};{field.ucd}"


def plain_column(quantity: Quantity, field: Field) -> CatalogColumn:
    """A column of `mpiapp measure`, which knows neither band nor aperture."""
    return CatalogColumn(
        quantity.column + field.suffix,
        _UNITS.get(field.source, quantity.unit),
        _ucd(field, f"{_WORDS[quantity.name]};em.X-ray"),
        f"{field.description}: {quantity.description}",
    )


def columns(
    matrices: Sequence[Matrix],
    chosen: Sequence[Field],
    average: bool = False,
    energies: Energies = BANDS,
) -> Iterator[tuple[Matrix, Field, CatalogColumn]]:
    """Every column of the given matrices, band by band within a quantity."""
    wanted = set(matrices)
    bands = in_order({matrix.band for matrix in matrices})
    for quantity in QUANTITIES:
        for aperture in APERTURES:
            for band in bands:
                matrix = Matrix(band, aperture, quantity)
                if matrix in wanted:
                    for field in chosen:
                        yield matrix, field, column(matrix, field, average, energies)


def significance_columns(
    matrices: Sequence[Matrix], compared: Compared = CATALOG
) -> Iterator[tuple[Matrix, Field, CatalogColumn]]:
    """As `columns`: the catalog's significance, from the flux in the source aperture."""
    for band in in_order({matrix.band for matrix in matrices}):
        matrix = Matrix(band, "aper", compared.quantity)
        if matrix in matrices:
            words, energy = _range(band, compared.energies)
            field = Field("significance", "", "", "")
            name, word = QUANTITIES[compared.quantity].description, _WORDS[compared.quantity]
            said = f"{name} / ((hilim - lolim) / 2), 0 for an upper limit, {words}"
            ucd = f"stat.value;{word};{energy}"
            yield matrix, field, CatalogColumn(f"flux_significance_{band}", "", ucd, said)


def hardness_column(
    pair: str,
    field: Field,
    average: bool = False,
    compared: Compared = CATALOG,
) -> CatalogColumn:
    """The column of one number of a hardness ratio."""
    name = f"hard_{'avg_' if average else ''}{pair}{field.suffix}"
    ucd = f"{_WORDS[compared.quantity]};arith.ratio;em.X-ray{';' + field.ucd if field.ucd else ''}"
    where = ", all observations" if average else ""
    return CatalogColumn(name, "", ucd, f"{field.description}: {_ratio(pair, compared)}{where}")


def _ratio(pair: str, compared: Compared) -> str:
    harder, softer = compared.hardness[pair]
    of = QUANTITIES[compared.quantity].description
    return f"hardness ratio ({harder} - {softer}) / ({harder} + {softer}), {of}"


# Where var_inter_index becomes 3, 4, … 8, in D per degree of freedom, for two observations and for
# more: read off published indices and probabilities (docs/variability.md).
INDEX_STEPS = {2: (0.4, 0.7, 1.0, 2.7, 7.0, 12.0), 3: (0.8, 1.0, 1.15, 2.1, 3.8, 5.5)}


def variability_columns(
    band: str,
    compared: Compared = CATALOG,
) -> tuple[CatalogColumn, ...]:
    """Those of the flux of a band: the catalog's probability, index and sigma, and ours."""
    words, energy = _range(band, compared.energies)
    quantity, word = QUANTITIES[compared.quantity], _WORDS[compared.quantity]
    about, unit = f"{quantity.description}, source aperture, {words}", quantity.unit
    return (
        CatalogColumn(
            f"var_inter_prob_{band}", "", f"stat.probability;src.var;{energy}",
            f"probability that it varies between observations: {about}"),
        CatalogColumn(
            f"var_inter_index_{band}", "", f"src.var.index;{energy}",
            f"0 to 8, above 5 where it most likely varies between observations: {about}", "i2"),
        CatalogColumn(
            f"var_inter_sigma_{band}", unit, f"stat.stdev;{word};{energy}",
            f"how far the most deviant observation is from the common flux: {about}"),
        CatalogColumn(
            f"var_chance_{band}", "", f"stat.probability;src.var;{energy}",
            f"chance that a constant source has such observations, by likelihoods: {about}"),
        CatalogColumn(
            f"var_spread_{band}", unit, f"stat.stdev;{word};{energy}",
            f"spread of the observations about their error-weighted mean: {about}"),
    )  # fmt: skip


def hardness_variability_columns(
    pair: str,
    compared: Compared = CATALOG,
) -> tuple[CatalogColumn, CatalogColumn]:
    """Those of a hardness ratio: probability and sigma."""
    about, word = _ratio(pair, compared), _WORDS[compared.quantity]
    return (
        CatalogColumn(
            f"var_inter_hard_prob_{pair}", "", "stat.probability;src.var;em.X-ray",
            f"probability that it varies between observations: {about}"),
        CatalogColumn(
            f"var_inter_hard_sigma_{pair}", "", f"stat.stdev;{word};arith.ratio;em.X-ray",
            f"spread of the observations about their error-weighted mean: {about}"),
    )  # fmt: skip


HARDNESS_FLAG = CatalogColumn(
    "var_inter_hard_flag", "", "meta.code;src.var",
    "1 if a hardness ratio varies between observations with a chance below 0.001", "i2",
)  # fmt: skip


def empty(n: int, dtype: str) -> np.ma.MaskedArray:
    """A column of n values, all NULL."""
    fill = {"f": np.nan, "i": 0, "U": ""}[dtype[0]]
    data = np.full(n, fill, dtype=dtype)
    return np.ma.MaskedArray(data, mask=np.full(n, dtype[0] != "U"))
