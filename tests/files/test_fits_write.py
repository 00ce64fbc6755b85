"""Tables as bytes: those that astropy writes of the same columns, checksums and all."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits

from mpiapp.files.fits_write import (
    HDU,
    Arrays,
    Field,
    _encoded,
    card,
    header_hdu,
    table_hdu,
    write_hdus,
)

MADE = "of the contents as written"


def by_astropy(hdu) -> bytes:
    """The bytes of an HDU with checksums, its primary HDU left out."""
    written = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(written)
    written.seek(0)
    with fits.open(written) as fresh:
        fresh[1].add_checksum(when=MADE)
        out = io.BytesIO()
        fresh.writeto(out)
    return out.getvalue()[2880:]


@pytest.mark.parametrize("n", [0, 1, 5, 400])
def test_a_table_is_as_astropy_writes_it(n):
    rng = np.random.default_rng(n)
    names = np.array([f"source {i}" for i in range(n)], "S")
    numbers, counts = rng.normal(size=n), rng.integers(-9, 9, n)
    ours = table_hdu(
        "SOME",
        [
            Field("a name", names, comment="what it is"),
            Field("x" * 60, numbers, "erg s-1"),
            Field("it's", counts),
        ],
        keywords=[("BAND", "b", ""), ("QUANTITY", "flux", "energy flux")],
    )
    theirs = fits.BinTableHDU.from_columns(
        [
            fits.Column("a name", f"{names.dtype.itemsize}A", array=names),
            fits.Column("x" * 60, "D", unit="erg s-1", array=numbers),
            fits.Column("it's", "K", array=counts),
        ],
        name="SOME",
    )
    theirs.header.comments["TTYPE1"] = "what it is"
    theirs.header["BAND"] = "b"
    theirs.header["QUANTITY"] = ("flux", "energy flux")
    assert ours.tobytes() == by_astropy(theirs)


def test_arrays_of_variable_length_are_read_back_and_fit_their_checksums(tmp_path):
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 5, 30)
    heap = rng.normal(size=int(counts.sum()))
    table = table_hdu("SOME", [Field("n", counts)], Arrays("F", heap, counts, "s", "numbers"))
    write_hdus(tmp_path / "some.fits", [header_hdu(fits.PrimaryHDU().header), table])
    with fits.open(tmp_path / "some.fits", checksum=True) as hdus:
        assert hdus[1].verify_checksum() == hdus[1].verify_datasum() == 1
        assert hdus[1].columns["F"].unit == "s"
        assert [len(row) for row in hdus[1].data["F"]] == counts.tolist()
        assert np.array_equal(np.concatenate(hdus[1].data["F"]), heap)


@pytest.mark.parametrize("seed", range(40))
def test_every_checksum_is_encoded_as_astropy_does(seed):
    content = np.random.default_rng(seed).bytes(seed * 101)
    cards = card("XTENSION", "BINTABLE") + card("BITPIX", 8) + card("NAXIS", 1)
    cards += card("NAXIS1", len(content)) + card("PCOUNT", 0) + card("GCOUNT", 1)
    whole = HDU(cards.encode(), content).tobytes()
    # All words of an HDU that is whole sum to minus nothing.
    total = int(np.frombuffer(whole, ">u4").sum(dtype=np.uint64))
    assert total % 0xFFFFFFFF == 0
    header = fits.Header.fromstring(whole[:2880].decode())
    value = np.uint32(~np.uint32(seed * 98765431 % 2**32))
    assert header["CHECKSUM"].isalnum() and len(header["CHECKSUM"]) == 16
    assert _encoded(int(value)) == fits.PrimaryHDU()._char_encode(value)


@pytest.mark.filterwarnings("ignore:Card is too long")
@pytest.mark.parametrize("value", ["", "b", "it's", "y" * 64, "z" * 200])
def test_a_card_is_astropys(value):
    assert card("STACKID", value, "stack") == fits.Card("STACKID", value, "stack").image
