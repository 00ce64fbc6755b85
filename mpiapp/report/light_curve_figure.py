"""The picture of a light curve: observations with bounds and limits, the average, the blocks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.table import Table

from ..catalog.outcome import Outcome
from ..catalog.quantities import BANDS, QUANTITIES, in_order
from .figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    name_panel,
    panels,
    save,
    unit_of,
)

_WIDE = 20.0  # largest over smallest, of values on a logarithmic axis
_BOUNDS = ("value", "lolim", "hilim")
_COLOURS = (BLUE, RED, GREEN, ORANGE, BLACK)


def plot_light_curve(table: Table, path: str | Path, energies: Mapping = BANDS) -> Path:
    """Draw a table of `light_curve`, a panel a band; returns the figure's path.

    energies : of bands that are not the catalog's, in keV

    Limits are arrows that begin at the limit.  Without a start of every observation they stand
    beside each other in the order of the table.
    """
    of_observations = table[table["interval"] == "obsid"]
    bands = in_order(set(of_observations["band"].tolist()))
    has_times = not np.ma.getmaskarray(of_observations["mjd"]).any()
    names = list(dict.fromkeys(zip(of_observations["stack"], of_observations["obsid"])))
    figure, axes = panels(1, len(bands), height=2.2 if len(bands) > 1 else 3.0)
    for ax, band in zip(axes[:, 0], bands):
        own = table[table["band"] == band]
        single = own[own["interval"] == "obsid"]
        if has_times:
            low, high = np.asarray(single["mjd"]), np.asarray(single["mjd_end"])
        else:
            low = high = np.array([names.index((s, o)) for s, o in single["stack", "obsid"]]) + 1.0
        is_log = _is_wide(own)
        _draw_observations(ax, single, is_log, 0.5 * (low + high), 0.5 * (high - low))
        _draw_average(ax, own[own["interval"] == "avg"])
        if has_times:
            _draw_blocks(ax, own, "time")
        _draw_blocks(ax, own, "block")
        quantity = QUANTITIES[table.meta["quantity"]]
        ax.set(
            **({"yscale": "log"} if is_log else {"ylim": (0, None)}),
            ylabel=f"{quantity.description}\n({unit_of(quantity.name)})",
        )
        kev = BANDS.get(band) or energies.get(band)
        name_panel(ax, "{:g}–{:g} keV".format(*kev) if kev else f"band {band}")
        if not has_times:
            ax.set_xticks(range(1, len(names) + 1), [obsid for _, obsid in names], rotation=45)
    for ax in axes[1:, 0]:
        ax.sharex(axes[0, 0])
    for ax in axes[:-1, 0]:
        ax.tick_params(labelbottom=False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if labels:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=7
        )
    axes[-1, 0].set_xlabel("MJD" if has_times else "observation")
    figure.suptitle(table.meta["source"], fontsize=9)
    return save(figure, Path(path))


def _is_wide(rows: Table) -> bool:
    """Whether values and limits differ so much that they need a logarithmic axis."""
    is_limit = np.asarray(rows["outcome"] == Outcome.UPPER_LIMIT)
    level = np.where(is_limit, np.ma.filled(rows["hilim"], 0), np.ma.filled(rows["value"], 0))
    level = level[level > 0]
    return len(level) > 0 and level.max() > _WIDE * level.min()


def _draw_observations(ax, rows: Table, is_log: bool, middle: np.ndarray, half: np.ndarray) -> None:
    is_limit = np.asarray(rows["outcome"] == Outcome.UPPER_LIMIT)
    value, low, high = (np.ma.filled(rows[n].astype(float), np.nan) for n in _BOUNDS)
    shown = ~is_limit & np.isfinite(value)
    errors = np.array([value - low, high - value])[:, shown]
    ax.errorbar(
        middle[shown], value[shown], errors, half[shown], fmt="o", ms=3, color=BLACK, lw=1, zorder=3
    )
    if is_limit.any():
        limit = high[is_limit]
        length = 0.5 * limit if is_log else np.minimum(0.15 * np.nanmax(high), limit)
        ax.errorbar(
            middle[is_limit], limit, length, half[is_limit],
            fmt="none", color=BLACK, lw=1, uplims=True, zorder=3,
        )  # fmt: skip


def _draw_average(ax, rows: Table) -> None:
    for row in rows[~np.ma.getmaskarray(rows["hilim"])]:
        ax.axhspan(row["lolim"], row["hilim"], color=GREY, alpha=0.2, lw=0)
        if row["outcome"] == Outcome.UPPER_LIMIT:
            ax.axhline(row["hilim"], color=GREY, lw=1, ls=":", label="average: upper limit")
        else:
            ax.axhline(row["value"], color=GREY, lw=1, label="average")


def _draw_blocks(ax, rows: Table, kind: str) -> None:
    """Blocks by time as boxes over their observations, blocks by flux as lines."""
    mine = rows[[name.startswith(kind) for name in rows["interval"].tolist()]]
    mine = mine[~np.ma.getmaskarray(mine["hilim"])]
    for i, row in enumerate(mine):
        limit = row["outcome"] == Outcome.UPPER_LIMIT
        value = row["hilim"] if limit else row["value"]
        if kind == "block":
            colour = _COLOURS[i % len(_COLOURS)]
            ax.axhline(value, color=colour, lw=0.8, ls="--", label=f"{row['interval']}, by flux")
        else:
            label = "blocks by time" if i == 0 else None
            span = [row["mjd"], row["mjd_end"]]
            ax.fill_between(span, row["lolim"], row["hilim"], color=BLUE, alpha=0.25, lw=0)
            ax.plot(span, [value] * 2, color=BLUE, lw=1.5, label=label)
