"""Tables of regions, read without astropy's columns, against astropy."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from mpiapp.catalog.fault import InputError
from mpiapp.extract.fits_input import read_tables


def columns(n: int) -> list[fits.Column]:
    rng = np.random.default_rng(n)
    return [
        fits.Column("X", "D", array=rng.normal(size=n)),
        fits.Column("shape", "8A", array=["Ellipse", "!Circle"][:n]),
        fits.Column("R", "2E", array=rng.normal(size=(n, 2))),
        fits.Column("Corners", "6D", dim="(2,3)", array=rng.normal(size=(n, 3, 2))),
        fits.Column("COMPONENT", "I", array=rng.integers(-9, 9, n)),
    ]


MORE = {
    "plain": [],
    "scaled": [fits.Column("U", "J", bzero=2**31, array=np.array([1, 2**31 + 5], np.uint32))],
    "of different lengths": [fits.Column("V", "PD", array=[np.arange(2.0), np.arange(3.0)])],
    "bits": [fits.Column("B", "5X", array=np.eye(2, 5, dtype=bool))],
}


@pytest.mark.parametrize("kind", MORE)
def test_columns_are_what_astropy_makes_of_them(tmp_path, kind):
    tables = [
        fits.BinTableHDU.from_columns(columns(2) + MORE[kind], name="A"),
        fits.BinTableHDU.from_columns(columns(0), name="NONE"),
    ]
    path = tmp_path / "t.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2))), *tables]).writeto(path)
    found = read_tables(path)
    assert list(found) == ["A", "NONE"]
    with fits.open(path) as hdus:
        for name, (mine, described) in found.items():
            data = hdus[name].data
            assert list(mine) == [c.upper() for c in data.names]
            assert described.header["TTYPE4"] == "Corners"
            for column in data.names:
                values = mine[column.upper()]
                if values.dtype.kind == "S":
                    values = np.char.decode(values)
                assert [*map(str, values)] == [*map(str, data[column])]


def test_rows_that_the_header_promises_and_the_file_has_not_are_told(tmp_path):
    path = tmp_path / "t.fits"
    fits.BinTableHDU.from_columns(columns(2), name="A").writeto(path)
    content = path.read_bytes()
    rows = b"NAXIS2  =" + b"%21d"
    path.write_bytes(content.replace(rows % 2, rows % 2_000_000))
    with pytest.raises(InputError, match="cannot be read"):
        read_tables(path)
