"""Simulated catalogs: realistic, repeatable, and drawn from the truth that they state."""

from __future__ import annotations

import filecmp
from collections import Counter
from itertools import product

import numpy as np
import pytest
from astropy.table import Table

from mpiapp.catalog.bundle import InputError
from mpiapp.catalog.quantities import APERTURES, INSTRUMENT_BANDS, TABLE_1
from mpiapp.catalog.scan import contradictions, obsid_scans
from mpiapp.config import Config
from mpiapp.files.mst3 import read_mst3
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.parallel.planning import find_inputs, make_plan
from mpiapp.parallel.scanning import scan_here
from mpiapp.simulate import PRESETS, simulate
from mpiapp.simulate.instrument import enclosed_fraction
from mpiapp.simulate.observe import groups
from mpiapp.simulate.sky import draw_fluxes


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("crowded"), 400, seed=60, preset="crowded")


@pytest.fixture(scope="module")
def crowded_files(crowded):
    return [read_prep3(path) for path in sorted(crowded.prep3.iterdir())]


def truth_of(path):
    """(stack, obsid, bundle, band) -> rows of the truth table, in the order of the components."""
    table = Table.read(path)
    found: dict[tuple, list] = {}
    for row in zip(*(table[name].tolist() for name in table.colnames)):
        row = dict(zip(table.colnames, row))
        key = tuple(str(row[k]) for k in ("stack", "obsid", "bundle", "band"))
        found.setdefault(key, []).append(row)
    return found


def test_a_catalog_has_all_that_makes_catalogs_hard(crowded, crowded_files):
    assert crowded.obsids == len(crowded_files)
    sizes = Counter(len(b.components) for f in crowded_files for b in f.bundles.values())
    assert min(sizes) == 1
    assert 5 < max(sizes) <= 10
    assert sum(n * times for n, times in sizes.items()) == crowded.detections >= 400
    assert {f.header.instrument for f in crowded_files} == {"ACIS", "HRC"}
    obsids = Counter(f.header.stack for f in crowded_files)
    assert min(obsids.values()) == 1
    assert 10 < max(obsids.values()) <= 20
    for file in crowded_files:
        bands = INSTRUMENT_BANDS[file.header.instrument]
        for bundle in file.bundles.values():
            assert set(bundle.F) == set(product(bands, APERTURES, TABLE_1))
    # At the edges of the field a stack's obsids do not all see the same sources.
    seen: dict[str, set] = {}
    several = {stack for stack, n in obsids.items() if n > 1}
    per_bundle: dict[tuple, set] = {}
    for file in crowded_files:
        names = {c for b in file.bundles.values() for c in b.components}
        seen.setdefault(file.header.stack, set()).add(frozenset(names))
        for bundle in file.bundles.values():
            key = (file.header.stack, bundle.key.bundle)
            per_bundle.setdefault(key, set()).add(bundle.components)
    assert any(len(which) > 1 for which in per_bundle.values())
    assert sum(len(seen[stack]) > 1 for stack in several) > len(several) / 3


def test_its_masters_fit_its_detections(crowded):
    scans, faults = zip(*(scan_prep3(path) for path in crowded.prep3.iterdir()))
    assert not any(faults)
    obsids, doubles = obsid_scans(scans)
    assert doubles == contradictions(obsids) == []
    file = read_mst3(crowded.mst3)
    assert file.faults == []
    masters = file.associations
    inputs = {"prep3": str(crowded.prep3), "mst3": str(crowded.mst3)}
    config = Config(input=[inputs], output={"results": "none.h5"})
    assert make_plan(config, find_inputs(config), scan_here).faults == []
    assert len(masters) == crowded.masters
    links = {name: masters.components_of(name) for name in masters.masters()}
    assert Counter(kind for rows in links.values() for _, _, kind in rows).keys() == {"u", "a", "n"}
    assert all(any(kind == "u" for _, _, kind in rows) for rows in links.values())
    assert max(sum(kind == "u" for _, _, kind in rows) for rows in links.values()) > 1
    ambiguous = Counter((s, c) for rows in links.values() for s, c, kind in rows if kind == "a")
    assert min(ambiguous.values()) > 1
    truth = Table.read(crowded.truth_masters)
    blocks = {name: set(masters.blocks_of(name)) for name in links}
    stated: dict[str, set] = {}
    for name, block in zip(truth["master"].tolist(), truth["block"].tolist()):
        stated.setdefault(str(name), set()).add(block)
    assert stated == {name: numbers for name, numbers in blocks.items() if numbers}
    assert max(map(len, stated.values())) > 1


