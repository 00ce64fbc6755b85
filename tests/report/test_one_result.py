"""A result as notebooks show it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mpiapp import measure


def one(counts, **options):
    F = [[0.939, 1791], [0.049, 42634]]
    (found,) = measure(counts, F, 1, "cnts", engine="exact", **options)
    return found


def points(html, tag):
    text = re.search(rf'<{tag} [^>]*points="([^"]*)"', html)[1]
    return np.array([pair.split(",") for pair in text.split()], dtype=float)


def test_a_notebook_shows_the_numbers_and_the_density_with_its_bounds():
    found = one([51, 692])
    html = found._repr_html_()
    assert repr(found)[1:-1] in html
    curve, area = points(html, "polyline"), points(html, "polygon")
    low, high = found.quantile([5e-4, 1 - 5e-4])
    low = 0.0 if low < 0.1 * high else low
    across = 180.0 / (high - low)
    # SVG counts down: the highest point is the unsmoothed mode
    x = np.linspace(low, high, 1000)
    top = x[np.argmax(found.pdf(x))]
    assert curve[curve[:, 1].argmin(), 0] == pytest.approx((top - low) * across, abs=2.1)
    assert area[0, 0] == pytest.approx((found.lolim - low) * across, abs=0.1)
    assert area[-1, 0] == pytest.approx((found.hilim - low) * across, abs=0.1)


def test_a_result_without_numbers_shows_its_reason_alone():
    (dark,) = measure([3, 692], [[0.0, 1791], [0.0, 42634]], 1, "cnts", engine="exact")
    html = dark._repr_html_()
    assert dark.outcome.text in html and "<svg" not in html


def test_a_plot_has_the_density_and_the_bounds():
    import matplotlib

    matplotlib.use("Agg")
    found = one([51, 692])
    axes = found.plot()
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(y, found.pdf(x))
    shaded = axes.collections[0].get_paths()[0].vertices[:, 0]
    step = x[1] - x[0]
    assert shaded.min() == pytest.approx(found.lolim, abs=step)
    assert shaded.max() == pytest.approx(found.hilim, abs=step)
    assert "count" in axes.get_xlabel()
