"""The photometry of a table of sources, alone or in bundles, for notebooks."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
from astropy import units
from astropy.table import QTable, Table
from astropy.utils.exceptions import AstropyUserWarning
from tqdm import tqdm

from .api import check_engine
from .catalog.assemble import assemble_unnamed
from .catalog.bundle import are_sensible
from .catalog.fault import InputError, grouped
from .catalog.instruments import instrument_problem
from .catalog.names import comma_list
from .catalog.outcome import Outcome
from .catalog.priors import prior_bounds
from .catalog.quantities import QUANTITIES
from .files.aperture_counts import Counts
from .files.catalog_tables import read_table
from .files.column_map import Given
from .files.counts_table import find_counts
from .files.layouts import lacking, suits
from .files.own_columns import EXPOSURES, NUMBERS
from .photometry.extras import ASKED, Extras
from .photometry.ladder import Policy
from .photometry.measuring import measure
from .posterior.numbers import no_numbers
from .products.beside import level_fields
from .products.columns import OF_JOB, Field, plain_column
from .table_problems import Problems, table_problems

_NUMBERS = {"": "value", "_lolim": "lolim", "_hilim": "hilim", "_mode": "mode", "_mean": "mean",
            "_rms": "rms"}  # fmt: skip
_ROWS = 4096


class InputWarning(UserWarning):
    """What of a table cannot be used, rows above all: which, and why."""


class Photometry(QTable):
    """What `measure_table` returns: a QTable of which notebooks show results with four digits."""

    def _repr_html_(self) -> str:
        shown = QTable(self, copy=False)
        stems = tuple(q.column for q in QUANTITIES.values())
        for name in shown.colnames:
            if shown[name].dtype.kind == "f" and name.removesuffix(_end(name)).endswith(stems):
                shown[name].info.format = shown[name].info.format or ".4g"
        return shown._repr_html_()


def _end(name: str) -> str:
    """What tells the numbers of a quantity apart: the longest end of a name that is one."""
    return max((end for end in _NUMBERS if name.endswith(end)), key=len)


def measure_table(
    table,
    quantities: str | Sequence[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    engine: str = "exact",
    seed: int = 0,
    instrument: str | None = None,
    prior_upper: dict[str, float] | None = None,
    policy: Policy | None = None,
    processes: int = 1,
    progress: bool = True,
    prefix: str = "",
    extras: Sequence[str] = (),
    levels: Sequence[float] = (),
    **settings,
) -> Photometry:
    """Mode and 68 % bounds of many sources, a row of a table each, alone or in bundles (Eq. 1).

    Parameters
    ----------
    table : path, astropy table, pandas DataFrame, or mapping of names to columns
        Columns as for `mpiapp import`: cnts, cnts_bkg, psf_frac, psf_frac_bkg,
        area, area_bkg (pixels) and, for every quantity but net counts,
        exposure_rate (s), exposure_photflux (count photon-1 s cm2),
        exposure_flux (count erg-1 s cm2) or, instead of that, photon_energy_kev; with
        the suffix _bkg those of the background, if they differ; conversion_powlaw (erg cm-2
        count-1) and the like for model fluxes; or those of CSC's observations, CIAO
        srcflux or another mission's table.  Columns with units are converted, or refused.
        Sources whose apertures see each other are those with the same `bundle` (and
        stack, obsid, band and aperture, where the table has these columns): then each
        row of psf_frac has n numbers, the fractions of all n sources of the bundle, in the
        order of their rows, in this row's aperture, and NaN or 0 up to the table's width.
        The rows of a bundle share one background aperture: they agree in cnts_bkg,
        area_bkg and its exposure.
    quantities : str or sequence of str, optional
        Of "flux", "photflux", "rate", "cnts" and model fluxes ("powlaw"); all whose exposure
        and conversion factor are there by default.
    columns : dict, optional
        Where a column has another name in the table: {"cnts": "COUNTS"}, or "{band}_COUNTS" where
        each row has several bands; "1/NAME" is a column's reciprocal.
    engine : str
        The sampler; "exact" needs about 50 µs for a row whose quantities are proportional.
    seed : int
        A bundle whose first row is row k has the same numbers whatever the other rows are.
    instrument : str, optional
        That of all rows; else that of the table's column, else ACIS.  HRC has priors of its own,
        and either has its pixel for areas in square arcseconds, which stay as they are of others.
    prior_upper, policy, **settings
        As in `mpiapp.measure`.
    processes : int
        How many to compute with; 0 is one for each core.  A script that asks for
        more than 1 does so under `if __name__ == "__main__":`.
    progress : bool
        Whether to show a bar, on a terminal and if it takes longer than a second.
    prefix : str
        What the names of the result's columns begin with.
    extras : sequence of str
        More numbers: "ml" (q_ml, q_ml_sigma; Eq. 8), "no_source" (the chance of so many counts
        without the source), "detection_limit" (with q_threshold; Kashyap et al. 2010, for the
        false alarms and the power of `policy`), "hdi" (q_hdi_lo, q_hdi_hi).
    levels : sequence of float
        Other levels of bounds: 0.9 makes q_lo90 and q_hi90, symmetric about the mode, or 0 and
        the quantile where they would pass 0.  Each level is as much work again.

    Returns
    -------
    Photometry
        A QTable: the table as it was, and for each quantity the columns q, q_lolim, q_hilim,
        q_mode, q_mean and q_rms with units, q_outcome (code of `Outcome`) and q_flags (bits
        of `Flag`), q being flux, photflux, src_rate or src_cnts.  A row that cannot
        be measured is NaN, with the outcome NULL_BAD_INPUT where numbers of its bundle
        make no sense or do not agree, or another NULL.  With the engine "exact" the numbers
        are those of a job, to the last bit once it has compiled.

    Warns
    -----
    InputWarning
        For each kind of mistake in rows, with the first of them.

    Raises
    ------
    InputError
        If a column is missing, has a wrong unit, or would be replaced.
    EngineMissing
        If the engine's package is not installed.
    """
    if instrument and (problem := instrument_problem(instrument)):
        raise InputError(f"instrument {instrument!r} {problem}")
    given = Given(columns or {}, {"instrument": instrument} if instrument else {})
    source = read_table(table, suits(given, NUMBERS))
    counts = find_counts(source, given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # units that astropy does not know
        out = Photometry(table if isinstance(table, (Table, Mapping)) else source.table)
    if counts.layout.is_wide:
        out = out[counts.rows]
        for name in {"band", "aperture"} & set(counts.names) - set(out.colnames):
            out[name] = counts.names[name]
    wanted, more = chosen_quantities(counts, quantities), more_fields(extras, levels)
    if clash := clashing(out.colnames, wanted, prefix, more):
        raise InputError(
            f"column {clash}: the result has one of that name; rename yours, or give a `prefix`"
        )
    found = measure_counts(
        counts, wanted, engine, seed, prior_upper, policy, processes, progress, extras, levels,
        **settings,
    )  # fmt: skip
    for said in (*(f"{source.name}: {note}" for note in source.notes), *grouped(counts.faults())):
        warnings.warn(said, InputWarning, stacklevel=2)
    for k, own in enumerate(QUANTITIES[quantity] for quantity in wanted):
        for end, name in _NUMBERS.items():
            out[prefix + own.column + end] = found[name][:, k] * units.Unit(own.unit)
        for name in ("outcome", "flags"):
            out[f"{prefix}{own.column}_{name}"] = found[name][:, k]
        for field in more:
            values, unit = found[field.source][:, k], plain_column(own, field).unit
            out[prefix + own.column + field.suffix] = values * units.Unit(unit) if unit else values
    return out


def more_fields(extras: Sequence[str], levels: Sequence[float]) -> list[Field]:
    """The columns beside those of every result; InputError for a name or level that is none."""
    can_be = [name for name, numbers in ASKED.items() if numbers]
    if unknown := [name for name in extras if name not in can_be]:
        raise InputError(f"extras: {unknown[0]!r}: expected some of {', '.join(can_be)}")
    try:
        return [*(OF_JOB[name] for asked in extras for name in ASKED[asked]), *level_fields(levels)]
    except ValueError as error:
        raise InputError(str(error)) from None


def clashing(
    names: Sequence[str], quantities: Sequence[str], prefix: str, more: Sequence[Field] = ()
) -> str | None:
    """The first of these names that a result has too, whatever its capitals."""
    ends = (*_NUMBERS, "_outcome", "_flags", "_outcome_text", *(field.suffix for field in more))
    ours = {
        (prefix + QUANTITIES[quantity].column + end).lower()
        for quantity in quantities
        for end in ends
    }
    return next((name for name in names if name.lower() in ours), None)


def chosen_quantities(counts: Counts, quantities: str | Sequence[str] | None) -> list[str]:
    """Those that are asked for, or all that the table allows.

    Raises InputError if there is no such quantity, or its exposure is missing.
    """
    can_be = counts.layout.quantities()
    if quantities is None:
        return can_be
    if isinstance(quantities, str):
        quantities = comma_list(quantities)
    for quantity in quantities:
        if quantity not in QUANTITIES:
            raise InputError(f"quantity {quantity!r}: expected one of {', '.join(QUANTITIES)}")
        if quantity not in can_be:
            need = lacking(quantity, counts.layout.has)
            raise InputError(
                f"{counts.source.name}: quantity {quantity} needs {need}: {EXPOSURES[need]}"
            )
    return list(dict.fromkeys(quantities))


def measure_counts(
    counts: Counts,
    quantities: Sequence[str],
    engine: str = "exact",
    seed: int = 0,
    prior_upper: dict[str, float] | None = None,
    policy: Policy | None = None,
    processes: int = 1,
    progress: bool = True,
    extras: Sequence[str] = (),
    levels: Sequence[float] = (),
    **settings,
) -> np.ndarray:
    """The results of aperture pairs, (n, n_quantities), with the numbers of a result by name.

    Parameters and errors are those of `measure_table`.
    """
    check_engine(engine)
    prior_bounds(quantities, [], 1, prior_upper)  # raises InputError for unknown keys
    # The order of a job: of proportional problems the first is solved, the others are scaled.
    solved = sorted(quantities)
    parts, policy = [], policy or Policy()
    policy = replace(policy, extras=replace(policy.extras, numbers=tuple(extras)))
    for problems in table_problems(counts, solved):
        step = -(-_ROWS // problems.rows.shape[1] ** 2)
        for instrument, which in _by_instrument(counts, problems.rows):
            common = engine, settings, policy, levels, instrument, prior_upper or {}, seed
            mine = [array[which] for array in problems]
            for at in range(0, len(mine[0]), step):
                parts.append((common, solved, Problems(*(a[at : at + step] for a in mine))))
    found = _nothing(len(counts), len(solved), more=more_fields(extras, levels))
    bar = tqdm(total=len(counts), unit="row", disable=None if progress else True, delay=1.0)
    with bar:
        for (*_, problems), results in zip(parts, _measured(parts, processes)):
            found[problems.rows] = results
            bar.update(problems.rows.size)
    return found[:, [solved.index(quantity) for quantity in quantities]]


def _by_instrument(counts: Counts, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Which bundles are whose, by the instrument of their first source; ACIS if none is told."""
    names = counts.names.get("instrument", [None] * len(counts))
    is_hrc = np.array([names[row] == "HRC" for row in rows[:, 0].tolist()], dtype=bool)
    for instrument, which in (("ACIS", ~is_hrc), ("HRC", is_hrc)):
        yield instrument, np.flatnonzero(which)


