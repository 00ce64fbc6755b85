"""Exposure maps: in which unit they are."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from mpiapp.catalog.fault import InputError
from mpiapp.extract.sky import read_exposure_map


@pytest.mark.parametrize("unit", ["", "cm**2 s", "cm**2 s count/photon", "cm**2*sec"])
def test_a_map_in_cm2_s_is_taken_as_is_one_that_does_not_say(tmp_path, unit):
    hdu = fits.PrimaryHDU(np.full((3, 4), 2.5))
    if unit:
        hdu.header["BUNIT"] = unit
    hdu.writeto(tmp_path / "map.fits")
    assert read_exposure_map(tmp_path / "map.fits").peak == 2.5


@pytest.mark.parametrize("unit", ["cm**2", "s", "photon/cm**2"])
def test_a_map_in_another_unit_is_refused(tmp_path, unit):
    hdu = fits.PrimaryHDU(np.ones((3, 4)))
    hdu.header["BUNIT"] = unit
    hdu.writeto(tmp_path / "map.fits")
    with pytest.raises(InputError, match=r"map\.fits: BUNIT"):
        read_exposure_map(tmp_path / "map.fits")
