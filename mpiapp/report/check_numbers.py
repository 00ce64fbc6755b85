"""Rules for the numbers of a results file: by outcome, and beside other rows of the same data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..catalog.outcome import Flag, Outcome, outcome_text, worst
from ..files.packed_runs import starts
from ..files.schema import PHOTOMETRY_DTYPE
from .text import number

KEPT = np.dtype(
    [
        (name, PHOTOMETRY_DTYPE[name])
        for name in (
            "run_id", "component", "value", "lolim", "hilim", "mode", "mean", "rms", "outcome",
            "flags", "noise",
        )
    ]
)  # fmt: skip

# Rounding of different processors for one problem and seed, in half-widths.
_ROUNDING = 1e-6
# The noise of a row is itself known to a tenth or so, and there may be a million rows.
_SIGMAS = 7.0
# Flags that chance does not set; where an engine fails or is pegged, another may not.
_LADDER = ~int(Flag.BEST_BLOCK | Flag.NOISY | Flag.LOW_ESS | Flag.DIVERGENT | Flag.RETUNED)


def nonsense(rows: np.ndarray, runs: np.ndarray) -> list[str]:
    """Impossible values in rows of /photometry (KEPT) and /runs, a line for each."""
    outcome, value, mode = rows["outcome"], rows["value"], rows["mode"]
    lolim, hilim = rows["lolim"], rows["hilim"]
    known = np.isin(outcome, [int(o) for o in Outcome])
    measured = (value == mode) & (value <= hilim) & (hilim < np.inf)
    # the lower bound of an energy flux is NULL by itself below the floor
    measured &= ((lolim >= 0) & (lolim <= value)) | np.isnan(lolim)
    limit = (value == 0) & (lolim == 0) & (hilim > 0) & (hilim < np.inf)
    null = np.isnan(value) & np.isnan(lolim) & np.isnan(hilim)
    sound = np.select(
        [outcome == Outcome.MEASURED, outcome == Outcome.UPPER_LIMIT,
         outcome == Outcome.NULL_ENERGY_FLOOR],
        [measured, limit, known],
        null,
    ) & known  # fmt: skip
    found = [
        f"row {i}: {outcome_text(int(outcome[i]))}, but value {value[i]:.4g}, bounds "
        f"{lolim[i]:.4g} and {hilim[i]:.4g}, mode {mode[i]:.4g}"
        for i in np.flatnonzero(~sound)
    ]
    runs = runs[runs["n_rows"] > 0]
    if len(runs):
        first = starts(runs["n_rows"])
        flags = np.bitwise_or.reduceat(rows["flags"] & ~int(Flag.BEST_BLOCK), first)
        for name, wanted in (("outcome", worst(outcome, first)), ("flags", flags)):
            found += [
                f"run {runs['run_id'][i]}: {name} {runs[name][i]}, of its rows {wanted[i]}"
                for i in np.flatnonzero(runs[name] != wanted)
            ]
    return found


def is_comparable(a: np.ndarray, b: np.ndarray, exact: bool) -> np.ndarray:
    """(n,) whether two rows were to be measured alike: always, or by the same rung of the ladder.

    exact : whether both are of the engine that meets no chance
    """
    if exact:
        return np.ones(len(a), bool)
    same = (a["flags"] & _LADDER) == (b["flags"] & _LADDER)
    return same & ((a["flags"] & int(Flag.UNCONVERGED)) == 0)


def differences(
    a: np.ndarray, b: np.ndarray, exact: bool, same_seed: bool, floor: float
) -> Iterator[tuple[int, str]]:
    """Which of the rows (n,) differ by more than the noise of both explains, and in what.

    exact : whether both are of the exact engine
    same_seed : whether even what chance leaves in it is the same
    floor : energy fluxes below are NULL
    """
    half = 0.5 * (a["hilim"] - np.nan_to_num(a["lolim"]))
    half = np.where(half > 0, half, np.abs(a["mode"]))
    noise = np.nan_to_num(np.hypot(a["noise"], b["noise"]), nan=1.0)
    allowed = _ROUNDING + (0.0 if exact and same_seed else _SIGMAS) * noise
    has_mode = np.isfinite(a["mode"]) & np.isfinite(b["mode"])
    # a limit may by chance be a measured value, or that be below the floor; its mode is the same
    same_outcome = a["outcome"] == b["outcome"]
    wrong = ~same_outcome & ((allowed < 0.01) | ~has_mode)
    for i in np.flatnonzero(wrong):
        texts = (outcome_text(int(rows["outcome"][i])) for rows in (a, b))
        yield int(i), " | ".join(texts)
    for name in ("mode", "value", "lolim", "hilim", *(("mean", "rms") if exact else ())):
        x, y = a[name], b[name]
        below = np.isnan(x) != np.isnan(y)
        distance = np.where(below, np.abs(np.where(np.isnan(x), y, x) - floor), np.abs(x - y))
        same = (x == y) | (np.isnan(x) & np.isnan(y)) | (distance <= allowed * half)
        if name != "mode":
            same |= ~same_outcome
        for i in np.flatnonzero(~same & ~wrong):
            away = f"{distance[i] / half[i]:.2g} half-widths"
            yield int(i), f"{name} {number(x[i])} | {number(y[i])} ({away})"
        wrong |= ~same