def _measured(parts: list[tuple], processes: int) -> Iterator[np.ndarray]:
    n = min(processes or os.cpu_count() or 1, len(parts))
    if n <= 1:
        yield from map(_measure, parts)
        return
    # A process that is forked while others of its threads hold locks may wait for ever.
    with ProcessPoolExecutor(n, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_measure, parts)


def _measure(part: tuple) -> np.ndarray:
    """The results of some problems with n sources, (k, n, n_quantities) of `_nothing`.

    The quantities of a row are neighbours in the batch: an engine that can solves what is
    proportional once.
    """
    from .engines import create

    (name, settings, policy, levels, instrument, prior_upper, seed), quantities, problems = part
    n, n_sources = len(quantities), problems.rows.shape[1]
    counts = np.repeat(problems.counts, n, axis=0)
    F = problems.F.reshape(-1, *problems.F.shape[2:])
    more = more_fields(policy.extras.numbers, levels)
    numbers = _nothing(len(F), n_sources, more=more, outcome=Outcome.NULL_BAD_INPUT)
    usable = np.flatnonzero(are_sensible(counts, F))
    if len(usable):
        upper = prior_bounds(quantities, [instrument], n_sources, prior_upper)[usable % n]
        gamma = problems.gamma.reshape(-1, n_sources + 1, 2)[usable]
        batch = assemble_unnamed([counts[usable]], [F[usable]], upper, gamma)
        names = [quantities[i % n] for i in usable]
        seeds = _Seeds(seed, names, problems.rows[usable // n, 0])
        engine = create(name, **settings)
        measured = measure(batch, engine, policy, seeds, names)
        for number in measured.numbers.dtype.names:
            numbers[number][usable] = measured.numbers[number]
        for i, one in measured.further.items():
            for number in set(one.numbers.dtype.names) & set(numbers.dtype.names):
                numbers[number][usable[i]] = one.numbers[number]
        for level in levels:
            low, high = level_fields([level])
            smoothing = replace(policy.smoothing, level=level, upper_limit="quantile")
            wider = replace(policy, smoothing=smoothing, extras=Extras())
            found = measure(batch, engine, wider, seeds, names).numbers
            numbers[low.source][usable], numbers[high.source][usable] = (
                found["lolim"],
                found["hilim"],
            )
    return numbers.reshape(-1, n, n_sources).transpose(0, 2, 1)


def _nothing(*shape: int, more: Sequence[Field], outcome: int = 0) -> np.ndarray:
    """Records without numbers: NUMBERS, and those of more fields."""
    empty = no_numbers(*shape, outcome=outcome)
    records = np.empty(shape, empty.dtype.descr + [(field.source, "f8") for field in more])
    for name in records.dtype.names:
        records[name] = empty[name] if name in empty.dtype.names else np.nan
    return records


class _Seeds(Sequence):
    """The seeds of quantities of rows of the table, made when asked: few engines do."""

    def __init__(self, seed: int, quantities: Sequence[str], rows: np.ndarray):
        self._seed, self._quantities, self._rows = seed, quantities, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> int:
        quantity = list(QUANTITIES).index(self._quantities[i])
        own = np.random.SeedSequence([self._seed, quantity, int(self._rows[i])])
        return int(own.generate_state(1, np.uint64)[0])
