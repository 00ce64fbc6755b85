"""FITS tables as they are read: the numbers that astropy reads, or a message."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from mpiapp.catalog.fault import InputError
from mpiapp.files.fits_read import read_fits

N = 5
EVERY_FORM = {
    "L": np.array([True] * N),
    "3X": np.zeros((N, 3), bool),
    "B": np.arange(N, dtype=np.uint8),
    "I": np.arange(N, dtype=np.int16),
    "J": np.arange(N, dtype=np.int32),
    "C": np.ones(N, np.complex64),
    "2M": np.ones((N, 2), np.complex128),
    "PD(2)": np.array([[1.0, 2.0]] * N, dtype=object),
    "QJ(2)": np.array([[1, 2]] * N, dtype=object),
    "7A": np.array(["a", "bb ", " c", "", "1234567"]),
    "2E": np.ones((N, 2), np.float32),
    "3D": np.arange(3.0 * N).reshape(N, 3),
    "K": np.arange(N) - 2**40,
    "E": np.arange(N, dtype=np.float32) / 3,
    "D": np.arange(N) / 3,
}
KINDS = {"A": "text", "B": "number", "I": "number", "J": "number", "K": "number", "E": "number"}
KINDS |= {"D": "number", "2E": "vector", "3D": "vector", "7A": "text"}


def test_columns_are_those_that_astropy_reads_whatever_is_between_them(tmp_path):
    path = tmp_path / "every.fits"
    columns = [fits.Column(f"c{form}", form, array=a) for form, a in EVERY_FORM.items()]
    image = fits.ImageHDU(np.ones((3, 4), np.int16))
    table = fits.BinTableHDU.from_columns(columns, name="every")
    fits.HDUList([fits.PrimaryHDU(), image, table]).writeto(path)
    hdu = read_fits(path, verify=True).hdus[2]
    assert hdu.name == "EVERY"
    wanted = {f"C{form}": KINDS[form] for form in EVERY_FORM if form in KINDS}
    found = hdu.columns(wanted)
    with fits.open(path) as hdus:
        for name in wanted:
            theirs = hdus[2].data[name]
            if theirs.dtype.kind == "U":
                theirs = np.char.encode(theirs, "ascii")
            np.testing.assert_array_equal(found[name], theirs)
    for form in EVERY_FORM.keys() - KINDS.keys():
        with pytest.raises(InputError, match=r"HDU 2 \(EVERY\), column c.*expected a number"):
            hdu.columns({f"c{form}": "number"})


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64])
def test_whole_numbers_without_a_sign_are_read_and_other_scales_refused(tmp_path, kind):
    values = np.array([0, 1, 2 ** (8 * np.dtype(kind).itemsize - 1), np.iinfo(kind).max], kind)
    path = tmp_path / "unsigned.fits"
    fits.BinTableHDU(np.array(values, [("counts", kind)])).writeto(path)
    found = read_fits(path, verify=True).hdus[1].columns({"counts": "number"})["counts"]
    assert found.tolist() == values.tolist()
    fits.setval(path, "TSCAL1", value=0.5, ext=1)
    with pytest.raises(InputError, match="column counts: TSCAL or TZERO"):
        read_fits(path, verify=False).hdus[1].columns({"counts": "number"})


@pytest.mark.parametrize("form", ["PD()", "QD()"])
def test_arrays_of_variable_length_are_those_that_astropy_reads(tmp_path, form):
    """Of an extension without and with a gap before the heap, and with a row beyond its end."""
    path = tmp_path / "arrays.fits"
    arrays = np.empty(N, dtype=object)
    arrays[:] = [np.arange(float(n)) / 3 for n in (4, 0, 9, 1, 4)]
    table = fits.BinTableHDU.from_columns([fits.Column("F", form, array=arrays)])
    table.writeto(path)
    found = read_fits(path, verify=True).hdus[1].columns({"F": "arrays"})["F"]
    with fits.open(path) as hdus:
        for ours, theirs in zip(found, hdus[1].data["F"], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    # The heap is named to begin 8 bytes later: what lies there is now each array's shifted by one.
    fits.setval(path, "THEAP", value=table.header["NAXIS1"] * N + 8, ext=1)
    shifted = read_fits(path, verify=False).hdus[1].columns({"F": "arrays"})["F"]
    np.testing.assert_array_equal(shifted[0], [1 / 3, 2 / 3, 1, 0])
    assert shifted[-1] is None
    fits.setval(path, "TZERO1", value=2.0**63, ext=1)
    with pytest.raises(InputError, match="column F: TSCAL or TZERO"):
        read_fits(path, verify=False).hdus[1].columns({"F": "arrays"})


def test_a_keyword_that_goes_on_over_several_cards_is_read_whole(tmp_path):
    path = tmp_path / "long.fits"
    primary = fits.PrimaryHDU()
    primary.header["STACKID"] = "s" * 150
    primary.writeto(path)
    (hdu,) = read_fits(path, verify=True).hdus
    assert hdu.keyword("STACKID") == "s" * 150
