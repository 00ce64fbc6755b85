"""Instruments and bands that are not the catalog's, in tables, jobs and products."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import environment, photometry
from scipy import stats

from mpiapp import Flag, InputError, InputWarning, Outcome, measure_table
from mpiapp.catalog.instruments import band_problem, instrument_problem
from mpiapp.catalog.priors import prior_bounds
from mpiapp.config import Config, load
from mpiapp.files.catalog_tables import read_table
from mpiapp.files.column_map import Given
from mpiapp.files.counts_table import find_counts
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3, write_mst3
from mpiapp.files.prep3 import read_prep3
from mpiapp.photometry.ladder import Policy
from mpiapp.posterior import Smoothing

UNSMOOTHED = Policy(smoothing=Smoothing(bandwidth=0.01))


def erosita():
    """Four rows as eROSITA's catalogs have them; the counts of the second have overflowed."""
    return Table(
        {
            "IAUNAME": [f"1eRASS J00000{i}.0-010203" for i in range(4)],
            "SKYTILE": [1090, 1090, 1090, 1093],
            "APE_CTS_1": np.array([12, -32760, 0, 30], np.int16),
            "APE_BKG_1": np.array([2.5, 7.0, 1.5, 3.0], np.float32),
            "APE_EXP_1": np.array([150.0, 160.0, 140.0, 200.0], np.float32),
            "APE_EEF_1": np.full(4, 0.75, np.float32),
            "APE_CTS_P2": np.array([5, 3, 0, 9], np.int16),
            "APE_BKG_P2": np.array([1.0, 1.5, -0.1, 1.2], np.float32),
            "APE_EXP_P2": np.array([150.0, 160.0, 140.0, 200.0], np.float32),
            "APE_EEF_P2": np.full(4, 0.75, np.float32),
        }
    )


def test_a_catalog_of_erosita_is_measured_as_it_is_and_overflow_is_told():
    with pytest.warns(InputWarning) as said:
        found = measure_table(erosita(), progress=False)
    told = "\n".join(str(w.message) for w in said)
    assert (
        "APE_CTS_1: -32760, expected a number that is not negative (overflow of 16 bits?)" in told
    )
    assert "APE_BKG_P2: -0.1" in told
    assert found["band"].tolist() == ["1", "P2"] * 4
    bad = found["src_rate_outcome"] == Outcome.NULL_BAD_INPUT
    assert np.flatnonzero(bad).tolist() == [2, 5]
    assert (found["src_rate_flags"][~bad] == Flag.KNOWN_BACKGROUND).all()
    plain = {"cnts": [12], "bkg": [2.5], "psf_frac": [0.75], "exposure_rate": [150.0]}
    alone = measure_table(plain, "rate", progress=False)
    assert found["src_rate"][0] == alone["src_rate"][0]


def test_apertures_of_erass_hold_three_quarters_of_the_psf_unless_told_otherwise():
    """Band 1 of 3eRASS J094452.8-711152: the fit, of the whole PSF, has 2181.16 ± 48.45 counts."""
    row = {"APE_CTS_1": [1637], "APE_BKG_1": [5.58296], "APE_EXP_1": [1276.99]}
    found = measure_table(row, progress=False)
    assert found["src_cnts"][0].value == pytest.approx(2181.16, abs=48.45)
    for values, is_told in (({}, True), ({"psf_frac": 0.6}, False)):
        layout = find_counts(read_table(row), Given(values=values)).layout
        notes = "\n".join(layout.notes((), of_jobs=False))
        assert ("psf_frac is 0.75 in all rows: the apertures of eRASS1 hold" in notes) == is_told


def test_a_fraction_is_assumed_of_the_bands_alone_that_have_none():
    table = erosita()
    table.remove_columns(["APE_EEF_1"])
    table["APE_EEF_P2"] = 0.6
    counts = find_counts(read_table(table))
    assert counts.numbers["psf_frac"].tolist() == pytest.approx([0.75, 0.6] * 4)


