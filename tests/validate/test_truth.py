"""Results against the truth of simulated catalogs, at every level."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from mpiapp.catalog.bundle import InputError
from mpiapp.catalog.outcome import Outcome
from mpiapp.config import Config
from mpiapp.engines import create
from mpiapp.files.mst3 import read_mst3
from mpiapp.files.schema import PHOTOMETRY_DTYPE
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.photometer import Photometer
from mpiapp.report.matching import Side
from mpiapp.report.rerun import planned_runs
from mpiapp.simulate import simulate
from mpiapp.validate.against_truth import against_truth, catalog_of, truth_figures, truth_report
from mpiapp.validate.truth import Pulls, Truth, pulls, truth_of


def measured(catalog, level):
    """Rows of /photometry of a simulated catalog, by the engine `exact`."""
    config = {
        "input": [
            {
                "prep3": str(catalog / "prep3"),
                "mst3": str(catalog / "mst3.fits") if level == "master" else None,
                "levels": [level],
            }
        ],
        "output": {"results": "unused.h5"},
    }
    targets = {run.target.name: run.target for run in planned_runs(Config.model_validate(config))}
    return Photometer(create("exact"), Policy(), 1).measure(list(targets.values())).photometry


@pytest.mark.parametrize(
    ("level", "sample", "detections"),
    [("obsid", "sample3", 60), ("stack", "sample7", 150), ("master", "sample8", 200)],
)
def test_pulls_have_mean_0_and_spread_1_at_every_level(tmp_path, level, sample, detections):
    """Of n pulls the mean is known to 1/√n, and the spread to 1/√(2n)."""
    simulate(tmp_path, detections, 4, sample)
    rows, truth = measured(tmp_path, level), truth_of(tmp_path, level)
    found = np.concatenate([p.pulls for p in pulls(rows, truth).values()])
    n = len(found)
    assert n >= 30
    assert abs(found.mean() + 0.1) < 4 / np.sqrt(n)  # of 25 counts
    assert abs(found.std() - 1) < 4 / np.sqrt(2 * n)
    # and with the truths of other sources they have not
    wrong = dict(zip(truth.values, np.roll(list(truth.values.values()), 7)))
    found = pulls(rows, truth._replace(values=wrong)).values()
    assert np.concatenate([p.pulls for p in found]).std() > 2


def test_pulls_intervals_and_limits_are_those_of_the_rows():
    rows = np.zeros(4, PHOTOMETRY_DTYPE)
    rows["target"], rows["component"], rows["band"], rows["quantity"] = "S/x", "r1", "b", "rate"
    rows["rms"], rows["mode"] = 1.0, [12.0, 9.0, 3.0, 3.0]
    rows["lolim"], rows["hilim"] = [11.0, 8.0, 0.0, 0.0], [13.0, 10.5, 12.0, 6.0]
    rows["outcome"][2:] = Outcome.UPPER_LIMIT
    found = pulls(rows, Truth({("S/x", "r1", "b", "rate"): 10.0}, {"S/x": 3}))["rate"]
    assert found.groups.tolist() == [3, 3]
    assert found.pulls.tolist() == [2.0, -1.0]
    assert found.inside.tolist() == [False, True]
    assert found.limits.tolist() == [True, False]


def test_a_source_that_varies_has_no_truth_of_its_stack(tmp_path):
    """And net counts have none where obsids differ in exposure."""
    simulate(tmp_path, 40, 4, "survey")
    obsid, stack = (truth_of(tmp_path, level).values for level in ("obsid", "stack"))
    assert {key[3] for key in obsid} == {"flux", "photflux", "rate", "cnts"}
    by_source = {}
    for (target, *rest), value in obsid.items():
        name, _, bundle = target.split("/")
        by_source.setdefault((f"{name}/{bundle}", *rest), []).append(value)
    varying = {key for key, values in by_source.items() if max(values) > 1.02 * min(values)}
    assert varying and not varying & stack.keys()
    assert all(stack[key] == pytest.approx(by_source[key][0], rel=0.01) for key in stack)


def test_a_comparison_with_a_catalog_is_that_of_its_truth(tmp_path):
    """In pieces as whole, at each level that there is."""
    simulate(tmp_path, 40, 4, "sample3")
    rows, truth = measured(tmp_path, "obsid"), truth_of(tmp_path, "obsid")
    half = len(rows) // 2
    side = Side(tmp_path / "r.h5", len(rows), lambda: iter([rows[:half], rows[half:]]))
    found = against_truth(side, tmp_path)
    expected = pulls(rows, truth)
    assert set(found) == {("obsid", quantity) for quantity in expected}
    for quantity, whole in expected.items():
        for mine, theirs in zip(found["obsid", quantity], whole):
            assert mine.tolist() == theirs.tolist()
    flux = found["obsid", "flux"]
    assert set(flux.truth) <= {value for key, value in truth.values.items() if key[3] == "flux"}
    said = truth_report(found)
    assert f"{flux.inside.mean():.1%}" in said and str(len(flux.limits)) in said
    pytest.importorskip("matplotlib")
    (path,) = truth_figures(found, "r", tmp_path / "figures")
    assert path.name == "r_obsid_truth.png" and path.stat().st_size > 10_000


def test_a_simulated_catalog_is_known_by_its_truth(tmp_path):
    assert catalog_of(tmp_path) is None
    (tmp_path / "truth.fits").touch()
    assert catalog_of(tmp_path) == catalog_of(tmp_path / "truth.fits") == tmp_path
    assert catalog_of(tmp_path / "old.h5") is None


def test_results_of_another_catalog_are_refused(tmp_path):
    simulate(tmp_path, 20, 4, "sample3")
    rows = measured(tmp_path, "obsid")
    rows["target"] = "other/1/b1"
    side = Side(tmp_path / "r.h5", len(rows), lambda: iter([rows]))
    with pytest.raises(InputError, match="no row of it has a truth"):
        against_truth(side, tmp_path)


def sky_of_pulls(rng: np.random.Generator) -> Pulls:
    """Of 12 sources in two nested apertures and three bands and their sum, by Poisson counts."""
    expected = rng.uniform(20, 200, (12, 3, 2)) * [0.9, 0.1]
    counts = np.cumsum(rng.poisson(expected), axis=2)  # the aperture aper90, and aper around it
    expected = np.cumsum(expected, axis=2)
    both = [np.concatenate([n, n.sum(axis=1, keepdims=True)], axis=1) for n in (counts, expected)]
    pulls = (both[0] - both[1]) / np.sqrt(both[1])
    groups = np.repeat(np.arange(12), 8)
    nothing = np.zeros(0, bool)
    return Pulls(pulls.ravel(), nothing, nothing, both[1].ravel(), groups)


def test_errors_of_mean_and_spread_are_those_of_independent_skies():
    """Whose bands and apertures share events: an error for independent pulls is half of them.

    The scatter of 600 skies is known to 3 %; the error of the spread is too small by some 1/12,
    since the mean of 12 groups is that of themselves.
    """
    rng = np.random.default_rng(3)
    skies = [sky_of_pulls(rng) for _ in range(600)]
    for name, true, lack in (("mean", 0.0, 0.0), ("spread", 1.0, 1 / 12)):
        values, errors = np.transpose([getattr(sky, name) for sky in skies])
        assert abs(values.mean() - true) < 4 * values.std() / np.sqrt(600) + lack / 2
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std() * (1 - lack), rel=0.1)
    alone = skies[0]._replace(groups=np.arange(96))
    assert alone.mean[1] == pytest.approx(alone.pulls.std() / np.sqrt(95), rel=1e-9)


@pytest.mark.parametrize("level", ["obsid", "stack", "master"])
def test_all_that_shares_events_is_one_group(tmp_path, level):
    """Bundles of a stack, their observations, and the master sources they are linked by."""
    simulate(tmp_path, 60, 4, "crowded")
    truth = truth_of(tmp_path, level)
    drawn = Table.read(tmp_path / "truth.fits")
    drawn.convert_bytestring_to_unicode()
    label = read_mst3(tmp_path / "mst3.fits").associations.label
    n = len(set(truth.groups.values()))
    assert 1 < n < len(set(zip(drawn["stack"], drawn["bundle"])))
    for stack, obsid, bundle, component in drawn.iterrows("stack", "obsid", "bundle", "component"):
        target = f"{stack}/{obsid}/{bundle}" if level == "obsid" else f"{stack}/{bundle}"
        assert truth.groups[target] == truth.groups[f"{label(stack, component)}/avg"]
