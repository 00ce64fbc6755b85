"""Instruments and bands that are not the catalog's, in tables, jobs and products."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import environment

from mpiapp import Flag, InputError, InputWarning, Outcome, measure_table
from mpiapp.catalog.instruments import band_problem, instrument_problem
from mpiapp.config import Config
from mpiapp.files.flat_tables import import_table
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


def test_names_of_the_catalogs_instruments_and_their_bands_are_checked_those_of_others_free():
    assert instrument_problem("acis") == "is ACIS in capitals"
    assert not instrument_problem("EPIC-pn")
    assert band_problem("w", "ACIS") == "is none of b, h, m, s, u for ACIS"
    assert not band_problem("w", "EPIC-pn")
    assert band_problem("a/b", "EPIC-pn")
