"""The ten samples, the studies' numbers, and the report that `mpiapp verify` writes."""

import numpy as np
import pytest

from mpiapp.catalog.quantities import INSTRUMENT_BANDS
from mpiapp.config import Config, load
from mpiapp.files.results import open_results
from mpiapp.report.rerun import assembled, planned_runs
from mpiapp.simulate import simulate
from mpiapp.validate import verify, verify_report
from mpiapp.validate.samples import SAMPLES

studies = pytest.importorskip("mpiapp.validate.studies")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    verify.write_inputs(folder, 10, seed=1)
    return folder


@pytest.fixture(scope="module")
def planned(inputs):
    """All runs of all samples, in one job, by sample."""
    config = inputs / "job.toml"
    config.write_text(verify.configuration(inputs, "gibbs", 1))
    found = {name: [] for name in SAMPLES}
    for run in planned_runs(load(config)):
        (name,) = (n for n, s in SAMPLES.items() if s.preset.prefix in run.key.target[:4])
        found[name].append(run)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_has_the_level_bands_and_quantities_of_table_3(planned, name):
    sample, runs = SAMPLES[name], planned[name]
    assert {r.key.level for r in runs} == {sample.level}
    assert {r.key.quantity for r in runs} == {row[0] for row in sample.memo}
    assert {r.key.band for r in runs} == {band for row in sample.memo for band in row[1]}
    assert {r.key.aperture for r in runs} == {"aper"}
    if sample.preset.hrc:
        assert {r.key.band for r in runs} == set(INSTRUMENT_BANDS["HRC"])


@pytest.mark.parametrize("name", ["sample8", "sample9", "sample10"])
def test_master_averages_have_five_obsids_of_five_stacks_and_no_neighbour(planned, name):
    most = max(len(r.target.parts) for r in planned[name])
    assert most == 5
    for r in planned[name]:
        assert r.key.target.endswith("/avg")
        assert len({part.files for part in r.target.parts}) == len(r.target.parts)
        assert len(set(r.target.labels.values())) == 1


def problems(inputs, name, n):
    config = Config.model_validate(
        {
            "input": [{"prep3": str(inputs / "inputs" / name / "prep3"), "levels": ["obsid"]}],
            "output": {"results": "unused.h5"},
        }
    )
    return [p for _, p in assembled(config) if p.n_sources == 1][:n]


def test_five_sigma_priors_cut_the_bounds_of_negative_solutions(inputs):
    found = studies.priors(problems(inputs, "sample1", 40), "flux").numbers
    assert found["zero"] < 0.5 * found["free"]


def test_a_background_beyond_its_prior_is_pegged_and_then_not(inputs):
    found = studies.pegged_background(problems(inputs, "sample4", 1)[0], "flux").numbers
    assert found["first_reach"] > found["first_bound"] == 1e-12
    assert 1e-12 < found["raised_reach"] < found["raised_bound"] == pytest.approx(1e-11)


def test_frozen_backgrounds_hardly_change_two_hundred_upper_limits(tmp_path):
    """The memo's Figure 5: the points lie on the diagonal.

    An upper limit of 1000 independent draws is known to some 4 %, a ratio of two to 6 %, their
    median over 200 to 0.5 %; the tenth to which the background is known adds little.
    """
    simulate(tmp_path / "inputs" / "sample4", 350, 1, "sample4")
    found = studies.frozen_backgrounds(problems(tmp_path, "sample4", 350), "flux").numbers
    assert found["n"] > 180
    assert found["median"] == pytest.approx(1, abs=0.015)
    assert 0.88 < found["low"] < found["high"] < 1.12


@pytest.mark.slow
def test_the_report_has_every_table_and_figure(inputs, monkeypatch, tmp_path):
    monkeypatch.setattr(verify_report, "STUDY_DETECTIONS", 40)
    path = verify.verify(inputs, 10, ["gibbs"], seed=1, out=tmp_path)
    text = path.read_text()
    figures = [line.split("(")[-1].rstrip(")") for line in text.splitlines() if line[:2] == "!["]
    assert len(figures) == 5
    assert "| gibbs | sample7 | stack | flux |" in text  # against the truth
    assert all((tmp_path / name).stat().st_size > 5000 for name in figures)
    with open_results(inputs / "gibbs.h5") as results:
        runs = results.table("runs")
    # every run of every sample has a result: the memo's point
    assert (runs["outcome"] < 10).all()
    found = list(verify_report.compare_samples(inputs / "gibbs.h5", inputs / "gibbs.h5"))
    assert [c.sample for c in found] == list(SAMPLES)
    for c in found:
        assert sum(c.n_total.values()) > 0
        assert c.n_total == c.n_success
        f = np.concatenate(list(c.f.values()))
        assert len(f) == 0 if SAMPLES[c.sample].is_null_like else not f.any()
