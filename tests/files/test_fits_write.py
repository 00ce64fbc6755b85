"""FITS files as they are written: what astropy reads, with checksums that fit, always the same."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from mpiapp.files.fits_write import Field, table_hdu, text_array, write_hdus


def example(path):
    fields = [
        Field("a name", text_array(["b1", "source 2", ""]), comment="what it is"),
        Field("x" * 60, np.array([0.1, np.nan, -1e300]), "erg s-1"),
        Field("F", np.arange(6.0).reshape(3, 2)),
        Field("it's", np.array([-(2**62), 0, 7])),
    ]
    write_hdus(path, [fits.PrimaryHDU(), table_hdu("SOME", fields)])
    return path, fields


def test_astropy_reads_what_was_written_and_its_checksums_fit(tmp_path):
    path, fields = example(tmp_path / "some.fits")
    with fits.open(path, checksum=True) as hdus:
        assert all(hdu.verify_checksum() == hdu.verify_datasum() == 1 for hdu in hdus)
        table = hdus["SOME"]
        assert table.columns["x" * 60].unit == "erg s-1"
        assert table.header.comments["TTYPE1"] == "what it is"
        assert table.data["a name"].tolist() == ["b1", "source 2", ""]
        for field in fields[1:]:
            np.testing.assert_array_equal(table.data[field.name], field.array)


def test_the_same_contents_give_the_same_bytes(tmp_path):
    first, _ = example(tmp_path / "1.fits")
    second, _ = example(tmp_path / "2.fits")
    assert first.read_bytes() == second.read_bytes()
