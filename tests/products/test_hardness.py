"""Hardness ratios, held against the closed form of two Gammas, draws, and the fluxes' own table."""

from __future__ import annotations

import numpy as np
import pytest
from gammas import Gamma, hardness, write_results

from mpiapp.catalog.outcome import Flag
from mpiapp.files.results import open_results
from mpiapp.products._compiled import hardness_tables
from mpiapp.products._compiled import smoothed as smoothed_tables
from mpiapp.products.columns import Compared
from mpiapp.products.export import catalog_table
from mpiapp.products.hardness import hardness_ratios

# shapes are counts + 1: limits, faint and bright sources, and bands of very different brightness
PAIRS = [
    (Gamma(2, 1), Gamma(3, 1)),
    (Gamma(1, 1), Gamma(4, 1)),
    (Gamma(1, 1), Gamma(1, 30)),
    (Gamma(5, 1), Gamma(1, 0.01)),
    (Gamma(60, 1e9), Gamma(1, 1e9)),
    (Gamma(2000, 1), Gamma(3, 1)),
    (Gamma(1e5, 2), Gamma(1e5, 1)),
    (Gamma(3, 1), Gamma(3, 1000)),
]


def smoothed(low, high, density):
    return [column[0] for column in smoothed_tables(([low], [high], [density]), 1.0)]


def ratios(pairs, smooth=False):
    tables = [[g.table() for g in band] for band in zip(*pairs)]
    if smooth:
        tables = [[smoothed(*table) for table in band] for band in tables]
    columns = [np.array(column, dtype=float) for band in tables for column in zip(*band)]
    return hardness_ratios(*columns, 0.68)


@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_the_hardness_of_two_gammas_is_that_of_the_closed_form(x, y):
    found, wanted = ratios([(x, y)])[0], hardness(x, y)
    assert found == pytest.approx(wanted, abs=1e-3 * (wanted[2] - wanted[1]) / 2)


def test_exchanged_bands_have_the_opposite_hardness():
    # two computations on different grids, each within 10⁻³ half-widths of the closed form
    found, other = ratios(PAIRS, True), ratios([(y, x) for x, y in PAIRS], True)
    half = (found[:, 2] - found[:, 1])[:, None] / 2
    assert found / half == pytest.approx(-other[:, [0, 2, 1]] / half, abs=2e-3)


@pytest.mark.parametrize(("x", "y"), [(Gamma(8, 1), Gamma(4, 1)), (Gamma(1, 1), Gamma(30, 2))])
def test_the_hardness_of_smoothed_fluxes_is_that_of_draws_smoothed_one_by_one(x, y):
    rng = np.random.default_rng(4)
    n = 400_000
    fluxes = []
    for gamma in (x, y):
        draws = rng.gamma(gamma.a, 1 / gamma.p, n)
        # the Epanechnikov kernel is the density of the median of three uniform variables
        kernel = np.median(rng.uniform(-1, 1, (n, 3)), axis=1)
        fluxes.append(draws + draws.std() * kernel)
    drawn = np.stack(fluxes)[:, (np.array(fluxes) > 0).all(axis=0)]
    drawn = (drawn[0] - drawn[1]) / drawn.sum(axis=0)
    _, lolim, hilim = ratios([(x, y)], True)[0]
    # the share of n draws scatters by √(0.68 · 0.32 / n) = 7·10⁻⁴
    inside = ((drawn > lolim) & (drawn < hilim)).mean()
    assert inside == pytest.approx(0.68, abs=3e-3)


def test_the_mode_is_where_draws_are_densest():
    x, y = PAIRS[0]
    rng = np.random.default_rng(5)
    a, b = rng.gamma(x.a, 1 / x.p, 2_000_000), rng.gamma(y.a, 1 / y.p, 2_000_000)
    drawn = (a - b) / (a + b)
    mode = ratios([(x, y)])[0, 0]
    # of three neighbouring bins of 0.1 the middle one, about the mode, has the most by many
    # times its scatter: p'' of this density makes it fuller by 0.5 %, of 1.1·10⁵ draws
    counts, _ = np.histogram(drawn, mode + np.array([-0.25, -0.15, -0.05, 0.05, 0.15, 0.25]))
    assert counts.argmax() == 2


def test_what_is_no_density_has_no_hardness():
    low, high, density = Gamma(3, 1).table()
    for bad in [(low, low, density), (low, np.inf, density), (-1.0, high, density),
                (np.nan, high, density), (low, high, 0 * density), (low, high, -density),
                (low, high, np.full_like(density, np.nan))]:  # fmt: skip
        for x, y in [((low, high, density), bad), (bad, (low, high, density))]:
            columns = [np.array([value]) for value in (*x, *y)]
            assert np.isnan(hardness_ratios(*columns, 0.68)).all()


