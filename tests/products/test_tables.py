"""Densities as tables: which are, and those of Gammas and exponentials."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mpiapp.products.tables import are_densities, exponential_tables, gamma_tables


def test_the_gamma_of_a_mean_and_rms_is_scipys():
    mean, rms = np.array([1.0, 3.0, 5e-7, 2.0]), np.array([0.1, 2.0, 5e-7, 7.0])
    low, high, density = gamma_tables(mean, rms, 128)
    for i in range(len(mean)):
        # a rms above the mean is an exponential's
        shape = max((mean[i] / rms[i]) ** 2, 1.0)
        x = np.linspace(low[i], high[i], 128)
        wanted = stats.gamma(shape, scale=mean[i] / shape).pdf(x)
        assert density[i] / density[i].sum() == pytest.approx(wanted / wanted.sum(), abs=1e-9)
        ends = wanted[[0, -1]] / stats.gamma.pdf(max(shape - 1, 0), shape) * mean[i] / shape
        assert ends[1] == pytest.approx(np.exp(-24), rel=1e-6)
        assert ends[0] == pytest.approx(1.0 if shape == 1 else np.exp(-24) * (low[i] > 0), rel=1e-6)


def test_so_much_of_an_exponential_is_below_the_limit():
    limit = np.array([1.0, 3e-7])
    low, high, density = exponential_tables(limit, 0.68, 128)
    x = np.linspace(low, high, 128).T
    scale = limit / -np.log(0.32)
    assert density == pytest.approx(np.exp(-x / scale[:, None]), rel=1e-12)
    assert x[:, -1] == pytest.approx(24 * scale)


def test_damaged_tables_are_no_densities():
    good = 0.0, 1.0, [1.0, 2.0]
    bad = [(0.0, 0.0, [1, 2]), (0.0, np.inf, [1, 2]), (-1.0, 1.0, [1, 2]), (np.nan, 1.0, [1, 2]),
           (0.0, 1.0, [0, 0]), (0.0, 1.0, [-1, 2]), (0.0, 1.0, [np.nan, 1]),
           (0.0, 1.0, [np.inf, 1]), (0.0, 1.0, [1e308, 1e308])]  # fmt: skip
    low, high, density = map(np.array, zip(good, *bad))
    assert are_densities(low, high, density).tolist() == [True] + [False] * len(bad)
