"""Bayesian Blocks by flux: fitness against closed forms, partitions against all of them."""

from __future__ import annotations

from itertools import pairwise, product
from math import lgamma, log

import numpy as np
import pytest

from mpiapp.products.flux_blocks import (
    Cells,
    default_penalty,
    fitness,
    gamma_cells,
    intersection,
    partition,
    tabulated_cells,
)


def log10_of_common_flux(shape, rate):
    """log10 ∫ Π Gamma(s; shape_j, rate_j) ds: again a Gamma integral."""
    a = (shape - 1).sum() + 1
    parts = shape * np.log(rate) - [lgamma(v) for v in shape]
    return (parts.sum() + lgamma(a) - a * log(rate.sum())) / log(10)


@pytest.mark.parametrize("scale", [1.0, 1e-7])  # counts, and photons/s/cm^2
def test_fitness_is_the_evidence_for_a_common_flux_of_gamma_posteriors(scale):
    rng = np.random.default_rng(5)
    net = rng.poisson(np.repeat([0.3, 8.0, 400.0], 4))
    exposure = 10 ** rng.normal(0, 0.4, 12) / scale
    shape, rate = net + 1.0, exposure
    order = np.argsort(net / exposure, kind="stable")
    shape, rate = shape[order], rate[order]
    cells = gamma_cells(shape / rate, np.sqrt(shape) / rate)
    found = fitness(cells)
    spread = np.log10(cells.spread())
    for first, last in zip(*np.triu_indices(12)):
        inside = slice(first, last + 1)
        wanted = log10_of_common_flux(shape[inside], rate[inside]) - spread
        # lines between 1024 points; hopeless blocks, 10^-30 of what is apart, need not be exact
        if wanted > -30 - spread * (last - first + 1):
            assert found[first, last] == pytest.approx(wanted, abs=0.001 * (last - first + 1))
        else:
            assert found[first, last] < -20 - spread * (last - first + 1)


def test_the_partition_is_the_best_of_all():
    rng = np.random.default_rng(3)
    for n, penalty in product((1, 2, 5, 9), (0.0, 0.5, 2.0)):
        cells = gamma_cells(*np.sort(rng.gamma(3, 2, (2, n)), axis=1))
        value = fitness(cells)

        def total(cuts, value=value, penalty=penalty):
            edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(value)]
            return sum(value[a, b - 1] - penalty for a, b in pairwise(edges))

        blocks = partition(value, penalty)
        best = max(total(cuts) for cuts in product((0, 1), repeat=n - 1))
        assert total(np.diff(blocks)) == pytest.approx(best)
        assert blocks[0] == 0 and set(np.diff(blocks)) <= {0, 1}


def test_observations_of_one_flux_are_one_block_and_of_two_fluxes_two():
    mean = np.array([9.8, 10.1, 10.3, 39.0, 41.0]) * 1e-7
    cells = gamma_cells(mean, 0.1 * mean)
    assert partition(fitness(cells), default_penalty(5, 4)).tolist() == [0, 0, 0, 1, 1]
    wide = gamma_cells(mean, mean)
    assert partition(fitness(wide), default_penalty(5, 4)).tolist() == [0] * 5


def test_a_narrow_posterior_among_wide_ones_counts_in_full():
    # σ 0.001 among σ 1: the wide ones' densities at 10 are what the integral is
    low, high = np.array([3.0, 9.993, 3.0]), np.array([17.0, 10.007, 17.0])
    sigma = np.array([1.0, 1e-3, 1.0])
    x = np.linspace(low, high, 1024, axis=1)
    centre = np.array([9.5, 10.0, 10.5])
    log_p = -0.5 * ((x - centre[:, None]) / sigma[:, None]) ** 2
    log_p -= np.log(sigma * np.sqrt(2 * np.pi))[:, None]
    cells = Cells(low, high, log_p)
    wanted = 2 * (-0.5 * 0.5**2 - 0.5 * np.log(2 * np.pi)) / np.log(10)
    assert fitness(cells)[0, 2] + np.log10(cells.spread()) == pytest.approx(wanted, abs=0.001)


def test_the_spread_is_that_of_the_quantiles_of_all_observations():
    cells = gamma_cells(np.array([1.0, 6.0]), np.array([1.0, 0.6]))
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.gamma(100, scale=0.06).ppf(0.999) - stats.expon().ppf(0.001)
    assert cells.spread() == pytest.approx(wanted, rel=0.01)


def test_blocks_of_several_bands_intersect_and_what_a_band_lacks_decides_nothing():
    soft, hard = np.array([0, 0, 1, 1, 1, -1, -1]), np.array([0, 0, 0, 0, 1, 1, 0])
    # the last but one can only be with the fifth; the last with both halves, of two each: the
    # first of them
    assert intersection([soft, hard]).tolist() == [0, 0, 1, 1, 2, 2, 0]
    assert intersection([np.array([-1, 0]), np.array([1, 0])]).tolist() == [0, 1]


@pytest.mark.parametrize("n", [2, 6])
def test_the_default_penalty_splits_five_percent_of_constant_sources(n):
    rng = np.random.default_rng(8)
    split = 0
    for _ in range(400):
        exposure = 10 ** rng.uniform(0.5, 3) * 10 ** rng.normal(0, 0.4, n)
        net = rng.poisson(exposure)
        order = np.argsort(net / exposure)
        shape, rate = net[order] + 1.0, exposure[order]
        cells = gamma_cells(shape / rate, np.sqrt(shape) / rate)
        split += partition(fitness(cells), default_penalty(n, 1))[-1] > 0
    # standard deviation of a binomial 4.4; the penalty was measured with backgrounds
    assert abs(split - 20) < 4 * 4.4


def test_a_kept_table_of_128_points_gives_the_same_fitness():
    shape, rate = np.array([1.0, 2.0, 30.0, 401.0]), np.array([1.0, 3.0, 2.0, 20.0])
    low = np.maximum(shape - 7 * np.sqrt(shape), 0) / rate
    high = (shape + 8 * np.sqrt(shape) + 20) / rate
    x = np.linspace(low, high, 128, axis=1)
    density = np.array([
        np.exp((a - 1) * np.log(np.maximum(b * v, 1e-30)) - b * v - lgamma(a)) * b
        for a, b, v in zip(shape, rate, x)
    ])  # fmt: skip
    kept = fitness(tabulated_cells(low, high, density.astype(np.float32)))
    exact = fitness(gamma_cells(shape / rate, np.sqrt(shape) / rate))
    near = exact > -10
    assert near.sum() > 4
    assert kept[near] == pytest.approx(exact[near], abs=0.005)


def test_the_default_penalty_in_the_order_of_time_splits_five_percent_of_constant_sources():
    rng = np.random.default_rng(9)
    split = 0
    for _ in range(400):
        exposure = 10 ** rng.uniform(0.5, 3) * 10 ** rng.normal(0, 0.4, 4)
        net = rng.poisson(exposure)
        cells = gamma_cells((net + 1.0) / exposure, np.sqrt(net + 1.0) / exposure)
        split += partition(fitness(cells), default_penalty(4, 1, in_time=True))[-1] > 0
    assert abs(split - 20) < 4 * 4.4


def test_a_flare_is_one_block_by_flux_and_parts_the_others_by_time():
    mean = np.array([10.1, 9.8, 41.0, 10.3, 10.0]) * 1e-7
    cells = gamma_cells(mean, 0.1 * mean)
    in_time = partition(fitness(cells), default_penalty(5, 1, in_time=True))
    assert in_time.tolist() == [0, 0, 1, 2, 2]
