"""The photometry of one problem, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from astropy import units

from .catalog.assemble import assemble_unnamed
from .catalog.bundle import with_known_background
from .catalog.fault import InputError
from .catalog.outcome import Flag, Outcome
from .catalog.priors import Gamma, column_gamma, prior_bounds
from .catalog.problem import Problem
from .catalog.problems import Problems
from .catalog.quantities import QUANTITIES
from .files.column_map import did_you_mean
from .files.column_units import factor
from .photometry.detection import Detection, WithoutSource, own_apertures
from .photometry.extras import background_numbers, correlations, fitted_backgrounds
from .photometry.ladder import Policy, Run
from .photometry.measuring import measure as solve
from .posterior import Posterior, Smoothing
from .posterior.intervals import highest_density
from .report.text import number


@dataclass(frozen=True, repr=False, kw_only=True)
class Measurement:
    """Mode and 68 % bounds of one source, in the unit of its quantity, and its posterior.

    Attributes
    ----------
    value, lolim, hilim : float
        NaN where NULL; value and lolim are 0 for an upper limit.
    mode, mean, rms : float
        Of the MPDF, also for an upper limit; of the posterior itself, not smoothed.
    noise : float
        What chance leaves in mode and bounds, in half-widths.
    outcome : Outcome
    flags : Flag
    n_draws, rhat, ess
        Of this source's own draws; 0 and NaN where the engine drew none.
    posterior : Posterior or None
        That of the last attempt; None where none succeeded or the source left the problem.
    column : int
        The source's place in it.
    problem : Problem or None
        That whose posterior it is, without obsids that had to be left out.
    smoothing : Smoothing
        How the posterior became mode and bounds.
    is_background : bool
        Whether it is a background, per pixel.
    """

    source: str
    quantity: str
    value: float
    lolim: float
    hilim: float
    mode: float
    mean: float
    rms: float
    noise: float
    n_draws: int
    rhat: float
    ess: float
    outcome: Outcome
    flags: Flag
    posterior: Posterior | None = None
    column: int = 0
    problem: Problem | None = None
    smoothing: Smoothing = field(default_factory=Smoothing)
    is_background: bool = False

    @property
    def unit(self) -> units.Unit:
        """The astropy unit of value, lolim, hilim, mode, mean and rms."""
        unit = units.Unit(QUANTITIES[self.quantity].unit)
        return unit / units.pix if self.is_background else unit

    def pdf(self, x) -> np.ndarray:
        """(m,) posterior density at x, per unit of x, not smoothed."""
        return self._posterior().pdf(self.column, np.asarray(x, float))

    def cdf(self, x) -> np.ndarray:
        """(m,) posterior probability of values of at most x."""
        return self._posterior().cdf(self.column, np.asarray(x, float))

    def quantile(self, p) -> np.ndarray:
        """(m,) where the posterior distribution function reaches p."""
        return self._posterior().quantile(self.column, np.asarray(p, float))

    def bounds(self, level: float) -> tuple[float, float]:
        """Lower and upper bound that enclose `level` of the MPDF, symmetric about the mode.

        Where they would pass 0, these are 0 and the quantile of that level.
        """
        smoothing = replace(self.smoothing, level=level, upper_limit="quantile")
        found = self._posterior().summary(self.column, smoothing)
        return found.lolim, found.hilim

    def highest_density(self, level: float = 0.68) -> tuple[float, float]:
        """The shortest interval that holds `level` of the posterior, not smoothed."""
        return highest_density(self.quantile, level)

    @property
    def maximum_likelihood(self) -> tuple[float, float]:
        """s_ML and σ_ML (memo, Eq. 8); it may be negative."""
        best, sigma = self._problem().maximum_likelihood()
        return float(best[self.column]), float(sigma[self.column])

    @property
    def no_source(self) -> float:
        """The chance of so many counts or more in the source's apertures without the source.

        From backgrounds and neighbours, which the other apertures tell.
        """
        return self._without().chance

    def detection_limit(self, false_alarm: float = 0.1, power: float = 0.5) -> float:
        """How bright a source is that is detected with the chance `power` (Kashyap et al. 2010).

        Detected is what has more counts than come without a source with the chance `false_alarm`
        at most; as CIAO's aplimits, whose defaults these are.
        """
        return self._without().limit(Detection(false_alarm, power))

    @property
    def backgrounds(self) -> list[Measurement]:
        """The backgrounds of the source's obsids, per pixel; none that are frozen or known exactly.

        One that is known with an error is in units of what was expected.
        """
        problem, posterior = self._problem(), self._posterior()
        numbers = background_numbers(problem, posterior, self.smoothing)
        return [
            replace(self, source=problem.backgrounds[k], column=problem.n_sources + k,
                    is_background=True, **_as_dict(numbers[k]))
            for k in fitted_backgrounds(problem)
        ]  # fmt: skip

    @property
    def correlations(self) -> dict[str, float]:
        """Correlation coefficient of the joint posterior with every other source and background."""
        mine = correlations(self._posterior())[self.column]
        labels = enumerate(self._problem().labels)
        return {label: float(mine[i]) for i, label in labels if i != self.column}

    def _without(self) -> WithoutSource:
        problem = self._problem()
        if self.is_background:
            raise ValueError(f"{self.source} is a background: it has no detection")
        return WithoutSource(problem, self.column, own_apertures(problem)[self.column])

    def _problem(self) -> Problem:
        if self.problem is None:
            raise ValueError(f"{self.source} has no problem: {self.outcome.text}")
        return self.problem

    def plot(self, axes=None):
        """Draw the posterior with mode and bounds into matplotlib's `axes`, which is returned."""
        from .report.one_result import draw

        return draw(self, axes)

    def _repr_html_(self) -> str:
        from .report.one_result import as_html

        return as_html(self)

    def _posterior(self) -> Posterior:
        if self.posterior is None:
            raise ValueError(f"{self.source} has no posterior: {self.outcome.text}")
        return self.posterior

    def __repr__(self) -> str:
        said = f"{number(self.value)} ({number(self.lolim)} to {number(self.hilim)})"
        if self.outcome == Outcome.UPPER_LIMIT:
            said = f"< {number(self.hilim)}"
        said = (
            self.outcome.text
            if self.outcome.is_null
            else f"{said} {QUANTITIES[self.quantity].unit}{' / pix' if self.is_background else ''}"
        )
        flags = f", {self.flags.text}" if self.flags else ""
        return f"<{self.source} {self.quantity}: {said}{flags}>"


