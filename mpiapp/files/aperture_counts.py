"""Counts of aperture pairs as a table has told them, and what of its priors contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..catalog.fault import Fault, InputError
from ..catalog.priors import gamma_problem
from ..catalog.quantities import QUANTITIES
from .catalog_tables import CatalogTable
from .fields import RowError, missing
from .layouts import Layout
from .own_columns import MEASURED


@dataclass
class Counts:
    """Aperture pairs, n in the order of the table's rows.

    Attributes
    ----------
    source : CatalogTable
    layout : Layout
    rows : (n,) int
        The row of the table that describes each.
    numbers : dict
        Own column -> (n,) float64 in this project's unit, NaN where there is no value; psf_frac of
        bundles is (n, width).
    names : dict
        Own column -> (n,) list of str; None where there is none.
    gamma : dict
        Quantity -> (n, 2, 2) α − 1 and β of the Gamma priors of source and background, zeros where
        there is none; not of quantities without any.
    problems : dict
        Pair -> why it cannot be used.
    """

    source: CatalogTable
    layout: Layout
    rows: np.ndarray
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    names: dict[str, list[str | None]] = field(default_factory=dict)
    gamma: dict[str, np.ndarray] = field(default_factory=dict)
    problems: dict[int, RowError] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def called(self, own: str) -> str:
        """The table's name of one of this project's columns."""
        return self.layout.pairs[0].get(own, own)

    def where(self, pair: int) -> str:
        """The line or row of a pair."""
        return self.source.where(self.rows[pair])

    @property
    def is_known(self) -> np.ndarray:
        """(n,) whether the background is known instead of measured."""
        return np.isfinite(self.numbers.get("bkg", np.full(len(self), np.nan)))

    def relative_errors(self) -> np.ndarray:
        """(n,) those of known backgrounds, 0 without an error."""
        if "bkg_err" not in self.numbers:
            return np.zeros(len(self))
        error = np.nan_to_num(self.numbers["bkg_err"])
        return np.divide(error, self.numbers["bkg"], out=np.zeros(len(self)), where=error > 0)

    def exposures(self, quantity: str) -> np.ndarray | None:
        """(n, 2) exposures of source and background aperture in F; None if the table has none."""
        own = QUANTITIES[quantity].exposure_column
        if own is None:
            return np.ones((len(self), 2))
        if own not in self.numbers:
            return None
        source = self.numbers[own]
        background = self.numbers.get(f"{own}_bkg", source)
        background = np.where(np.isnan(background), source, background)
        return np.stack([source, background], axis=1)

    def conversion(self, quantity: str) -> np.ndarray | None:
        """(n,) flux for a net count rate of 1 / s, of model fluxes."""
        own = QUANTITIES[quantity].conversion
        return self.numbers[own] if own else None

    def lacks(self, quantity: str) -> np.ndarray:
        """(n,) whether a pair has no exposure for this quantity, or no conversion factor."""
        lacks = np.isnan(self.exposures(quantity)).any(axis=1)
        factors = self.conversion(quantity)
        return lacks if factors is None else lacks | np.isnan(factors)

    def faults(self) -> list[Fault]:
        """The problems, in the order of the table, for people."""
        return [
            fault(self.source, self.rows[pair], self.problems[pair])
            for pair in sorted(self.problems)
        ]


def fault(source: CatalogTable, row: int, error: InputError, bundle: str | None = None) -> Fault:
    """The message about a row that cannot be used."""
    kind = getattr(error, "kind", str(error))
    where = source.where(row)
    said = f"{source.name}, {where}: {error}"
    return Fault(said, source.path, bundle=bundle, place=where, kind=kind)


def check_backgrounds(counts: Counts) -> None:
    """Blame rows whose background is neither measured nor known, or both."""
    known = counts.is_known
    is_there = {own: np.isfinite(counts.numbers[own]) for own in MEASURED}
    for pair in np.flatnonzero(known & (is_there["cnts_bkg"] | is_there["area_bkg"])).tolist():
        both = next(own for own in ("cnts_bkg", "area_bkg") if is_there[own][pair])
        said = (
            f"columns {counts.called('bkg')} and {counts.called(both)}: the background is either "
            "known or measured, or it would count twice; leave one of them empty"
        )
        counts.problems.setdefault(pair, RowError(said, "two backgrounds"))
    for own in MEASURED:
        for pair in np.flatnonzero(~known & ~is_there[own]).tolist():
            counts.problems.setdefault(pair, missing(counts.called(own)))
    if "bkg_err" in counts.numbers:
        error = np.nan_to_num(counts.numbers["bkg_err"])
        for pair in np.flatnonzero(known & (error > counts.numbers["bkg"])).tolist():
            said = (
                f"column {counts.called('bkg_err')}: {error[pair]:g} is more than the "
                f"{counts.numbers['bkg'][pair]:g} counts that are expected, and no Gamma density "
                "with a mode is so wide; give a background aperture instead"
            )
            counts.problems.setdefault(pair, RowError(said, "bkg_err"))


def add_gamma(counts: Counts, quantity: str) -> None:
    """The Gamma priors of a quantity, by mean and rms or by α and β."""
    found = np.zeros((len(counts), 2, 2))
    nothing = np.full(len(counts), np.nan)
    for k, end in enumerate(("", "_bkg")):
        names = [f"prior_{kind}_{quantity}{end}" for kind in ("mean", "rms", "alpha", "beta")]
        mean, rms, alpha, beta = (counts.numbers.get(name, nothing) for name in names)
        by_moments = np.isfinite(mean) | np.isfinite(rms)
        by_shape = np.isfinite(alpha) | np.isfinite(beta)
        with np.errstate(all="ignore"):
            alpha = np.where(by_moments, (mean / rms) ** 2, alpha)
            beta = np.where(by_moments, mean / rms**2, beta)
        has = by_moments | by_shape
        why = gamma_problem(alpha, beta)
        why[by_moments & by_shape] = "either mean and rms, or α and β; leave one of them empty"
        if k == 1:
            why[counts.is_known] = "the background is known; give its error as bkg_err"
        for pair in np.flatnonzero(has & (why != "")).tolist():
            error = RowError(f"prior of {quantity}{end}: {why[pair]}", f"prior: {why[pair]}")
            counts.problems.setdefault(pair, error)
        found[has, k, 0], found[has, k, 1] = alpha[has] - 1.0, beta[has]
    if found.any():
        counts.gamma[quantity] = np.where(np.isfinite(found), found, 0.0)
