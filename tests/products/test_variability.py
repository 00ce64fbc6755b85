"""Variability of master sources in a results file, limits and all blocks included."""

from __future__ import annotations

import numpy as np
import pytest
from gammas import Gamma, write_results
from scipy import stats

from mpiapp.catalog.masters import Blocks, Links, associate, names_array
from mpiapp.catalog.outcome import Flag
from mpiapp.files.results import open_results
from mpiapp.products import variability
from mpiapp.products.export import catalog_table

# counts of each observation in the bands b, h and m
COUNTS = {
    "constant": [(30, 20, 10), (34, 22, 12), (27, 18, 9)],
    "flare": [(30, 20, 10), (34, 22, 12), (90, 60, 30)],
    "faint": [(0, 0, 0), (1, 1, 0), (0, 0, 0)],
    "fades": [(25, 17, 8), (0, 0, 0), (0, 0, 0)],
    "reddens": [(60, 50, 10), (60, 10, 50), (60, 30, 30)],
    "flips": [(40, 40, 0), (40, 0, 40), (0, 0, 0)],
    "hard": [(40, 40, 0), (30, 30, 0), (0, 0, 0)],
    "once": [(30, 20, 10)],
}


def result(level, target, component, band, counts, flags=0):
    return level, target, component, flags, band, Gamma(counts + 1, 1e7)


def results_of(counts):
    """Every observation at level obsid, and a master row of each source: its best block."""
    rows = []
    for i, (name, observations) in enumerate(counts.items()):
        for k, seen in enumerate(observations):
            for band, n in zip("bhm", seen):
                rows.append(result("obsid", f"S{i}/{k}/b1", f"r{i}", band, n))
        best = int(Flag.BEST_BLOCK)
        rows.append(result("master", f"{name}/block1", name, "b", observations[0][0], best))
    return rows


@pytest.fixture(scope="module")
def results_path(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("variability"), results_of(COUNTS))


def links(counts, match_type="u"):
    n = range(len(counts))
    columns = [list(counts), [match_type for _ in n], [f"S{i}" for i in n], [f"r{i}" for i in n]]
    nothing = names_array([])
    blocks = Blocks(
        nothing, np.empty(0, np.int64), nothing, nothing, np.empty(0), np.empty(0, np.int64)
    )
    return associate(Links(*map(names_array, columns)), blocks)[0]


def table_of(path, associations):
    with open_results(path) as results:
        table = catalog_table(results, "master", (), associations)
    return {row["name"]: row for row in table}


@pytest.fixture(scope="module")
def sources(results_path):
    return table_of(results_path, links(COUNTS))


def deviance_chance(counts):
    counts = np.array(counts)
    terms = 2 * sum(c * np.log(c / counts.mean()) for c in counts if c)
    return stats.chi2.sf(terms, len(counts) - 1)


@pytest.mark.parametrize("name", ["constant", "flare", "reddens"])
def test_the_chance_is_that_of_the_deviance_of_counts(sources, name):
    wanted = deviance_chance([c[0] for c in COUNTS[name]])
    row = sources[name]
    assert row["var_chance_b"] == pytest.approx(wanted, rel=2e-2)


def test_every_observation_takes_part_and_not_those_of_the_best_block_alone(sources):
    assert sources["flare"]["var_inter_index_b"] == 8
    assert sources["constant"]["var_inter_index_b"] == 0
    assert sources["constant"]["var_inter_prob_b"] < 0.9


def test_upper_limits_are_observations_as_any_other(sources):
    fades, faint = sources["fades"], sources["faint"]
    wanted = deviance_chance([c[0] for c in COUNTS["fades"]])
    assert fades["var_chance_b"] == pytest.approx(wanted, rel=0.5) and wanted < 1e-11
    assert fades["var_spread_b"] > 2e-7
    assert faint["var_chance_b"] > 0.2
    # as the catalog has them: a limit is an exponential, and limits alone tell nothing
    assert fades["var_inter_index_b"] == 8
    assert 25e-7 > fades["var_inter_sigma_b"] > 20e-7
    assert np.ma.is_masked(faint["var_inter_prob_m"])


def test_the_catalogs_numbers_of_bright_sources_are_those_of_gaussians(tmp_path):
    """Smoothed by the catalog's kernel, which makes them √1.2 times as wide."""
    counts = {"two": [(9000, 0, 0), (9300, 0, 0)],
              "three": [(9000, 0, 0), (9250, 0, 0), (9000, 0, 0)]}  # fmt: skip
    path = write_results(tmp_path, results_of(counts))
    for name, row in table_of(path, links(counts)).items():
        seen = np.array([c[0] for c in counts[name]])
        weights = 1 / (seen + 1)
        mean = (weights * seen).sum() / weights.sum()
        statistic = (weights * (seen - mean) ** 2).sum() / 1.2
        freedom = len(seen) - 1
        assert row["var_inter_prob_b"] == pytest.approx(
            stats.chi2.cdf(statistic, freedom), abs=0.01
        )
        assert row["var_inter_sigma_b"] * 1e7 == pytest.approx(abs(seen - mean).max(), rel=0.03)
        assert row["var_inter_index_b"] == {"two": 6, "three": 5}[name], statistic / freedom


def test_limits_of_hardness_are_observations_as_any_other(sources):
    # bounded on one side each, on opposite ones: no common hardness makes both likely
    assert sources["flips"]["var_inter_hard_prob_hm"] > 1 - 1e-8
    assert sources["hard"]["var_inter_hard_prob_hm"] < 0.1


def test_hardness_varies_by_itself(sources):
    reddens = sources["reddens"]
    assert reddens["var_inter_prob_b"] < 0.5
    assert reddens["var_inter_hard_prob_hm"] > 0.9999
    assert reddens["var_inter_hard_flag"] == 1
    # of 2/3, −2/3 and 0 with errors alike
    assert reddens["var_inter_hard_sigma_hm"] == pytest.approx(0.54, abs=0.05)
    for name in ("constant", "flare", "faint"):
        assert sources[name]["var_inter_hard_flag"] == 0


def test_one_observation_tells_nothing(sources):
    for column in (
        "var_inter_prob_b", "var_inter_index_b", "var_inter_sigma_b", "var_chance_b",
        "var_spread_b", "var_inter_hard_prob_hm", "var_inter_hard_sigma_hm", "var_inter_hard_flag",
    ):  # fmt: skip
        assert np.ma.is_masked(sources["once"][column])


def test_a_component_that_no_master_has_for_its_own_takes_no_part(results_path):
    table = table_of(results_path, links(COUNTS, "a"))
    assert not any(name.startswith("var_") for name in table["flare"].colnames)


def test_a_source_is_the_same_however_few_rows_are_in_memory(results_path, sources, monkeypatch):
    monkeypatch.setattr(variability, "_ROWS", 2)
    for name, row in table_of(results_path, links(COUNTS)).items():
        for column in (c for c in row.colnames if c.startswith("var_")):
            assert str(row[column]) == str(sources[name][column])
