"""Headers that are like known ones are read as astropy reads them, or left to it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from example_files import three_bundles, write_example

from mpiapp.catalog.fault import InputError
from mpiapp.files import fits_headers, fitsio
from mpiapp.files.prep3 import read_prep3


def read(path):
    """All that a file says, or what is wrong with it as a whole."""
    try:
        file = read_prep3(path, verify=False)
    except InputError as error:
        return str(error)
    matrices = {(b, m): F.tolist() for b, x in file.bundles.items() for m, F in x.F.items()}
    counts = {(b, m): c.tolist() for b, x in file.bundles.items() for m, c in x.counts.items()}
    return file.header, matrices, counts, [f.message for f in file.faults]


def by_astropy_alone(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fitsio, "known_table", lambda *where: None)
        return read(path)


@pytest.fixture
def example(tmp_path):
    path = tmp_path / "example.fits"
    write_example(path, three_bundles())
    read(path)  # and so its headers are known
    return path


def test_a_known_header_says_what_astropy_says(example, monkeypatch):
    asked = []
    known = fits_headers.known_table

    def count(*where):
        asked.append(known(*where))
        return asked[-1]

    monkeypatch.setattr(fitsio, "known_table", count)
    found = read(example)
    assert sum(table is not None for table in asked) >= len(asked) - 1 > 4  # but the primary
    assert found == by_astropy_alone(example, monkeypatch)
    assert found[1]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("NAXIS2", "2"), ("NAXIS2", "-1"), ("NAXIS2", "1.5"), ("NAXIS2", "'3'"), ("NAXIS2", ""),
        ("PCOUNT", "8"), ("PCOUNT", "-8"), ("PCOUNT", "T"), ("PCOUNT", "99999999999"),
        ("BAND", "'q'"), ("BAND", "'h  '"), ("BAND", "7"), ("BAND", "'h"), ("BAND", ""),
        ("EXTNAME", "'psf_x'"), ("EXTNAME", "' PSF'"), ("EXTNAME", "12"), ("EXTNAME", "'OTHER'"),
        ("APERTURE", "'aper90'"), ("QUANTITY", "'rate'"), ("QUANTITY", "(1,2)"),
        ("NAXIS1", "40"), ("TFIELDS", "2"), ("TFORM3", "'PD(9)'"), ("TTYPE3", "'G'"),
        ("BITPIX", "16"), ("GCOUNT", "0"), ("THEAP", "1"), ("XTENSION", "'TABLE'"),
    ],
)  # fmt: skip
def test_a_damaged_header_gives_what_astropy_alone_would(example, monkeypatch, keyword, value):
    data = example.read_bytes()
    at = [m.start() for m in re.finditer(rf"{keyword:8}=".encode(), data) if m.start() % 80 == 0]
    if not at:  # a keyword that the file does not have, in the place of one that it can spare
        at = [m.start() for m in re.finditer(b"TUNIT3  =", data) if m.start() % 80 == 0]
    for place in at[-2:]:
        card = f"{keyword:8}= {value:>20}".ljust(80).encode()
        data = data[:place] + card + data[place + 80 :]
    example.write_bytes(data)
    assert read(example) == by_astropy_alone(example, monkeypatch)


def test_a_table_with_scaled_columns_is_left_to_astropy(tmp_path):
    from astropy.io import fits

    column = fits.Column("counts", "J", bzero=2**31, array=np.array([1, 2], np.uint32))
    hdu = fits.BinTableHDU.from_columns([column], name="X")
    path = tmp_path / "x.fits"
    hdu.writeto(path)
    for _ in range(2):
        with fitsio.open_hdus(path, verify=True) as hdus:
            _, table = hdus
            assert table.columns({"counts": "number"})["counts"].tolist() == [1, 2]
            assert isinstance(table.content, fits.BinTableHDU)
