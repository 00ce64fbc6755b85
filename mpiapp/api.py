"""The photometry of one problem, for notebooks."""

from __future__ import annotations

import numpy as np

from .catalog.bundle import InputError, check_values
from .catalog.problem import Problem
from .catalog.quantities import QUANTITIES
from .photometry.ladder import Ladder, Photometry, Policy


def measure(
    counts,
    F,
    n_sources: int,
    quantity: str = "photflux",
    *,
    engine: str = "pymc3",
    seed: int = 0,
    instrument: str = "ACIS",
    prior_upper: dict[str, float] | None = None,
    policy: Policy | None = None,
    **settings,
) -> list[Photometry]:
    """Mode and 68 % bounds of every source of one problem C ~ Poisson(F·θ).

    Parameters
    ----------
    counts : (n_rows,) array
        Raw counts of the apertures (Eqs. 1 and 2, C): each obsid's rows
        together, its background aperture last.
    F : (n_rows, n_sources + n_obsids) array
        Exposure-corrected PSF matrix (Eqs. 1–3, F): source columns first, then
        a background column per obsid in the order of the rows.
    n_sources : int
        Number of source columns.
    quantity : str
        "flux", "photflux", "rate" or "cnts": decides the unit and the priors (Table 1).
    engine : str
        The sampler.
    seed : int
        The same seed gives the same result.
    prior_upper : dict, optional
        Upper prior bounds that replace Table 1's: {"source": …, "background": …}.
    policy : Policy, optional
        Rules for bounds, retries and NULL; the catalog's by default.
    **settings
        Settings of the engine, e.g. chains=4.

    Returns
    -------
    list of Photometry
        One per source, in column order: value, lolim, hilim, mode, outcome, flags, rhat, ess.

    Raises
    ------
    InputError
        If counts and F cannot be a problem: shapes, negative or fractional
        counts, or rows that do not belong to exactly one background.
    EngineMissing
        If the engine's package is not installed.
    SamplingError
        If every rung of the ladder of section 7 failed.
    """
    from .sampling import create, require

    require(engine)
    problem = _problem(counts, F, n_sources, quantity, instrument, prior_upper or {})
    run = Ladder(
        problem,
        create(engine, **settings),
        policy or Policy(),
        seed,
        quantity,
        problem.sources,
    ).measure()
    if run.error is not None:
        raise run.error
    return run.photometry


def _problem(counts, F, n_sources, quantity, instrument, prior_upper) -> Problem:
    counts, F = np.asarray(counts), np.ascontiguousarray(F, dtype=float)
    if F.ndim != 2 or not 0 < n_sources < F.shape[1] or counts.shape != F.shape[:1]:
        raise InputError(
            f"counts {counts.shape} and F {F.shape} with {n_sources} sources do not fit: expected "
            "(rows,) and (rows, sources + obsids)"
        )
    if unknown := set(prior_upper) - {"source", "background"}:
        raise InputError(f"prior_upper: unknown key {unknown.pop()!r}")
    if quantity not in QUANTITIES:
        raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
    reached = F[:, n_sources:] > 0
    if not (reached.sum(axis=1) == 1).all():
        row = int(np.argmax(reached.sum(axis=1) != 1))
        raise InputError(f"row {row} of F must have exactly one non-zero background column")
    row_obsid = reached.argmax(axis=1)
    if (np.diff(row_obsid) < 0).any() or len(set(row_obsid)) < F.shape[1] - n_sources:
        raise InputError("the rows of F must come obsid after obsid, in the order of its columns")
    source, background = QUANTITIES[quantity].prior_upper(instrument)
    upper = np.full(F.shape[1], prior_upper.get("background", background))
    upper[:n_sources] = prior_upper.get("source", source)
    for k in range(F.shape[1] - n_sources):
        rows = row_obsid == k
        columns = [*range(n_sources), n_sources + k]
        try:
            check_values(counts[rows], F[np.ix_(rows, columns)])
        except InputError as error:
            raise InputError(f"obsid {k} (rows {np.flatnonzero(rows)}): {error}") from None
    return Problem(
        counts=counts.astype(np.int64),
        F=F,
        upper=upper,
        sources=tuple(f"s{i}" for i in range(n_sources)),
        backgrounds=tuple(f"b{k}" for k in range(F.shape[1] - n_sources)),
        row_obsid=row_obsid,
        offset=np.zeros(len(F)),
    )