def test_the_chance_of_no_source_is_the_ape_pois_of_erosita():
    """Bands P5 to P9 of 3eRASS J094452.8-711152 (eRASS3_Main_v1.3)."""
    counts, background = [9, 21, 2, 4, 2], [6.85817, 12.9978, 1.93052, 2.155, 2.15884]
    chance = [0.252614, 0.0249731, 0.574861, 0.171873, 0.635284]
    row = {}
    for band, c, b in zip(("P5", "P6", "P7", "P8", "P9"), counts, background):
        row |= {f"APE_CTS_{band}": [c], f"APE_BKG_{band}": [b], f"APE_EXP_{band}": [600.0]}
    found = measure_table(row, "cnts", progress=False, extras=["no_source"])
    assert found["band"].tolist() == ["P5", "P6", "P7", "P8", "P9"]
    assert found["src_cnts_no_source"] == pytest.approx(chance, rel=1e-4)


def rapidxmm():
    """A row of the server, as its authors' package shows it (github.com/ruizca/rapidxmm)."""
    row = {"npixel": [4625393631], "obsid": ["9184000003"], "instrum": ["PN"], "eef": [0.85]}
    exposures = {6: 3.565029, 7: 2.364278, 8: 2.7630625}
    for band, exposure in exposures.items():
        row |= {f"band{band}_exposure": [exposure], f"band{band}_src_counts": [0]}
        row |= {f"band{band}_bck_counts": [0.0]}
    return Table(row)


def test_limits_of_rapidxmm_come_back_from_its_counts(tmp_path):
    """Its limits, of one side, are at the levels 0.8413, 0.9772 and 0.9986.

    A kernel of 0.01 rms widens the density of no counts by 0.1 %.
    """
    levels = [0.8413, 0.9772, 0.9986]
    found = measure_table(rapidxmm(), "rate", progress=False, levels=levels, policy=UNSMOOTHED)
    assert found["band"].tolist() == ["6", "7", "8"]
    published = [
        [0.60744977, 1.24774, 2.1685438],
        [0.91595656, 1.8814322, 3.2698865],
        [0.7837593, 1.6098908, 2.7979536],
    ]
    limits = [found[f"src_rate_hi{100 * level:.6g}".replace(".", "_")] for level in levels]
    assert np.transpose(limits) == pytest.approx(np.array(published), rel=1.2e-3)
    rapidxmm().write(tmp_path / "limits.csv")
    (file,) = import_table(tmp_path / "limits.csv", tmp_path / "out").files
    prep3 = read_prep3(file)
    assert prep3.header[1:4] == ("PN", "9184000003", "PN")
    F = prep3.bundles["4625393631"].F["7", "aper", "rate"]
    assert pytest.approx(np.array([[0.85 * 2.364278, 0.0], [0.0, 0.0]])) == F


def test_rates_and_limits_of_swift_come_back_from_its_counts():
    """LSXPS J062126.9-622317 and limits at 77.969 −62.324, of the documentation of swifttools.

    Its rates agree with its counts to 2e-5; its limits, at 99.73 %, have three or four digits and
    are found to 0.5 %.
    """
    source = {
        "IAUName": ["LSXPS J062126.9-622317"], "Exposure": [1186293.8928],
        "Counts_band0": [597], "BgCounts_band0": [512.445957481861],
        "RateCF_band0": [1.47021977682665],
        "Counts_band3": [231], "BgCounts_band3": [208.22353803739],
        "RateCF_band3": [1.47015077843438],
    }  # fmt: skip
    counts = find_counts(read_table(source))
    numbers = counts.numbers
    rates = (numbers["cnts"] - numbers["bkg"]) / (numbers["psf_frac"] * numbers["exposure_rate"])
    assert rates == pytest.approx([0.00010479103345663, 2.82258505525886e-05], rel=3e-5)
    assert counts.names["band"] == ["0", "3"]
    limits = {
        "ImageExposure": [36730.542969, 190.5548, 1313.8252],
        "Total_Counts": [575.0, 1.0, 3.0],
        "Total_BGCounts": [579.319382, 0.054678, 0.533764],
        "Total_CorrectionFactor": [1.422133, 1.703401, 1.218156],
    }
    found = measure_table(limits, "rate", progress=False, levels=[0.9973], policy=UNSMOOTHED)
    published = np.array([0.002796, 0.072142, 0.010449])
    assert found["src_rate_hi99_73"].value == pytest.approx(published, rel=5e-3)


