"""What [extras] asks for: the same numbers in results, in the API and in a table."""

import numpy as np
import pytest
from astropy.table import Table
from jobs import mpiapp, write_job
from problems import problem

from mpiapp import InputError, measure, measure_table
from mpiapp.files.results import open_results
from mpiapp.photometry import extras
from mpiapp.photometry.detection import Detection
from mpiapp.photometry.extras import ASKED, Extras
from mpiapp.photometry.ladder import Policy
from mpiapp.posterior import Smoothing
from mpiapp.products.export import catalog_table

F = np.array([[0.9, 0.06, 180.0], [0.11, 0.82, 150.0], [0.03, 0.05, 42634.0]])
COUNTS = [51, 23, 692]
LINE = (
    '{"obsid": "1", "stack": "S", "bundle": "b1", "instrument": "ACIS", "band": "b", '
    '"aperture": "aper", "components": ["r1", "r2"], "counts": [51, 23, 692], '
    '"F": {"cnts": [[0.9, 0.06, 180.0], [0.11, 0.82, 150.0], [0.03, 0.05, 42634.0]]}}\n'
)
ASKS = f"[extras]\nnumbers = {[*ASKED]}\nfalse_alarm = 0.01\npower = 0.9\n"


def run(folder, engine="exact", asks=ASKS):
    from mpiapp.files.flat_tables import import_table

    (folder / "table.jsonl").write_text(LINE)
    import_table(folder / "table.jsonl", folder / "prep3")
    (folder / "job.toml").write_text(
        f"[[input]]\nprep3 = '{folder / 'prep3'}'\nlevels = ['obsid']\n"
        f"[output]\nresults = '{folder / 'results.h5'}'\n[engine]\nname = '{engine}'\n{asks}"
    )
    done = mpiapp("run", folder / "job.toml")
    assert done.returncode == 0, done.stderr
    return folder / "results.h5"


@pytest.fixture(scope="module")
def results_path(tmp_path_factory):
    return run(tmp_path_factory.mktemp("extras"))


@pytest.fixture(scope="module")
def measured():
    return measure(COUNTS, F, 2, "cnts")


def test_a_job_has_the_numbers_of_the_api(results_path, measured):
    with open_results(results_path) as results:
        rows = results.table("extras")
        t = catalog_table(results, "obsid", ["ml", "no_source", "detection_limit", "hdi_hi"])
    assert rows["row"].tolist() == [0, 1]
    for i, found in enumerate(measured):
        expected = (*found.maximum_likelihood, found.no_source, found.detection_limit(0.01, 0.9),
                    *found.highest_density(0.68))  # fmt: skip
        names = ["ml", "ml_sigma", "no_source", "detection_limit", "hdi_lo", "hdi_hi"]
        assert [rows[name][i] for name in names] == pytest.approx(expected, rel=1e-6)
        assert t["src_cnts_aper_no_source_b"][i] == rows["no_source"][i]
        assert t["src_cnts_aper_hdi_hi_b"][i] == rows["hdi_hi"][i]


def test_a_job_has_backgrounds_and_correlations(results_path, measured):
    with open_results(results_path) as results:
        (background,) = results.table("backgrounds")
        pairs = results.table("correlations")
    (found,) = measured[0].backgrounds
    assert background["background"] == b"S/1/b1"
    numbers = [background[name] for name in ("value", "lolim", "hilim", "mean", "rms", "ml")]
    expected = (found.value, found.lolim, found.hilim, found.mean, found.rms)
    assert numbers == pytest.approx((*expected, found.maximum_likelihood[0]), rel=1e-6)
    assert [(p["row"], p["other"]) for p in pairs] == [(0, b"r2"), (1, b"r1")]
    assert pairs["correlation"] == pytest.approx(measured[0].correlations["s1"], rel=1e-6)


def test_export_writes_backgrounds_and_correlations_with_whose_they_are(results_path, tmp_path):
    with open_results(results_path) as results:
        (stored,), pairs = results.table("backgrounds"), results.table("correlations")
    for name in ("backgrounds", "correlations"):
        call = "export", results_path, tmp_path / f"{name}.fits", "--table", name
        done = mpiapp(*call, "--level", "obsid")
        assert done.returncode == 0, done.stderr
        done = mpiapp(*call, "--level", "stack")
        assert done.returncode == 2 and f"no {name} at level stack" in done.stderr
    (row,) = Table.read(tmp_path / "backgrounds.fits")
    assert (row["target"], row["band"], row["quantity"]) == ("S/1/b1", "b", "cnts")
    assert (row["background"], row["unit"]) == ("S/1/b1", "count pix-1")
    assert row["hilim"] == stored["hilim"] and row["ml"] == stored["ml"]
    found = Table.read(tmp_path / "correlations.fits")
    assert found["component"].tolist() == ["r1", "r2"] and found["other"].tolist() == ["r2", "r1"]
    assert found["correlation"].tolist() == pairs["correlation"].tolist()


