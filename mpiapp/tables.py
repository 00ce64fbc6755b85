"""The photometry of a table of single sources, for notebooks."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from astropy import units
from astropy.table import QTable
from tqdm import tqdm

from .api import plain
from .catalog.bundle import are_sensible
from .catalog.fault import InputError
from .catalog.problem import Problem
from .catalog.quantities import QUANTITIES
from .catalog.stack import Stack
from .photometry.ladder import Ladder, Policy
from .photometry.outcome import Outcome
from .photometry.rules import energy_floor
from .photometry.stack import StackEngine, measure_stack

_COUNTS = ("cnts", "cnts_bkg")
_FRACTIONS = ("psf_frac", "psf_frac_bkg")
_AREAS = ("area", "area_bkg")
_NUMBERS = {"": "value", "_lolim": "lolim", "_hilim": "hilim", "_mode": "mode", "_mean": "mean",
            "_rms": "rms"}  # fmt: skip
_RESULT = np.dtype(
    [(name, "f8") for name in _NUMBERS.values()] + [("outcome", "i2"), ("flags", "i4")]
)
_ROWS = 4096


def measure_table(
    table,
    quantities: Sequence[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    engine: str = "exact",
    seed: int = 0,
    instrument: str = "ACIS",
    prior_upper: dict[str, float] | None = None,
    policy: Policy | None = None,
    processes: int = 1,
    progress: bool = True,
    **settings,
) -> QTable:
    """Mode and 68 % bounds of many sources that do not overlap, a row of a table each (Eq. 1).

    Parameters
    ----------
    table : astropy table, or mapping of names to arrays
        Columns as for `mpiapp import`: cnts, cnts_bkg, psf_frac, psf_frac_bkg,
        area, area_bkg (pixels) and, for every quantity but net counts,
        exposure_rate (s), exposure_photflux (count photon-1 s cm2),
        exposure_flux (count erg-1 s cm2); with the suffix _bkg those of the
        background, if they differ.  Other columns come along.  Columns with
        astropy units are converted.
    quantities : sequence of str, optional
        Of "flux", "photflux", "rate" and "cnts"; all whose exposure is there by default.
    columns : dict, optional
        Where a column has another name in the table: {"cnts": "COUNTS"}.
    engine : str
        The sampler; "exact" needs about 50 µs for a row whose quantities are proportional.
    seed : int
        Row k of a quantity has the same numbers whatever the other rows are.
    instrument, prior_upper, policy, **settings
        As in `mpiapp.measure`.
    processes : int
        How many to compute with; 0 is one for each core.  A script that asks for
        more than 1 does so under `if __name__ == "__main__":`.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    QTable
        The table, and for each quantity the columns q, q_lolim, q_hilim, q_mode,
        q_mean and q_rms with units, q_outcome (code of `Outcome`) and q_flags (bits
        of `Flag`), q being flux, photflux, src_rate or src_cnts.  A row that cannot
        be measured is NaN, with the outcome NULL_BAD_INPUT where its numbers make no
        sense, or another NULL.

    Raises
    ------
    InputError
        If a column is missing, has a wrong unit, or would be replaced.
    EngineMissing
        If the engine's package is not installed.
    """
    from .sampling import require

    require(engine)
    out = QTable(table)
    names = dict(columns or {})
    counts, matrices = _problems(out, names, quantities)
    stems = [QUANTITIES[quantity].column for quantity in matrices]
    clashes = [stem + end for stem in stems for end in (*_NUMBERS, "_outcome", "_flags")]
    if clash := next((name for name in clashes if name in out.colnames), None):
        raise InputError(f"column {clash}: the result has one of that name; rename yours")
    if instrument not in ("ACIS", "HRC"):
        raise InputError(f"instrument {instrument!r}: expected ACIS or HRC")
    if unknown := set(prior_upper or ()) - {"source", "background"}:
        raise InputError(f"prior_upper: unknown key {unknown.pop()!r}")
    common = (engine, settings, policy or Policy(), instrument, prior_upper or {}, seed)
    F = np.stack(list(matrices.values()), axis=1)
    parts = [
        (common, list(matrices), counts[at : at + _ROWS], F[at : at + _ROWS], at)
        for at in range(0, len(out), _ROWS)
    ]
    found = np.empty((len(out), len(matrices)), _RESULT)
    with tqdm(total=len(out), unit="row", disable=not progress) as bar:
        for (_, _, part, _, at), rows in zip(parts, _measured(parts, processes)):
            found[at : at + len(part)] = rows
            bar.update(len(part))
    for own, rows in zip((QUANTITIES[quantity] for quantity in matrices), found.T):
        for end, name in _NUMBERS.items():
            out[own.column + end] = rows[name] * units.Unit(own.unit)
        for name in ("outcome", "flags"):
            out[f"{own.column}_{name}"] = rows[name]
    return out


def _problems(
    table: QTable, names: Mapping[str, str], quantities: Sequence[str] | None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(n, 2) counts, and for each quantity (n, 2, 2) F, as in `Bundle`."""

    def has(name: str) -> bool:
        return names.get(name, name) in table.colnames

    def column(name: str, unit: str = "") -> np.ndarray:
        own = names.get(name, name)
        values = table[own]
        is_masked = np.ma.getmaskarray(values) if hasattr(values, "mask") else False
        try:
            numbers = plain(getattr(values, "unmasked", values), unit, f"column {own}")
            return np.where(is_masked, np.nan, np.asarray(numbers, dtype=float))
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"column {own}: expected numbers, one in each row") from None

    required = [*_COUNTS, *_FRACTIONS, *_AREAS]
    if quantities is None:
        quantities = [q.name for q in QUANTITIES.values() if not q.exposure_unit] + [
            q.name for q in QUANTITIES.values() if q.exposure_unit and has(q.exposure_column)
        ]
    for quantity in quantities:
        if quantity not in QUANTITIES:
            raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
        if QUANTITIES[quantity].exposure_unit:
            required.append(QUANTITIES[quantity].exposure_column)
    if missing := [names.get(name, name) for name in required if not has(name)]:
        raise InputError(f"columns {', '.join(missing)} are missing; `columns` says their names")
    counts = np.stack([column(name, "count") for name in _COUNTS], axis=-1)
    fractions = [column(name) for name in _FRACTIONS]
    for values in fractions:
        values[values > 1] = np.nan
    areas = [column(name, "pix") for name in _AREAS]
    plainly = np.stack([fractions, areas]).transpose(2, 1, 0)
    matrices = {}
    for quantity in dict.fromkeys(quantities):
        own = QUANTITIES[quantity]
        matrices[quantity] = plainly
        if own.exposure_unit:
            exposure = column(own.exposure_column, own.exposure_unit)
            other = f"{own.exposure_column}_bkg"
            both = [exposure, column(other, own.exposure_unit) if has(other) else exposure]
            matrices[quantity] = plainly * np.stack(both, axis=-1)[:, :, None]
    return counts, matrices