def nustar():
    """Names as HEASARC's NUSTARSSC has them."""
    return Table(
        {
            "name": ["NuSTAR J000000-000000"],
            "fb_counts": [120], "fb_bkg_counts": [80.0], "fb_exposure": [4e4],
            "sb_counts": [60], "sb_bkg_counts": [35.0], "sb_exposure": [4e4],
        }
    )  # fmt: skip


def test_a_catalog_of_nustar_needs_the_fraction_of_the_psf():
    with pytest.raises(InputError, match=r"NuSTAR's catalogs.*\n  psf_frac: fraction of the PSF"):
        measure_table(nustar(), progress=False)
    table = nustar()
    table["psf_frac"] = 0.5
    found = measure_table(table, "rate", progress=False, extras=["ml"])
    assert found["band"].tolist() == ["FB", "SB"]
    assert found["src_rate_ml"].value == pytest.approx([40 / 2e4, 25 / 2e4])
    for band in ("fb", "sb"):
        table.rename_column(f"{band}_bkg_counts", f"{band}_b")
    with pytest.raises(InputError, match="bkg: counts to be expected"):
        measure_table(table, progress=False)
    mapped = measure_table(table, "rate", columns={"bkg": "{band}_b"}, progress=False)
    assert (mapped["src_rate"] == found["src_rate"]).all()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["EP_8_CTS", "PN_8_CTS", "PN_8_RATE"], "CTS are source counts of a fit.*RapidXMM"),
        (["ML_CTS_1", "ML_RATE_1"], "add the columns APE_CTS, APE_BKG and APE_EXP"),
        (["fb_counts", "fb_exposure"], "bkg: counts to be expected .*; there FB_bkg_counts"),
        (["Counts_band0", "BgCounts_band0"], "psf_frac: .*; there 1/RateCF_band0"),
    ],
)
def test_catalogs_that_lack_counts_say_which_columns_would_do(columns, said):
    with pytest.raises(InputError, match=f"(?s){said}"):
        measure_table({name: [1.5] for name in columns}, progress=False)


def test_wide_tables_of_any_names_are_told_with_placeholders(tmp_path):
    table = Table(
        {
            "NAME": ["x", "y"], "SOFT_N": [7, 3], "HARD_N": [2, 0], "SOFT_B": [2.5, 1.0],
            "HARD_B": [1.0, 1.0], "CORRECTION": [2.0, 0.5], "T": [100.0, 200.0],
        }
    )  # fmt: skip
    columns = {
        "cnts": "{band}_N", "bkg": "{band}_B", "psf_frac": "1/CORRECTION", "exposure_rate": "T",
        "component": "NAME",
    }  # fmt: skip
    with pytest.warns(InputWarning, match=r"column 1/CORRECTION: 2, expected a fraction up to 1"):
        found = measure_table(table, columns=columns, progress=False, extras=["ml"])
    assert found["band"].tolist() == ["SOFT", "HARD"] * 2
    assert found["src_rate_ml"].value[:2] == pytest.approx([4.5 / 50.0, 1.0 / 50.0])
    with pytest.raises(InputError, match=r"no band has the columns \{band\}_COUNTS; it has"):
        measure_table(table, columns={"cnts": "{band}_COUNTS"}, progress=False)


def run(*arguments, folder):
    """What the command line prints."""
    command = [sys.executable, "-m", "mpiapp", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 4), done.stderr
    return done.stdout + done.stderr


