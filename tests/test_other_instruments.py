"""Instruments and bands that are not the catalog's, in tables, jobs and products."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import environment
from scipy import stats

from mpiapp import Flag, InputError, InputWarning, Outcome, measure_table
from mpiapp.catalog.instruments import band_problem, instrument_problem
from mpiapp.config import Config
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3, write_mst3
from mpiapp.files.prep3 import read_prep3


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


def test_fractions_that_a_catalog_lacks_are_asked_for():
    table = erosita()
    table.remove_columns(["APE_EEF_1", "APE_EEF_P2"])
    with pytest.raises(InputError, match="psf_frac: fraction of the PSF"):
        measure_table(table, progress=False)


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
    assert {read_prep3(path).header.instrument for path in report.files} == {"eROSITA"}
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
