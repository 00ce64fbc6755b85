"""The figures of `mpiapp report`: each from a summary and rows of some targets, or none."""

from __future__ import annotations

import numpy as np

from ..catalog.outcome import Outcome, outcome_text
from ..catalog.quantities import QUANTITIES, in_order
from .figures import BLACK, BLUE, GREEN, GREY, ORANGE, RED, legend, name_panel, panels, unit_of
from .scaling import SPENT
from .show import levels_of
from .summary import Summary

_COLORS = {Outcome.MEASURED: BLUE, Outcome.UPPER_LIMIT: ORANGE, Outcome.NULL_FAILED: RED}
_OTHERS = (GREY, BLACK, GREEN, "#CC79A7", "#56B4E9", "#F0E442")
_SPENT = ("startup", *SPENT)
_PER_RANK = 48
_TIMES = 120


def outcomes(done: Summary):
    """How the runs of each level and band ended, as shares."""
    levels = levels_of(done.runs)
    codes = sorted({code for _, _, code in done.runs})
    if not levels:
        return None
    others = iter(_OTHERS * len(codes))
    colors = {code: _COLORS.get(code) or next(others) for code in codes}
    figure, axes = panels(len(levels), height=2.8)
    for ax, level in zip(axes[0], levels):
        bands = in_order({band for lev, band, _ in done.runs if lev == level})
        totals = np.array([sum(done.runs[level, b, code] for code in codes) for b in bands])
        below = np.zeros(len(bands))
        for code in codes:
            share = 100 * np.array([done.runs[level, b, code] for b in bands]) / totals
            ax.bar(bands, share, 0.7, below, color=colors[code], label=outcome_text(code))
            below += share
        for i, total in enumerate(totals):
            ax.text(i, 101, _short(total), ha="center", va="bottom", fontsize=6)
        ax.set(xlabel="band", ylim=(0, 112), xlim=(-0.7, len(bands) - 0.3))
        ax.set_yticks(range(0, 101, 25))
        name_panel(ax, level)
    axes[0, 0].set_ylabel("runs (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return figure


def _short(n: int) -> str:
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if n >= 10 * size:
            return f"{n / size:.0f}{suffix}"
    return str(n)


def values(rows: np.ndarray):
    """Each quantity against the net counts of the same source, level, band and aperture."""
    pairs = _with_counts(rows)
    if not pairs:
        return None
    figure, axes = panels(len(pairs), height=2.6)
    for ax, quantity in zip(axes[0], [q for q in QUANTITIES if q in pairs]):
        value, counts = pairs[quantity]
        for outcome, column, marker, label in (
            (Outcome.MEASURED, "value", ".", "measured"),
            (Outcome.UPPER_LIMIT, "hilim", "v", "upper limit"),
        ):
            use = (value["outcome"] == outcome) & (counts["outcome"] == outcome)
            use &= (value[column] > 0) & (counts[column] > 0)
            if use.any():
                ax.plot(
                    counts[column][use], value[column][use], marker, color=_COLORS[outcome],
                    label=label, rasterized=True, **_points(len(value)),
                )  # fmt: skip
        label = f"{QUANTITIES[quantity].description} ({unit_of(quantity)})"
        ax.set(xlabel="net counts", ylabel=label)
        _log(ax, "xy")
    marks = {m: line for ax in axes[0] for line, m in zip(*ax.get_legend_handles_labels())}
    if marks:
        figure.legend(
            marks.values(), marks, loc="outside lower center", ncols=2, frameon=False, fontsize=7,
            markerscale=2,
        )  # fmt: skip
    return figure


def _with_counts(rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each other quantity its rows, and the rows of net counts that belong to them."""
    names = ["level", "target", "component", "band", "aperture"]
    of = {q: rows[rows["quantity"] == q.encode()] for q in QUANTITIES}
    counts = {key: i for i, key in enumerate(of["cnts"][names].tolist())}
    found = {}
    for quantity, own in of.items():
        mine = np.array([counts.get(key, -1) for key in own[names].tolist()], int)
        if quantity != "cnts" and (mine >= 0).any():
            found[quantity] = own[mine >= 0], of["cnts"][mine[mine >= 0]]
    return found


def errors(rows: np.ndarray):
    """Relative half-width of the 68 % bounds against net counts, and the noise left in numbers."""
    figure, ((left, right),) = panels(2)
    use = (rows["outcome"] == Outcome.MEASURED) & (rows["quantity"] == b"cnts")
    use &= (rows["value"] > 0) & np.isfinite(rows["lolim"])
    counts = rows["value"][use]
    if len(counts):
        half = (rows["hilim"][use] - rows["lolim"][use]) / 2
        left.plot(
            counts, 100 * half / counts, ".", color=BLUE, rasterized=True, **_points(len(counts))
        )
        x = np.geomspace(counts.min(), counts.max(), 50)
        left.plot(x, 100 / np.sqrt(x), "--", color=BLACK, lw=1, label=r"$1/\sqrt{n}$")
        _log(left, "xy")
        legend(left, "upper right")
    else:
        _nothing(left, "no measured net counts")
    left.set(xlabel="net counts $n$", ylabel="half-width of the bounds (%)")
    noise = rows["noise"][np.isfinite(rows["noise"]) & (rows["noise"] > 0)]
    _histogram(right, noise, "noise left (half-widths of the bounds)")
    return figure


def convergence(rows: np.ndarray):
    """r-hat and effective sample size of what was drawn; None of an engine without draws."""
    drawn = rows[(rows["n_draws"] > 0) & np.isfinite(rows["rhat"])]
    if not len(drawn):
        return None
    figure, ((left, right),) = panels(2)
    most = max(1.02, float(np.quantile(drawn["rhat"], 0.999)))
    left.hist(np.clip(drawn["rhat"], 0.99, most), np.linspace(0.99, most, 60), color=BLUE)
    left.axvline(1.01, color=BLACK, ls="--", lw=1, label="1.01")
    left.set(xlabel=r"$\hat r$ (the last bin holds all above)", ylabel="rows", yscale="log")
    legend(left, "upper right")
    ess = drawn["ess"][drawn["ess"] > 0]
    _histogram(right, ess, "effective sample size")
    return figure


def sizes(runs: np.ndarray):
    """Seconds of a run against the parameters of its problem."""
    use = (runs["seconds"] > 0) & (runs["n_sources"] > 0)
    if not use.any():
        return None
    seconds = runs["seconds"][use].astype(float)
    size = (runs["n_sources"] + runs["n_obsids"])[use].astype(float)
    figure, ((ax,),) = panels(1, height=2.8)
    # Points of one size beside each other, by their place in the file.
    shift = 1 + 0.16 * ((np.arange(len(size)) * 0.6180339887) % 1 - 0.5)
    ax.plot(
        size * shift, seconds, ".", color=BLUE, label="runs", rasterized=True,
        **_points(len(size)),
    )  # fmt: skip
    found = np.unique(size)
    middle = [np.median(seconds[size == n]) for n in found]
    ax.plot(found, middle, "o-", ms=3, lw=1, color=ORANGE, label="median")
    ax.set(xlabel="sources and backgrounds of the problem", ylabel="time per run (s)")
    _log(ax, "xy")
    _plain_ticks(ax, found)
    ax.legend(loc="upper left", frameon=False, fontsize=7)
    return figure


def rank_times(ranks: np.ndarray):
    """Where the time of every rank went, of the last job that ended in order."""
    if not len(ranks):
        return None
    own = np.sort(ranks[ranks["job"] == ranks["job"].max()], order="rank")
    shown = own[np.linspace(0, len(own) - 1, min(len(own), _PER_RANK)).astype(int)]
    figure, ((ax,),) = panels(1, height=max(1.2, 0.7 + 0.16 * len(shown)))
    colors = (GREY, "#56B4E9", BLUE, GREEN, ORANGE, "#DDDDDD")
    left = np.zeros(len(shown))
    places = np.arange(len(shown))
    for what, color in zip(_SPENT, colors):
        ax.barh(places, shown[what], 0.8, left, color=color, label=what)
        left += shown[what]
    step = -(-len(shown) // 24)
    ax.set_yticks(places[::step], [str(r) for r in shown["rank"][::step]])
    ax.set(xlabel="time (s)", ylabel="rank", ylim=(len(shown) - 0.4, -0.6))
    figure.legend(loc="outside upper center", ncols=len(_SPENT), frameon=False, fontsize=7)
    return figure


def timeline(runs: np.ndarray, share: float):
    """Runs ended by each rank as time went by, in the job that did most of the runs."""
    use = np.isfinite(runs["finished"]) & (runs["finished"] > 0)
    if not use.any():
        return None
    jobs, n = np.unique(runs["job"][use], return_counts=True)
    own = runs[use & (runs["job"] == jobs[n.argmax()])]
    start = float((own["finished"] - own["seconds"]).min())
    ended = own["finished"] - start
    ranks = np.unique(own["rank"])
    times = np.linspace(0, max(float(ended.max()), 1e-3), _TIMES + 1)
    edges = np.linspace(0, len(ranks), min(len(ranks), 200) + 1)
    places = np.searchsorted(ranks, own["rank"]) + 0.5
    done = np.histogram2d(places, ended, (edges, times))[0] / share / np.diff(times)
    figure, axes = panels(1, min(2, len(ranks)), height=1.7)
    top, bottom = axes[0, 0], axes[-1, 0]
    top.stairs(done.sum(0), times, fill=True, color=BLUE)
    top.set(ylabel="runs/s", xlim=(0, times[-1]), ylim=(0, None))
    bottom.set_xlabel("time since the first run began (s)")
    if len(ranks) > 1:
        _by_rank(figure, bottom, times, edges, done)
        step = -(-len(ranks) // 8)
        bottom.set_yticks(np.arange(len(ranks))[::step] + 0.5, [str(r) for r in ranks[::step]])
    return figure


def _by_rank(figure, ax, times: np.ndarray, edges: np.ndarray, done: np.ndarray) -> None:
    from matplotlib.colors import LogNorm

    low = done[done > 0].min()
    norm = LogNorm(low, max(done.max(), 1.01 * low))
    drawn = np.ma.masked_equal(done, 0)
    image = ax.pcolormesh(times, edges, drawn, norm=norm, rasterized=True)
    ax.set(ylabel="rank", xlim=(0, times[-1]))
    bar = figure.colorbar(image, ax=ax, pad=0.01, format="%g")
    bar.set_label("runs/s", size=8)
    bar.ax.tick_params(labelsize=7)


def _points(n: int) -> dict[str, float]:
    """Markers of n points: seen where they are few, apart where they are many."""
    return {"ms": min(max(12.0 / n**0.2, 2.0), 6.0), "mew": 0, "alpha": 0.8 if n < 300 else 0.5}


def _histogram(ax, values: np.ndarray, label: str) -> None:
    if len(values):
        low, high = float(values.min()), float(values.max())
        low, high = (low / 1.1, high * 1.1) if high < 1.2 * low else (low, high)
        ax.hist(values, np.geomspace(low, high, 50), color=BLUE)
        median = float(np.median(values))
        ax.axvline(median, color=ORANGE, lw=1.5, label=f"median {median:.2g}")
        ax.set_ylim(top=1.25 * ax.get_ylim()[1])
        _log(ax, "x")
        _round_ticks(ax, low, high)
        legend(ax, "upper right")
    else:
        _nothing(ax, "none")
    ax.set(xlabel=label, ylabel="rows")


def _nothing(ax, words: str) -> None:
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, color=GREY)
    ax.set(xticks=[], yticks=[])


def _log(ax, which: str) -> None:
    for letter in which:
        getattr(ax, f"set_{letter}scale")("log")


def _round_ticks(ax, low: float, high: float) -> None:
    """1, 2 and 5 times powers of ten on a logarithmic x axis, or only the powers where it is long.

    What matplotlib writes on an axis of less than a decade or two runs into itself.
    """
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    is_long = high > 300 * low
    ticks = powers if is_long else np.outer(powers, (1, 2, 5)).ravel()
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    ticks = ticks[:: len(ticks) // 9 + 1]  # eight or nine at most
    raised = [f"$10^{{{power:.0f}}}$" for power in np.log10(ticks)]
    ax.set_xticks(ticks, raised if is_long else [f"{tick:g}" for tick in ticks])
    ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)


def _plain_ticks(ax, values: np.ndarray) -> None:
    """Whole numbers on a logarithmic x axis, not too near to each other."""
    kept: list[float] = []
    for value in values:
        if not kept or value >= 1.25 * kept[-1]:
            kept.append(value)
    ax.set_xticks(kept, [f"{value:.0f}" for value in kept])
    ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    ax.set_xlim(0.85 * kept[0], 1.18 * values[-1])