class Measurements(list[Measurement]):
    """The results of one problem, a `Measurement` per source."""

    def corner(self):
        """matplotlib's figure of the joint posterior: marginals, pairs and traces.

        Of sources and backgrounds the first twelve.  Where the engine makes no draws, those shown
        are drawn by gibbs.

        Raises ValueError if there is no posterior, InputError if matplotlib is not installed.
        """
        from .report.plot import posterior_corner

        found = next((m for m in self if m.posterior is not None), None)
        if found is None:
            raise ValueError("no source has a posterior")
        return posterior_corner(found.problem, found.posterior, found.quantity, found.smoothing)

    def _repr_html_(self) -> str:
        return "".join(m._repr_html_() for m in self)


def measure(
    counts,
    F,
    n_sources: int,
    quantity: str = "photflux",
    *,
    engine: str = "exact",
    seed: int = 0,
    instrument: str = "ACIS",
    prior_upper: dict[str, float] | None = None,
    priors: Mapping[int, Gamma] | None = None,
    background=None,
    background_error: float = 0.0,
    policy: Policy | None = None,
    **settings,
) -> Measurements:
    """Mode and 68 % bounds of every source of one problem C ~ Poisson(F·θ).

    Parameters
    ----------
    counts : (n_rows,) array
        Raw counts of the apertures (Eqs. 1 and 2, C): each obsid's rows
        together, its background aperture last.  Of astropy units, here and in F,
        those that can be converted are, and others refused.
    F : (n_rows, n_sources + n_obsids) array
        Exposure-corrected PSF matrix (Eqs. 1–3, F): source columns first, then
        a background column per obsid in the order of the rows.
    n_sources : int
        Number of source columns.
    quantity : str
        "flux", "photflux", "rate" or "cnts": decides the unit and the priors (Table 1).
    engine : str
        The sampler; jobs take "pymc3" by default.
    seed : int
        The same seed gives the same result.
    prior_upper : dict, optional
        Upper prior bounds that replace Table 1's: {"source": …, "background": …}.
    priors : dict of column of F -> Gamma, optional
        Gamma priors of sources or backgrounds, from another epoch for example; within the bounds.
    background : (n_sources,) array, optional
        Counts to be expected from a known background in each source's aperture, in one obsid.
        Then counts are (n_sources,) and F (n_sources, n_sources): without a background aperture.
    background_error : float
        Relative error of that, at most 1.
    policy : Policy, optional
        Rules for bounds, retries and NULL; the catalog's by default.
    **settings
        Settings of the engine, e.g. chains=4.

    Returns
    -------
    Measurements
        A list with one `Measurement` per source, in column order: value, lolim, hilim, mode,
        outcome, flags, rhat, ess, with `unit`, and `pdf`, `cdf` and `quantile` of the posterior;
        bounds of any level, the detection limit, the chance that there is no source, and the
        backgrounds.  Its `corner` draws the joint posterior.

    Raises
    ------
    InputError
        If counts and F cannot be a problem: shapes, units, negative or fractional
        counts, or rows that do not belong to exactly one background.
    EngineMissing
        If the engine's package is not installed.
    SamplingError
        If every rung of the ladder of section 7 failed.
    """
    from .engines import create

    check_engine(engine)
    counts, F = plain(counts, "count", "counts"), plain(F, exposure_unit(quantity), "F")
    if background is None:
        _check_orientation(counts, F)
        problem = Problem.of(counts, F, n_sources, quantity, instrument, prior_upper)
        problems = Problems.of([problem])
    else:
        background = plain(background, "count", "background")
        C, whole = with_known_background(counts, F, background, background_error)
        upper = prior_bounds([quantity], [instrument], n_sources, prior_upper)
        problems = assemble_unnamed([C[None]], [whole[None]], upper)
    if priors:
        problems = replace(problems, gamma=column_gamma(priors, problems.F.shape[2])[None])
    engine = create(engine, **settings)
    policy = policy or Policy()
    run = solve(problems, engine, policy, [seed], [quantity], keep=True).runs[0]
    if run.error is not None:
        raise run.error
    n = len(run.sources)
    return Measurements(_measurement(run, i, quantity, policy.smoothing) for i in range(n))


