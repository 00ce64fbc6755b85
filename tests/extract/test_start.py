"""The start of an observation from headers, against CSC's row of HRC obsid 7563."""

from __future__ import annotations

import pytest
from astropy.io import fits

from mpiapp.extract.sky import start_of


def test_the_start_follows_from_seconds_since_the_reference_date():
    header = fits.Header({"MJDREF": 50814.0, "TSTART": 309556594.855})  # gti_start
    assert start_of(header) == pytest.approx(54396.83096, abs=1e-5)  # gti_mjd_obs


def test_a_date_that_is_told_is_taken_and_none_is_made_up():
    told = {"MJDREF": 50814.0, "TSTART": 0.0}
    assert start_of(fits.Header({"MJD-OBS": 54396.83, **told})) == 54396.83
    assert start_of(fits.Header({"MJD_OBS": 54396.83, **told})) == 54396.83
    assert start_of(fits.Header({"TSTART": 309556594.855})) is None
