"""A corner plot: marginals on the diagonal, pairs below it, the chains' traces in what is free."""

from __future__ import annotations

from textwrap import fill
from typing import NamedTuple

import numpy as np

from ..posterior import Summary
from .figures import BLACK, BLUE, GREEN, GREY, ORANGE, PAGE_WIDTH, styled

CHAINS_SHOWN = 4
_LETTER = 0.068  # inches that a letter of the title takes
_CURVES = {"color": BLUE}, {"color": BLACK, "lw": 1, "ls": "--"}


class Parameter(NamedTuple):
    """One parameter of a corner plot.

    draws : (n_chains, n_draws) float64
    curves : densities by name, each (x, y)
    unit : as a label has it; empty where the title says it
    """

    label: str
    unit: str
    draws: np.ndarray
    rhat: float
    ess: float
    summary: Summary
    curves: dict[str, tuple[np.ndarray, np.ndarray]]


def corner(parameters: list[Parameter], title: str):
    """The figure of one posterior; legible for 2 to 12 parameters.

    Raises InputError if matplotlib is not installed.
    """
    n = len(parameters)
    size = max(PAGE_WIDTH, 1.05 * (n + 1) + 0.6)
    figure, axes = _grid(n, size)
    powers = [_power(p.draws) for p in parameters]
    ranges = [_range(p) for p in parameters]
    labels = [_label(p, k) for p, k in zip(parameters, powers)]
    for i, (p, power) in enumerate(zip(parameters, powers)):
        scale = 10.0**power
        low, high = (edge / scale for edge in ranges[i])
        _marginal(axes[i, i], p, scale)
        axes[i, i].set(xlim=(low, high), yticks=[])
        trace = axes[i, i + 1]
        _trace(trace, p, scale, lines=n <= 6)
        trace.set(ylim=(low, high))
        for j in range(i):
            ax, x_scale = axes[i, j], 10.0 ** powers[j]
            x = parameters[j].draws.ravel() / x_scale
            y = p.draws.ravel() / scale
            _pair(ax, x, y, [edge / x_scale for edge in ranges[j]], (low, high))
            if n <= 6:
                _note(ax, f"{np.corrcoef(x, y)[0, 1]:+.2f}".replace("-", "−"))
            if j == 0:
                _name(ax.yaxis, labels[i], n)
            else:
                ax.tick_params(labelleft=False)
        for j in range(i + 1):
            if i == n - 1:
                _name(axes[i, j].xaxis, labels[j], n)
            else:
                axes[i, j].tick_params(labelbottom=False)
            axes[i, j].xaxis.get_major_locator().set_params(nbins=3)
        axes[i, 0].yaxis.get_major_locator().set_params(nbins=3)
        trace.tick_params(labelleft=False, labelbottom=i == n - 1)
    axes[n - 1, n].set_xlabel("draw")
    shown = {}
    for i in range(n):
        for handle, name in zip(*axes[i, i].get_legend_handles_labels()):
            shown.setdefault(name, handle)
    figure.legend(
        shown.values(), shown, loc="outside lower center", ncols=6, frameon=False, fontsize=7
    )
    lines = (fill(line, int(size / _LETTER)) for line in title.splitlines())
    figure.suptitle("\n".join(lines), fontsize=8)
    return figure


def _grid(n: int, size: float):
    """Square panels below and on the diagonal, and one for the trace from there to the right."""
    smaller = {"xtick.labelsize": 6, "ytick.labelsize": 6, "axes.labelsize": 7}
    with styled(**smaller) as new_figure:
        height = size * (n / (n + 1)) + 0.9
        figure = new_figure(figsize=(size, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)
        grid = figure.add_gridspec(n, n + 1)
        axes = np.empty((n, n + 1), object)
        for i in range(n):
            for j in range(i + 1):
                axes[i, j] = figure.add_subplot(grid[i, j])
            axes[i, i + 1] = figure.add_subplot(grid[i, i + 1 :])
    return figure, axes


def _power(draws: np.ndarray) -> int:
    """The power of ten that is taken out of a parameter's axes; 0 for plain numbers."""
    power = int(np.floor(np.log10(max(float(np.quantile(np.abs(draws), 0.9)), 1e-300))))
    return 0 if -2 <= power <= 3 else power


def _range(p: Parameter) -> tuple[float, float]:
    """The limits of a parameter's axis: nearly all draws, and the bounds."""
    low, high = np.quantile(p.draws, [0.001, 0.999])
    edge = 0.05 * (high - low)
    low = max(0.0, low - edge) if p.draws.min() >= 0 else low - edge
    if p.summary.is_upper_limit:
        low = 0.0
    return float(low), float(max(high + edge, p.summary.hilim * 1.02))


def _label(p: Parameter, power: int) -> str:
    factor = rf"$10^{{{power}}}$" if power else ""
    inside = " ".join(filter(None, (factor, p.unit)))
    return f"{p.label}\n({inside})" if inside else p.label


def _name(axis, label: str, n: int) -> None:
    """Label an axis; where panels are narrower than names, names lie and climb."""
    axis.set_label_text(label)
    if n > 6 and axis.axis_name == "x":
        axis.label.set(rotation=40, ha="right", rotation_mode="anchor")
    elif n > 6:
        axis.label.set(rotation=0, ha="right", va="center")


def _marginal(ax, p: Parameter, scale: float) -> None:
    s, draws = p.summary, p.draws.ravel() / scale
    ax.hist(draws, 40, density=True, color=GREY, alpha=0.4, label="draws")
    for (name, (x, y)), style in zip(p.curves.items(), _CURVES):
        ax.plot(x / scale, y * scale, label=name, **style)
    span = "below the upper limit" if s.is_upper_limit else "68 % bounds"
    if not s.is_upper_limit:
        ax.axvline(s.mode / scale, color=ORANGE, lw=1, label="mode")
    ax.axvspan(s.lolim / scale, s.hilim / scale, color=ORANGE, alpha=0.2, lw=0, label=span)
    ax.set_ylim(0, None)


def _trace(ax, p: Parameter, scale: float, lines: bool) -> None:
    for chain, color in zip(p.draws[:CHAINS_SHOWN], (BLUE, ORANGE, GREEN, GREY)):
        ax.plot(chain / scale, lw=0.3, color=color, rasterized=True)
    ax.set_xlim(0, p.draws.shape[1])
    ax.xaxis.get_major_locator().set_params(nbins=2)
    text = rf"$\hat r$ {p.rhat:.3f}" + ("\n" if not lines else ", ") + f"ESS {p.ess:.0f}"
    _note(ax, text)


def _pair(ax, x: np.ndarray, y: np.ndarray, x_range, y_range) -> None:
    """Draws as a density of squares, which stays light however many there are."""
    ax.hist2d(x, y, 40, range=(x_range, y_range), cmap="Blues", cmin=1, rasterized=True)
    ax.set(xlim=x_range, ylim=y_range)


def _note(ax, text: str) -> None:
    ax.text(
        0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize=6,
        bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 1},
    )  # fmt: skip
