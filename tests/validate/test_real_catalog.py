"""Published rows of the catalog: what comes back, what of a table is used, and the fit itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from scipy import integrate, stats

from mpiapp.catalog.fault import InputError
from mpiapp.catalog.quantities import BANDS, TABLE_1
from mpiapp.validate.effective import Responses, fit_rows, solve
from mpiapp.validate.real_catalog import CNTS, as_comparison, class_of, distances, recompute
from mpiapp.validate.real_limits import GRID, IN_PRIORS, ON_GRID, draw, expanded, limits
from mpiapp.validate.real_products import densities, hardness_table, master_fluxes, variability
from mpiapp.validate.real_report import verify_catalog
from mpiapp.validate.real_rows import read_rows

EXAMPLE = Path(__file__).parents[2] / "config" / "example" / "csc20_rows.csv.gz"


@pytest.fixture(scope="module")
def rows():
    return read_rows(EXAMPLE)


@pytest.fixture(scope="module")
def responses(rows):
    return Responses(rows.counts)


@pytest.fixture(scope="module")
def found(rows, responses):
    return recompute(rows, responses, "exact")


def test_mode_and_mean_of_counts_are_those_of_an_integral_of_poissons_law():
    """Without the kernel the mean of a posterior is that of its smoothed density, but for zero."""
    counts, r = np.array([90.0, 300.0]), 0.05
    x = np.linspace(20, 140, 1201)
    b = np.linspace(220, 390, 341)
    joint = stats.poisson.pmf(90, x[:, None] + r * b) * stats.poisson.pmf(300, b)
    density = integrate.simpson(joint, x=b, axis=1)
    density /= density.sum()
    mean = (x * density).sum()
    h = np.sqrt((density * (x - mean) ** 2).sum())
    z = (x[:, None] - x) / h
    smoothed = np.where(np.abs(z) < 1, 1 - z * z, 0) @ density
    mode = solve("exact", counts[None], np.array([r]))[0, 3]
    assert mode == pytest.approx(x[smoothed.argmax()], abs=0.06)


def test_f_and_r_come_back_from_numbers_that_were_made_with_them():
    counts = np.array([[[400, 1500], [140, 900], [120, 300], [90, 260], [20, 160], [np.nan] * 2]])
    f, r = 0.92, 0.061
    published = np.full((1, 6, 3), np.nan)
    published[0, :5] = solve("exact", counts[0, :5], np.full(5, r))[:, :3] / f
    of_all = Responses(counts)
    scale, ratio = fit_rows(of_all, published, np.ones((1, 6), bool))[0]
    assert 1 / scale == pytest.approx(f, rel=0.003)
    assert ratio == pytest.approx(r, rel=0.02)
    assert np.isnan(fit_rows(of_all, published, np.zeros((1, 6), bool))).all()


def test_published_numbers_come_back(rows, found):
    kinds, f = class_of(rows), distances(rows, found)
    assert np.nanmedian(f) < 0.06
    assert np.mean(f[np.isfinite(f)] <= 1) > 0.999
    assert np.median(f[kinds == 0]) < 0.04
    c = as_comparison(rows, found, "exact")
    for quantity in TABLE_1:
        of = np.concatenate([f for group, f in c.f.items() if group[1] == quantity])
        assert np.median(of) < 0.06 and np.mean(of <= 1) > 0.999, quantity
    # a limit whose only number its exposure was fitted to is no test
    flux = sum(len(f) for group, f in c.f.items() if group[1] == "photflux")
    assert flux == (rows.published[:, list(TABLE_1).index("photflux"), :, 0] > 0).sum()


def test_published_numbers_come_back_with_the_fit_of_other_bands(rows, responses):
    found = recompute(rows, responses, "exact", left_out=True)
    f = distances(rows, found)[class_of(rows) == 0]
    assert np.nanmedian(f) < 0.08
    assert np.nanmean(f[np.isfinite(f)] <= 1) > 0.995
    # HRC has one band, so that nothing is left to fit
    assert np.isnan(distances(rows, found)[:, list(BANDS).index("w")]).all()


def test_products_mean_what_the_published_ones_mean(rows, found):
    kept = densities(rows, found)
    table = hardness_table(rows, kept)
    assert len(table) == 12
    for row in table:
        # with smoothed densities of limits, as of any other flux, it is 0.9
        assert float(row["median"]) < 0.05
        assert float(row["width ratio"]) == pytest.approx(1, abs=0.02)
    of = variability(rows, kept)
    clean = of[(of["limits"] == 0) & (of["n"] <= 6)]
    assert len(clean) > 100
    ratio = clean["sigma"] / clean["published_sigma"]
    assert np.mean(np.abs(ratio - 1) <= 0.1) > 0.6
    assert np.mean(clean["index"] == clean["published_index"]) > 0.8
    assert np.median(np.abs(clean["prob"] - clean["published_prob"])) < 0.02
    limited = of[of["limits"] > 0]
    assert np.nanmedian(np.abs(limited["prob"] - limited["published_prob"])) < 0.03
    assert np.nanmedian(master_fluxes(rows, found)[:, 0]) < 0.3


def test_limits_are_twice_the_mode_on_the_catalogs_grid(rows, responses):
    found = limits(rows, responses, most=1000)
    limit = found.published[:, 0] == 0
    some = limit & (found.source > 0)
    on_grid, quantile = (
        np.nanmedian((found.rules[name] / found.published[:, 2])[some])
        for name in (ON_GRID, "68 % quantile")
    )
    assert on_grid == pytest.approx(1, abs=0.03) and quantile < 0.97
    # of no counts the draws ended where the 5-σ prior did: steps and limits tell the same
    none = limit & (found.source == 0)
    free, in_priors = (
        np.nanmedian((found.rules[name] / found.published[:, 2])[none])
        for name in (ON_GRID, IN_PRIORS)
    )
    assert free > 1.1 and in_priors == pytest.approx(1, abs=0.05)
    steps = GRID * found.step[none] / found.prior_end[none]
    near = np.histogram(steps, [0.6, 0.9, 1.15, 1.4])[0]
    assert near[1] > 10 * (near[0] + near[2])


def test_the_expansion_steps_out_in_turn_and_makes_limits_of_what_meets_zero():
    rng = np.random.default_rng(3)
    value, low, high = expanded(rng.normal(100, 5, 5000))
    step = (high - low) / 2 * 0.05
    assert value - low == pytest.approx(high - value, abs=20 * step)
    # a Gaussian of 5, widened by √1.2
    assert (high - low) / 2 == pytest.approx(5 * np.sqrt(1.2) * 0.9945, rel=0.06)
    value, low, high = expanded(rng.exponential(1, 5000))
    assert value == low == 0
    assert high == pytest.approx(1.187, abs=0.15)
    assert draw(rng, 0, 1, np.ones(64)).mean() == pytest.approx(0.5, abs=0.02)


def test_a_table_with_gaps_is_used_as_far_as_it_goes(tmp_path):
    table = Table.read(EXAMPLE, format="ascii.csv")[:30]
    kept = [n for n in table.colnames if re.search(r"^(src_)?cnts_aper.*_[bhs]$", n)]
    few = Table(table[kept])
    few["cnts_aper_h"] = few["cnts_aper_h"].astype(float)
    few["cnts_aper_h"][:2] = [-1, 3.5]
    few["src_cnts_aper_hilim_s"].mask[3] = True
    few.write(tmp_path / "few.ecsv")
    rows = read_rows(tmp_path / "few.ecsv")
    assert rows.ignored == 3 and len(rows.counts) == 30
    assert np.isnan(rows.published[3, CNTS, list(BANDS).index("s")]).all()
    said = verify_catalog(tmp_path / "few.ecsv")
    assert re.search(r"exact\s+obsid cnts\s+b,h,s\s+88/88", said)
    assert "Hardness" not in said and "Variability" not in said


def test_a_table_without_published_counts_is_refused(tmp_path):
    Table({"ra": [1.0], "cnts_aper_b": [3]}).write(tmp_path / "other.ecsv")
    with pytest.raises(InputError, match="src_cnts_aper_lolim_b"):
        read_rows(tmp_path / "other.ecsv")


def test_a_random_choice_of_rows_is_measured_by_an_engine_that_draws(tmp_path):
    pytest.importorskip("matplotlib")
    Table.read(EXAMPLE, format="ascii.csv")[:60].write(tmp_path / "some.csv")
    said = verify_catalog(tmp_path / "some.csv", ["gibbs"], tmp_path, size=20)
    assert re.search(r"gibbs\s+obsid cnts", said)
    text = (tmp_path / "catalog.md").read_text()
    names = re.findall(r"!\[.*\]\((.*)\)", text)
    assert len(names) == 4 and all((tmp_path / name).stat().st_size > 5000 for name in names)
