"""Tables with known backgrounds and Gamma priors, measured as tables and imported for a job."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from scipy import stats

from mpiapp import Flag, InputError, InputWarning, Outcome, measure_table
from mpiapp.files.flat_tables import import_table
from mpiapp.files.prep3 import read_prep3

KNOWN = {
    "cnts": [7, 0, 40],
    "bkg": [2.5, 1.0, 30.0],
    "psf_frac": [0.9, 0.8, 0.75],
    "exposure_rate": [1e3, 2e3, 3e3],
}
MEASURED = {
    "cnts": [30, 4],
    "cnts_bkg": [60, 50],
    "psf_frac": [0.9, 0.8],
    "psf_frac_bkg": [0.02, 0.0],
    "area": [10.0, 12.0],
    "area_bkg": [300.0, 400.0],
}


def test_a_column_of_expected_counts_takes_the_place_of_a_background_aperture():
    found = measure_table(KNOWN, "rate", progress=False)
    rms = found["src_rate_rms"].value
    for row in range(3):
        counts, expected = KNOWN["cnts"][row], KNOWN["bkg"][row]
        seen = KNOWN["psf_frac"][row] * KNOWN["exposure_rate"][row]
        total = stats.gamma(counts + 1)
        mean = total.expect(lambda x, b=expected: x - b, lb=expected) / total.sf(expected) / seen
        assert found["src_rate_mean"][row].value == pytest.approx(mean, rel=1e-6)
    assert (found["src_rate_flags"] == Flag.KNOWN_BACKGROUND).all()
    wider = measure_table(KNOWN | {"bkg_err": [1.5, 0.5, 9.0]}, "rate", progress=False)
    assert (wider["src_rate_rms"].value[[0, 2]] > rms[[0, 2]]).all()


def test_rows_with_either_background_stand_in_one_table():
    both = {name: [*values, np.nan] for name, values in MEASURED.items()}
    both |= {"bkg": [np.nan, np.nan, 2.5]}
    both["cnts"][2], both["psf_frac"][2] = 7, 0.9
    found = measure_table(both, "cnts", progress=False)
    alone = measure_table(MEASURED, "cnts", progress=False)
    np.testing.assert_array_equal(found["src_cnts"][:2], alone["src_cnts"])
    known = measure_table({"cnts": [7], "bkg": [2.5], "psf_frac": [0.9]}, "cnts", progress=False)
    assert found["src_cnts"][2] == known["src_cnts"][0]
    assert found["src_cnts_flags"].tolist() == [0, 0, Flag.KNOWN_BACKGROUND]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"bkg": [2.5, np.nan]}, "either known or measured, or it would count twice"),
        ({"prior_mean_cnts": [3.0, np.nan]}, "needs a positive mean and rms"),
        (
            {"prior_mean_cnts": [3.0, np.nan], "prior_rms_cnts": [4.0, np.nan]},
            "below 1 has no largest value",
        ),
        (
            {
                "prior_mean_cnts": [3.0, 1],
                "prior_rms_cnts": [1.0, 1],
                "prior_alpha_cnts": [3, None],
            },
            "either mean and rms, or",
        ),
    ],
)
def test_rows_that_contradict_themselves_are_refused_with_the_reason(column, said):
    with pytest.warns(InputWarning, match=said):
        found = measure_table(MEASURED | column, "cnts", progress=False)
    outcomes = found["src_cnts_outcome"].tolist()
    assert outcomes[0] == Outcome.NULL_BAD_INPUT
    assert outcomes[1] != Outcome.NULL_BAD_INPUT


def test_an_error_larger_than_the_background_is_refused():
    table = {"cnts": [7, 7], "bkg": [2.5, 2.5], "bkg_err": [3.0, 2.0], "psf_frac": [0.9, 0.9]}
    with pytest.warns(InputWarning, match=r"3 is more than the 2\.5 counts that are expected"):
        found = measure_table(table, "cnts", progress=False)
    assert np.isnan(found["src_cnts"][0].value)
    assert np.isfinite(found["src_cnts"][1].value)


def test_a_table_without_any_background_is_told_of_both_ways():
    with pytest.raises(InputError, match=r"or bkg: counts to be expected"):
        measure_table({"cnts": [7], "psf_frac": [0.9]}, "cnts", progress=False)


def test_bundles_share_a_known_background_of_one_relative_error():
    table = {
        "bundle": ["x", "x", "y", "y"],
        "cnts": [7, 3, 7, 3],
        "bkg": [2.5, 2.0, 2.5, 2.0],
        "bkg_err": [0.5, 0.4, 0.5, 0.1],
        "psf_frac": [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]],
    }
    found = measure_table(table, "cnts", progress=False)
    assert np.isfinite(found["src_cnts_mode"].value[:2]).all()
    assert (found["src_cnts_outcome"][2:] == Outcome.NULL_BAD_INPUT).all()


def test_a_prior_by_moments_is_that_by_shape_and_marks_its_rows():
    moments = {"prior_mean_cnts": [20.0, np.nan], "prior_rms_cnts": [5.0, np.nan]}
    shape = {"prior_alpha_cnts": [16.0, np.nan], "prior_beta_cnts": [0.8, np.nan]}
    found = measure_table(MEASURED | moments, "cnts", progress=False)
    other = measure_table(MEASURED | shape, "cnts", progress=False)
    np.testing.assert_allclose(found["src_cnts_mean"].value, other["src_cnts_mean"].value)
    plain = measure_table(MEASURED, "cnts", progress=False)
    assert found["src_cnts_rms"][0] < plain["src_cnts_rms"][0]
    assert found["src_cnts"][1] == plain["src_cnts"][1]
    assert found["src_cnts_flags"].tolist() == [Flag.GAMMA_PRIOR, 0]


def test_a_prior_of_the_background_is_more_of_its_aperture():
    """25 counts in 180 pixels, which see nothing of the source, are α = 26, β = 180."""
    prior = {"prior_alpha_cnts_bkg": [np.nan, 26.0], "prior_beta_cnts_bkg": [np.nan, 180.0]}
    found = measure_table(MEASURED | prior, "cnts", progress=False)
    larger = {name: [*values] for name, values in MEASURED.items()}
    larger["cnts_bkg"][1], larger["area_bkg"][1] = 75, 580.0
    wanted = measure_table(larger, "cnts", progress=False)
    np.testing.assert_allclose(found["src_cnts_mean"].value, wanted["src_cnts_mean"].value)


def test_known_backgrounds_go_through_prep3_files(tmp_path):
    table = Table(KNOWN | {"bkg_err": [0.5, 0.0, 3.0]})
    for name, value in {
        "obsid": "1",
        "instrument": "ACIS",
        "band": "b",
        "aperture": "aper",
    }.items():
        table[name] = [value] * 3
    table["component"] = ["x", "y", "z"]
    table.write(tmp_path / "table.fits")
    report = import_table(tmp_path / "table.fits", tmp_path / "out")
    assert report.accepted == 3
    file = read_prep3(report.files[0])
    assert not file.faults
    x = file.bundles["x"]
    np.testing.assert_array_equal(x.counts["b", "aper"], [7, -1])
    np.testing.assert_allclose(x.F["b", "aper", "rate"], [[900.0, 2.5], [0.0, 0.2]])