def test_the_other_numbers_are_those_of_a_job_that_asks_for_none(results_path, tmp_path):
    plain = run(tmp_path, asks="")
    with open_results(results_path) as asked, open_results(plain) as not_asked:
        mine, theirs = (results.table("photometry") for results in (asked, not_asked))
        assert mine.tobytes() == theirs.tobytes()
        for name in ("extras", "backgrounds", "correlations"):
            assert asked.n_rows(name) > 0 == not_asked.n_rows(name)
            assert len(not_asked.table(name)) == 0
        with pytest.raises(InputError, match=r"no no_source; name it in \[extras\] numbers"):
            catalog_table(not_asked, "obsid", ["no_source"])


def test_shards_keep_them_when_they_are_merged(tmp_path):
    text = "\n[extras]\nnumbers = ['no_source', 'backgrounds']\n"
    config = write_job(tmp_path, "exact", extra=text)
    shards = [tmp_path / f"results.shard{k}of2.h5" for k in (1, 2)]
    for k in (1, 2):
        assert mpiapp("run", config, "--shard", f"{k}/2").returncode == 0
    assert mpiapp("merge", tmp_path / "both.h5", *shards).returncode == 0
    assert mpiapp("run", config).returncode == 0
    with open_results(tmp_path / "both.h5") as both, open_results(tmp_path / "results.h5") as one:
        for name in ("extras", "backgrounds"):
            mine, theirs = (np.sort(r.table(name)) for r in (both, one))
            assert len(mine) and mine.tobytes() == theirs.tobytes()


def test_draws_answer_as_quadrature_within_their_noise(tmp_path, measured):
    path = run(tmp_path, "gibbs")
    with open_results(path) as results:
        rows, pairs = results.table("extras"), results.table("correlations")
        (background,) = results.table("backgrounds")
    for i, found in enumerate(measured):
        assert rows["no_source"][i] == pytest.approx(found.no_source, rel=1e-6)
        low, high = found.highest_density(0.68)
        assert rows["hdi_lo"][i] == pytest.approx(low, abs=0.25 * (high - low))
        assert rows["hdi_hi"][i] == pytest.approx(high, abs=0.25 * (high - low))
    assert pairs["correlation"][0] == pytest.approx(measured[0].correlations["s1"], abs=0.15)
    expected = measured[0].backgrounds[0]
    assert background["value"] == pytest.approx(expected.value, abs=0.3 * expected.rms)


def test_a_table_has_the_same_columns(measured):
    table = Table(
        {
            "bundle": ["p", "p"], "cnts": COUNTS[:2], "cnts_bkg": [692, 692],
            "psf_frac": F[:2, :2], "psf_frac_bkg": F[2, :2], "area": F[:2, 2],
            "area_bkg": [42634.0] * 2,
        }
    )  # fmt: skip
    policy = Policy(extras=Extras(detection=Detection(0.01, 0.9)))
    found = measure_table(
        table, "cnts", policy=policy, extras=["no_source", "detection_limit", "ml", "hdi"],
        levels=[0.9],
    )  # fmt: skip
    for row, one in zip(found, measured):
        assert row["src_cnts_no_source"] == pytest.approx(one.no_source, rel=1e-6)
        limit = one.detection_limit(0.01, 0.9)
        assert row["src_cnts_detection_limit"].value == pytest.approx(limit, rel=1e-6)
        assert row["src_cnts_ml"].value == pytest.approx(one.maximum_likelihood[0], rel=1e-9)
        bounds = row["src_cnts_lo90"].value, row["src_cnts_hi90"].value
        assert bounds == pytest.approx(one.bounds(0.9), rel=1e-9)
        assert row["src_cnts_hdi_hi"].value == pytest.approx(one.highest_density()[1], rel=1e-6)
    with pytest.raises(InputError, match="'limit': expected some of ml, no_source"):
        measure_table(table, "cnts", extras=["limit"])


def test_the_command_writes_them(tmp_path):
    (tmp_path / "in.csv").write_text(
        "cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg\n2,40,0.9,0,10,400\n9,40,0.9,0,10,400\n"
    )
    done = mpiapp("measure", "in.csv", "out.ecsv", "--with", "no_source,detection_limit",
                  "--levels", "90", "--power", "0.9", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = Table.read(tmp_path / "out.ecsv")
    (two, nine) = found["src_cnts_no_source"]
    assert 1 > two > nine > 0
    assert found["src_cnts_detection_limit"][0] == pytest.approx(
        found["src_cnts_detection_limit"][1]
    )
    assert found["src_cnts_hi90"][0] > found["src_cnts_hilim"][0]


def test_what_is_the_same_in_other_units_is_integrated_once(monkeypatch):
    """The quantities of a source differ by their units alone."""
    made = []

    class Counted(extras.WithoutSource):
        def __init__(self, *args):
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr(extras, "WithoutSource", Counted)
    asked = Extras(("no_source", "detection_limit"))
    units = np.array([1.0, 3e-17, 7.0])
    problems = [problem(COUNTS, F / unit, 2, np.full(3, 1e9 * unit)) for unit in units]
    found = [extras.further(p, None, p.sources, asked, Smoothing()).numbers for p in problems]
    assert len(made) == 2
    chances = np.array([numbers["no_source"] for numbers in found])
    limits = np.array([numbers["detection_limit"] for numbers in found])
    assert (chances == chances[0]).all() and (chances[0] > 0).all()
    np.testing.assert_allclose(limits, units[:, None] * limits[0], rtol=1e-11)