def test_a_job_measures_bands_of_its_own_and_its_product_describes_them(tmp_path):
    erosita().write(tmp_path / "erass.fits")
    report = import_table(tmp_path / "erass.fits", tmp_path / "prep3")
    assert len(report.faults) == 2
    headers = [read_prep3(path).header for path in report.files]
    assert {header.instrument for header in headers} == {"eROSITA"}
    # of a tile, where the table has no exposure_s: the largest of its sources
    assert [header.exposure for header in headers] == [160.0, 200.0]
    (tmp_path / "job.toml").write_text(
        "[[input]]\nprep3 = 'prep3'\nlevels = ['obsid']\n[output]\nresults = 'results.h5'\n"
        "[engine]\nname = 'exact'\n[bands]\n1 = [0.2, 2.3]\nP2 = [0.5, 1.0]\n"
    )
    run("run", "job.toml", folder=tmp_path)
    run("export", "results.h5", "product.fits", "--level", "obsid", folder=tmp_path)
    with fits.open(tmp_path / "product.fits") as hdus:
        columns = hdus[1].columns
        header = str(hdus[1].header)
        assert {"src_rate_aper_1", "src_rate_aper_P2", "src_rate_aper_hilim_1"} <= set(
            columns.names
        )
        assert np.isfinite(hdus[1].data["src_rate_aper_hilim_P2"]).sum() == 3
    assert "0.2-2.3 keV" in header
    assert "phot.count;em.X-ray.soft" in header


# Counts of a source in three scans: P2 is steady, P1 has a step, and so has no constant hardness.
SCANS = {"P1": (100, 400, 104), "P2": (150, 155, 148)}
SURVEY = """
levels = ['obsid', 'master']
mst3 = 'mst3.fits'
[output]
results = 'results.h5'
mpdf = ['* aper rate']
[engine]
name = 'exact'
[bands]
P1 = [0.2, 0.5]
P2 = [0.5, 1.0]
[products]
quantity = 'rate'
hardness = {P2P1 = ['P2', 'P1']}
"""


def test_a_survey_in_two_bands_has_hardness_variability_blocks_and_light_curve(tmp_path):
    n = [100, 101, 102]
    table = Table({"obsid": n * 2, "cnts": [*SCANS["P1"], *SCANS["P2"]]})
    table["band"] = np.repeat(list(SCANS), 3)
    shared = {"stack": "S", "component": "r1", "instrument": "eROSITA", "aperture": "aper"}
    shared |= {"bkg": 2.0, "psf_frac": 0.75, "exposure_rate": 150.0, "exposure_s": 150.0}
    for name, value in shared.items():
        table[name] = value
    table["mjd"] = np.tile([59000.0, 59180.0, 59360.0], 2)
    table.write(tmp_path / "table.ecsv")
    import_table(tmp_path / "table.ecsv", tmp_path / "prep3")
    write_mst3(tmp_path / "mst3.fits", [("M", "u", "S", "r1")])
    (tmp_path / "job.toml").write_text(f"[[input]]\nprep3 = 'prep3'{SURVEY}")
    run("run", "job.toml", folder=tmp_path)
    run("export", "results.h5", "masters.ecsv", folder=tmp_path)
    (row,) = Table.read(tmp_path / "masters.ecsv")
    chance = {
        band: stats.chi2.sf(2 * sum(c * np.log(c / np.mean(seen)) for c in seen), 2)
        for band, seen in ((b, np.array(c) - 2.0) for b, c in SCANS.items())
    }
    # the deviance of counts is that of densities but for the background's 2 counts
    assert row["var_chance_P2"] == pytest.approx(chance["P2"], abs=0.02)
    assert row["var_chance_P1"] < 1e-20 and chance["P1"] < 1e-20
    assert row["var_inter_hard_flag"] == 1
    said = run("blocks", "results.h5", "mst3.fits", "blocks.fits", "--time", folder=tmp_path)
    assert "1 master sources, 1 in several blocks" in said
    blocks = read_mst3(tmp_path / "blocks.fits").associations
    assert blocks.blocks_of("M") == {1: [("S", "100"), ("S", "102")], 2: [("S", "101")]}
    assert len(blocks.time_blocks_of("M")) == 3
    run("blocks", "results.h5", "mst3.fits", "steady.fits", "--bands", "P2", folder=tmp_path)
    assert len(read_mst3(tmp_path / "steady.fits").associations.blocks_of("M")) == 1
    run("lightcurve", "results.h5", "M", "--bands", "P1", "--out", "curve.ecsv", folder=tmp_path)
    curve = Table.read(tmp_path / "curve.ecsv")
    # modes of (n - 2) / (0.75 * 150), of smoothed densities: right to a tenth of √n
    assert curve["value"][:3] * 112.5 == pytest.approx([98, 398, 102], abs=2.0)
    # what was not named when the sources were measured is named afterwards
    other = SURVEY.replace("P2P1 = ['P2', 'P1']", "soft = ['P1', 'P2']")
    (tmp_path / "other.toml").write_text(f"[[input]]\nprep3 = 'prep3'{other}")
    command = ("export", "results.h5", "other.ecsv", "--level", "obsid", "--config", "other.toml")
    run(*command, folder=tmp_path)
    run("export", "results.h5", "own.ecsv", "--level", "obsid", folder=tmp_path)
    own, other = (Table.read(tmp_path / f"{name}.ecsv") for name in ("own", "other"))
    half = (own["hard_P2P1_hilim"] - own["hard_P2P1_lolim"]) / 2
    assert np.allclose(own["hard_P2P1"] / half, -other["hard_soft"] / half, atol=2e-3)