def _measured(parts: list[tuple], processes: int) -> Iterator[np.ndarray]:
    n = min(processes or os.cpu_count() or 1, len(parts))
    if n <= 1:
        yield from map(_measure, parts)
        return
    # A process that is forked while others of its threads hold locks may wait for ever.
    with ProcessPoolExecutor(n, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_measure, parts)


def _measure(part: tuple) -> np.ndarray:
    """The results of some rows, (n, n_quantities) of _RESULT.

    The quantities of a row are neighbours in the stack: an engine that can solves what is
    proportional once.
    """
    from .sampling import create

    (name, settings, policy, instrument, prior_upper, seed), quantities, counts, F, first = part
    engine, n = create(name, **settings), len(quantities)
    upper = []
    for source, background in (QUANTITIES[q].prior_upper(instrument) for q in quantities):
        own = prior_upper.get("source", source), prior_upper.get("background", background)
        upper.append(own)
    counts, F = np.repeat(counts, n, axis=0), F.reshape(-1, 2, 2)
    rows = np.zeros(len(counts), _RESULT)
    rows[list(_NUMBERS.values())] = (np.nan,) * len(_NUMBERS)
    rows["outcome"] = Outcome.NULL_BAD_INPUT
    left = usable = np.flatnonzero(are_sensible(counts, F))
    if isinstance(engine, StackEngine) and len(usable):
        part = counts[usable].astype(np.int64), F[usable], (0,)
        stack = Stack.assemble([part], np.array(upper)[usable % n])
        floors = np.array([energy_floor(quantity, policy.energy_floor) for quantity in quantities])
        found = measure_stack(stack, engine, policy, floors[usable % n])
        done = usable[found.is_done]
        for field in _NUMBERS.values():
            rows[field][done] = getattr(found.summary, field)[found.is_done, 0]
        rows["outcome"][done] = found.outcome[found.is_done, 0]
        left = usable[~found.is_done]
    for i in left:
        row, quantity = first + int(i) // n, quantities[i % n]
        problem = Problem.of(counts[i], F[i], 1, quantity, instrument, prior_upper)
        own_seed = np.random.SeedSequence([seed, list(QUANTITIES).index(quantity), row])
        entropy = int(own_seed.generate_state(1, np.uint64)[0])
        run = Ladder(problem, engine, policy, entropy, quantity, problem.sources).measure()
        (p,) = run.photometry
        for field in _RESULT.names:
            rows[field][i] = getattr(p, field)
    return rows.reshape(-1, n)
