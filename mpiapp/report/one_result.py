"""One `mpiapp.Measurement` in a notebook: numbers with a small density, and a plot."""

from __future__ import annotations

from html import escape

import numpy as np

from ..catalog.quantities import QUANTITIES

_WIDTH, _HEIGHT = 180.0, 44.0  # pixels of the small density
_SHARE = 5e-4  # of the posterior that is left out at either end
_BLUE = "#2a8fd0"  # seen on white and on black


def density(result, points: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, posterior density there) of a result, both (points,)."""
    low, high = result.quantile([_SHARE, 1.0 - _SHARE])
    # From 0 where the density has not fallen towards it.
    low = 0.0 if low < 0.1 * high else low
    x = np.linspace(low, high, points)
    return x, result.pdf(x)


def as_html(result) -> str:
    """The text of a result, and its density with the bounds shaded where there is one."""
    text = escape(repr(result)[1:-1])
    if result.posterior is None or result.outcome.is_null:
        return f"<span>{text}</span>"
    x, y = density(result, 90)
    across = _WIDTH / (x[-1] - x[0])

    def line(x_of, y_of):
        places = zip((x_of - x[0]) * across, _HEIGHT * (1.0 - 0.95 * y_of / y.max()))
        return " ".join(f"{h:.1f},{v:.1f}" for h, v in places)

    inside = np.clip(np.linspace(result.lolim, result.hilim, 60), x[0], x[-1])
    area = line(inside, np.interp(inside, x, y))
    left, right = ((inside[i] - x[0]) * across for i in (0, -1))
    return (
        f'<div><svg width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" role="img" '
        f'style="vertical-align:middle"><polygon fill="{_BLUE}" fill-opacity="0.35" '
        f'points="{left:.1f},{_HEIGHT} {area} {right:.1f},{_HEIGHT}"/>'
        f'<polyline fill="none" stroke="{_BLUE}" stroke-width="1.5" points="{line(x, y)}"/></svg> '
        f"{text}</div>"
    )


def draw(result, axes=None):
    """Density, mode and bounds of a result in `axes`, a new figure's by default; returns them.

    Raises ValueError for a result without a posterior.
    """
    from matplotlib import pyplot as plt

    x, y = density(result, 400)
    if axes is None:
        axes = plt.subplots(layout="constrained")[1]
    axes.plot(x, y, color=_BLUE)
    inside = (x >= result.lolim) & (x <= result.hilim)
    axes.fill_between(x[inside], y[inside], color=_BLUE, alpha=0.25, lw=0, label="68 % bounds")
    axes.axvline(result.mode, color="0.3", lw=1, label="mode")
    axes.set(
        xlabel=f"{result.source} {result.quantity} ({QUANTITIES[result.quantity].unit})",
        ylabel="density",
        ylim=0,
    )
    axes.legend(frameon=False)
    return axes