def test_upper_bounds_of_priors_are_those_of_the_instrument(tmp_path):
    table = erosita()[:1]
    table["APE_CTS_1"], table["APE_EXP_1"] = 30_000, 200.0  # 200 counts a second
    table.write(tmp_path / "erass.fits")
    import_table(tmp_path / "erass.fits", tmp_path / "prep3")
    job = (
        "[[input]]\nprep3 = 'prep3'\nlevels = ['obsid']\n[output]\nresults = 'NAME.h5'\n"
        "[engine]\nname = 'exact'\n"
    )
    flags, hashes, values = {}, {}, {}
    for name, more in (("plain", ""), ("own", "[priors.upper.eROSITA]\nrate = [1e4, 1e-3]\n")):
        (tmp_path / f"{name}.toml").write_text(job.replace("NAME", name) + more)
        run("run", f"{name}.toml", folder=tmp_path)
        rows = photometry(tmp_path / f"{name}.h5")
        (row,) = rows[(rows["quantity"] == b"rate") & (rows["band"] == b"1")]
        flags[name], values[name] = Flag(int(row["flags"])), row["value"]
        hashes[name] = load(tmp_path / f"{name}.toml").hash()
    # Table 1 has 10 counts a second, and ten times that after the first attempt
    assert np.isnan(values["plain"])
    assert Flag.PRIOR_RAISED not in flags["own"]
    assert values["own"] == pytest.approx((30_000 - 2.5) / (0.75 * 200), rel=1e-3)
    assert hashes["plain"] != hashes["own"]
    bounds = prior_bounds(["rate"], ["A", "ACIS"], 1, None, {"A": {"rate": (50.0, 0.5)}})
    assert bounds.tolist() == [[50.0, 0.5, 1e-3]]


def test_bands_of_a_configuration_are_the_catalogs_or_named_in_it():
    needed = {"input": [{"prep3": "x"}], "output": {"results": "y.h5"}}
    with pytest.raises(
        ValueError, match=r"select\.bands\.0 = 'bb': expected one of .*in \[bands\]"
    ):
        Config.model_validate(needed | {"select": {"bands": ["bb"]}})
    own = {"bands": {"bb": (0.3, 10.0)}, "select": {"bands": ["bb", "b"]}}
    assert Config.model_validate(needed | own).select.bands == ["bb", "b"]
    with pytest.raises(ValueError, match=r"bands\.x = \[2\.0, 1\.0\]"):
        Config.model_validate(needed | {"bands": {"x": (2.0, 1.0)}})
    with pytest.raises(ValueError, match=r"products\.hardness\.xh\.0 = 'x': expected one of"):
        Config.model_validate(needed | {"products": {"hardness": {"xh": ("x", "h")}}})


def test_names_of_the_catalogs_instruments_and_their_bands_are_checked_those_of_others_free():
    assert instrument_problem("acis") == "is ACIS in capitals"
    assert not instrument_problem("EPIC-pn")
    assert band_problem("w", "ACIS").startswith("is none of b, h, m, s, u for ACIS")
    assert not band_problem("0.5-2", "ACIS") and band_problem("Broad", "ACIS")
    assert not band_problem("w", "EPIC-pn")
    assert band_problem("a/b", "EPIC-pn")