def test_counts_are_poisson_draws_of_the_stated_truth(crowded, crowded_files):
    truth = truth_of(crowded.truth)
    chi2, counts = [], []
    for file in crowded_files:
        for bundle in file.bundles.values():
            for (band, aperture, quantity), F in bundle.F.items():
                rows = truth[(*bundle.key, band)]
                assert tuple(str(row["component"]) for row in rows) == bundle.components
                theta = [row[quantity] for row in rows] + [rows[0][f"bkg_{quantity}"]]
                mu = F @ theta
                if quantity == "flux":
                    flux = mu
                    chi2.append((bundle.counts[band, aperture] - mu) ** 2 / mu)
                    counts.append(mu)
                elif aperture == "aper" and quantity == "photflux":
                    # Every quantity says the same about the expected counts.
                    flux = bundle.F[band, aperture, "flux"] @ [
                        *(row["flux"] for row in rows),
                        rows[0]["bkg_flux"],
                    ]
                    np.testing.assert_allclose(mu, flux, rtol=1e-12)
    chi2, mu = np.concatenate(chi2), np.concatenate(counts)
    # (C - mu)^2/mu has mean 1 and variance 2 + 1/mu.  Apertures and bands share photons
    # in pairs (aper90 in aper; b with s, m, h), which at most doubles each of two factors,
    # so the standard error of the mean is at most 2 sqrt(sum of variances)/n.
    keep = mu > 0.05
    error = 2 * np.sqrt(np.sum(2 + 1 / mu[keep])) / keep.sum()
    assert abs(chi2[keep].mean() - 1) < 4 * error


def test_photons_of_part_are_photons_of_the_whole(crowded_files):
    for file in crowded_files:
        for bundle in file.bundles.values():
            if bundle.instrument == "ACIS":
                for aperture in APERTURES:
                    parts = sum(bundle.counts[band, aperture] for band in "smh")
                    assert np.array_equal(bundle.counts["b", aperture], parts)
            for band in INSTRUMENT_BANDS[bundle.instrument]:
                assert np.all(bundle.counts[band, "aper90"] <= bundle.counts[band, "aper"])


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        simulate(tmp_path / folder, 10, seed=7)
    simulate(tmp_path / "c", 5, seed=8)
    comparison = filecmp.dircmp(tmp_path / "a", tmp_path / "b")
    assert sorted(comparison.common_files) == ["mst3.fits", "truth.fits", "truth_masters.fits"]
    names = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    truths = [(tmp_path / folder / "truth.fits").read_bytes() for folder in "ac"]
    assert truths[0] != truths[1]


def test_the_faint_preset_stays_in_its_range(tmp_path):
    catalog = simulate(tmp_path, 300, seed=1, preset="faint")
    assert 300 <= catalog.detections < 350
    truth = Table.read(catalog.truth)
    broad = truth[(truth["band"] == "b") | (truth["band"] == "w")]
    # A blend is one detection with the counts of both; few sources are that close.
    assert np.mean(broad["cnts"] <= 5) > 0.95
    backgrounds = [
        bundle.counts["b" if file.header.instrument == "ACIS" else "w", "aper"][-1]
        for file in map(read_prep3, catalog.prep3.iterdir())
        for bundle in file.bundles.values()
    ]
    # Uniform from 0 to 50: mean 25, standard deviation sqrt(50^2/12 + 25).
    error = np.sqrt((50**2 / 12 + 25) / len(backgrounds))
    assert abs(np.mean(backgrounds) - 25) < 4 * error + 1


def test_the_bright_preset_exceeds_table_1(tmp_path):
    catalog = simulate(tmp_path, 100, seed=1, preset="bright")
    assert Table.read(catalog.truth)["flux"].max() > TABLE_1["flux"].source_upper


def test_fluxes_follow_the_broken_power_law():
    preset = PRESETS["survey"]
    n = 200_000
    flux = np.sort(draw_fluxes(preset, n, np.random.default_rng(5)))
    assert preset.flux[0] <= flux[0]
    assert flux[-1] <= preset.flux[1] * (1 + 1e-9)
    (low, high), middle, (a, b) = preset.flux, preset.flux_break, preset.slopes
    grid = np.geomspace(low, high, 100_001)
    density = np.where(grid < middle, (grid / middle) ** -a, (grid / middle) ** -b)
    area = np.append(0, np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid)))
    expected = np.interp(flux, grid, area / area[-1])
    # Kolmogorov-Smirnov: 2/sqrt(n) is exceeded by chance in 7 of 10,000 cases.
    assert np.abs(expected - (np.arange(n) + 0.5) / n).max() < 2 / np.sqrt(n)


@pytest.mark.parametrize(
    ("distance", "radius", "r90"), [(0, 1, 1), (1.5, 1, 2), (4, 2, 1), (1, 3, 2)]
)
def test_enclosed_fractions_agree_with_a_sum_over_the_circle(distance, radius, r90):
    step = 2 * radius / 2000
    x = np.arange(-radius + step / 2, radius, step)
    x, y = np.meshgrid(x, x)
    inside = x**2 + y**2 < radius**2
    a2 = (r90 / 3) ** 2
    profile = a2 / np.pi / (a2 + (x - distance) ** 2 + y**2) ** 2
    expected = profile[inside].sum() * step**2
    assert enclosed_fraction(distance, radius, r90) == pytest.approx(expected, rel=2e-3)
    assert enclosed_fraction(0, r90, r90) == pytest.approx(0.9)


def test_friends_of_friends_are_one_group():
    position = np.array([[0, 0], [10, 0], [1.5, 0], [3.0, 0], [10.5, 0]])
    group = groups(position, np.ones(5))
    assert group.tolist() == [0, 1, 0, 0, 1]


def test_a_bad_call_is_explained(tmp_path):
    with pytest.raises(InputError, match="preset 'deep', expected one of survey"):
        simulate(tmp_path, 10, preset="deep")
    with pytest.raises(InputError, match="0 detections"):
        simulate(tmp_path, 0)