def _measurement(run: Run, i: int, quantity: str, smoothing: Smoothing) -> Measurement:
    sources = run.problem.sources if run.posterior else ()
    known = run.sources[i] in sources
    return Measurement(
        source=run.sources[i],
        quantity=quantity,
        **_as_dict(run.numbers[i]),
        posterior=run.posterior if known else None,
        column=sources.index(run.sources[i]) if known else 0,
        problem=run.problem if known else None,
        smoothing=smoothing,
    )


def _as_dict(numbers: np.void) -> dict:
    """NUMBERS of one result by name."""
    found = dict(zip(numbers.dtype.names, numbers.item()))
    return found | {"outcome": Outcome(found["outcome"]), "flags": Flag(found["flags"])}


def exposure_unit(quantity: str) -> str:
    """The unit of F, areas in pixels left out; InputError if there is no such quantity."""
    if quantity not in QUANTITIES:
        raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
    return QUANTITIES[quantity].exposure_unit


def plain(values, unit: str, what: str) -> np.ndarray:
    """Numbers in `unit`, converted if they have one; InputError if that is not possible."""
    number = factor(getattr(values, "unit", None), unit, what)
    try:
        return np.asarray(getattr(values, "value", values), dtype=float) * number
    except (TypeError, ValueError):
        raise InputError(f"{what}: expected numbers, not {values!r}") from None


def check_engine(name: str) -> None:
    """Raise InputError if there is no engine of that name, EngineMissing if it cannot draw here."""
    from .engines import ENGINES, require

    if name not in ENGINES and ":" not in name:
        known = f"expected one of {', '.join(ENGINES)}"
        raise InputError(f"unknown engine {name!r}{did_you_mean(name, ENGINES)}: {known}")
    require(name)


def _check_orientation(counts: np.ndarray, F: np.ndarray) -> None:
    """Raise InputError for several problems at once, and for F of one obsid that is transposed."""
    if counts.ndim > 1 or F.ndim > 2:
        raise InputError(
            f"counts {counts.shape} and F {F.shape}: expected one problem, (n_rows,) and (n_rows, "
            "n_columns); `mpiapp.measure_table` measures many"
        )
    if F.ndim < 2 or F.shape[0] != F.shape[1] or len(F) < 2:
        return
    own, leaks = F.diagonal()[:-1], F[-1, :-1]
    # More of every source in the background's aperture than in its own, and own areas below a
    # pixel: areas stand where fractions should.
    if leaks.min() > own.max() and F[:-1, -1].max() < own.min():
        raise InputError(
            "F is transposed: a row is an aperture, a column a source, and the last column has the "
            "areas"
        )