# the target and flags of every level, with the fluxes in the bands that were kept
KEPT = [
    ("obsid", "S/1/b1", "r1", 0, {"h": Gamma(8, 1), "m": Gamma(4, 1), "s": Gamma(1, 2)}),
    ("obsid", "S/1/b1", "r2", 0, {"h": Gamma(8, 1)}),
    ("stack", "S/b1", "r1", 0, {"h": Gamma(9, 1), "m": Gamma(9, 1)}),
    ("master", "2C 1/avg", "2C 1", 0, {"h": Gamma(20, 1), "m": Gamma(4, 1)}),
    ("master", "2C 1/block1", "2C 1", 0, {"h": Gamma(3, 1), "m": Gamma(30, 1)}),
    ("master", "2C 1/block2", "2C 1", int(Flag.BEST_BLOCK), {"h": Gamma(5, 1), "m": Gamma(5, 1)}),
]


@pytest.fixture(scope="module")
def results_path(tmp_path_factory):
    found = [(*key, band, flux) for *key, fluxes in KEPT for band, flux in fluxes.items()]
    return write_results(tmp_path_factory.mktemp("hardness"), found)


def numbers(row, name):
    return [row[name.format(suffix)] for suffix in ("", "_lolim", "_hilim")]


def test_every_level_has_the_hardness_of_its_own_fluxes(results_path):
    with open_results(results_path) as results:
        obsid, stack, master, block = (
            catalog_table(results, level) for level in ("obsid", "stack", "master", "block")
        )
    x, y = Gamma(8, 1), Gamma(4, 1)
    assert numbers(obsid[0], "hard_hm{}") == pytest.approx(ratios([(x, y)], True)[0], abs=1e-12)
    # an upper limit is an exponential, and nothing smoothes it
    y, z = smoothed(*Gamma(4, 1).table()), Gamma(1, 2).table()
    columns = [np.array([column], dtype=float) for column in (*y, *z)]
    wanted = hardness_ratios(*columns, 0.68)[0]
    assert numbers(obsid[0], "hard_ms{}") == pytest.approx(wanted, abs=1e-4)
    assert stack["hard_hm"][0] == pytest.approx(0.0, abs=1e-3)
    assert "hard_hs" not in stack.colnames
    assert master["hard_hm"][0] == pytest.approx(0.0, abs=1e-3)
    assert master["hard_avg_hm"][0] > 0.4
    assert list(block["hard_hm"] > -0.5) == [False, True]


def test_a_band_whose_density_was_not_kept_leaves_a_null(results_path):
    with open_results(results_path) as results:
        table = catalog_table(results, "obsid")
    assert table["component"].tolist() == ["r1", "r2"]
    for name in ("hard_hm", "hard_hm_lolim", "hard_hs_hilim"):
        assert table[name].mask.tolist() == [False, True]
    assert not any(name.startswith("hard_") for name in table.colnames if "_avg" in name)


def test_bands_and_quantity_are_those_of_the_configuration(tmp_path):
    x, y = Gamma(8, 1), Gamma(4, 1)
    found = [("obsid", "S/1/b1", "r1", 0, band, flux) for band, flux in (("P2", x), ("P1", y))]
    compared = Compared("rate", {"P2P1": ("P2", "P1")}, {"P1": (0.2, 0.5), "P2": (0.5, 1.0)})
    with open_results(write_results(tmp_path, found, "rate")) as results:
        table = catalog_table(results, "obsid", compared=compared)
        assert not any("hard" in name for name in catalog_table(results, "obsid").colnames)
    assert numbers(table[0], "hard_P2P1{}") == pytest.approx(ratios([(x, y)], True)[0], abs=1e-12)
    column = table["hard_P2P1_lolim"]
    assert column.description.endswith("hardness ratio (P2 - P1) / (P2 + P1), count rate")
    assert column.meta["ucd"] == "phot.count;arith.ratio;em.X-ray;stat.min"
    assert table["flux_significance_P2"][0] == pytest.approx((x.a - 1) / x.a**0.5)


@pytest.mark.parametrize("brighter", [1.0, 100.0])
@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_mean_and_rms_are_those_of_draws(x, y, brighter):
    tables = [[np.array([column]) for column in gamma.table()] for gamma in (x, y)]
    scale = [np.array([brighter * gamma.a / gamma.p]) for gamma in (x, y)]
    *_, mean, rms = hardness_tables(*tables, *scale)
    n, rng = 100_000, np.random.default_rng(6)
    a, b = (rng.gamma(gamma.a, 1 / gamma.p, n) for gamma in (x, y))
    drawn = (a - b) / (a + b)
    off = drawn - drawn.mean()
    assert mean[0] == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(n))
    # the error of a variance follows from the fourth moment
    error = np.sqrt(((off**4).mean() / drawn.var() ** 2 - 1) / n) / 2
    assert rms[0] == pytest.approx(drawn.std(), rel=5 * error)
