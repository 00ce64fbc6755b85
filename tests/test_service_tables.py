"""Tables as catalog services and srcflux give them, which lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u

from mpiapp import InputError
from mpiapp.catalog.outcome import Outcome
from mpiapp.cli import main
from mpiapp.files.catalog_tables import read_table
from mpiapp.files.flat_tables import import_table
from mpiapp.report.references import published_rows

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"
pytestmark = pytest.mark.skipif(not FORMATS.is_dir(), reason=f"{FORMATS} is not there")

# Rows and columns as the files' own lines count them.
SIZES = {
    "search_csc.tsv": (187, 64),
    "csccli_table.csv": (1, 281),
    "csccli_results.xml": (140, 18),
    "cscview.vot": (1, 30),
    "srcflux_results.csv": (142, 86),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_table_of_a_service_is_read_whole(name):
    source = read_table(FORMATS / name)
    assert (len(source.table), len(source.table.colnames)) == SIZES[name]
    assert not source.spoiled
    numbers = [c for c in source.table.itercols() if c.dtype.kind in "if"]
    assert len(numbers) > len(source.table.colnames) / 2


def test_column_lines_give_units_descriptions_and_ucds():
    table = read_table(FORMATS / "search_csc.tsv").table
    assert table["ra"].unit == u.deg
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert table["flux_aper_b"].unit == u.Unit("erg s-1 cm-2")
    assert table["livetime"].description
    assert table["name"][0] == "2CXO J010337.5-720133"


@pytest.mark.parametrize("name", SIZES)
def test_what_cannot_be_measured_says_which_columns_would_do(tmp_path, capsys, name):
    """None has all of PSF fractions, areas and background counts."""
    with pytest.raises(InputError, match="psf_frac") as refused:
        import_table(FORMATS / name, tmp_path)
    assert main(["measure", str(FORMATS / name), str(tmp_path / "out.vot")]) == 2
    for said in (str(refused.value), capsys.readouterr().err):
        assert "psf_frac_aper" in said and "area_aper" in said


def test_counts_of_a_service_are_measured_with_what_else_is_told(tmp_path):
    told = {
        "cnts_bkg": 100,
        "psf_frac": 0.9,
        "psf_frac_bkg": 0,
        "area": 24.2064,
        "area_bkg": 968.256,
    }
    options = [word for k, v in told.items() for word in ("--set", f"{k}={v}")]
    out = tmp_path / "out.fits"
    assert main(["measure", str(FORMATS / "search_csc.tsv"), str(out), *options]) == 0
    table = read_table(out).table
    acis = np.asarray(table["band"] == "b")
    expected = (table["cnts_aper_b"][acis] - 100 / 40) / 0.9
    assert np.asarray(table["src_cnts_mean"][acis]) == pytest.approx(
        np.asarray(expected), rel=0.2, abs=3
    )
    rates = table["src_rate_mean"] * table["livetime"] / table["src_cnts_mean"]
    assert np.asarray(rates) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("search_csc.tsv", {b"obsid", b"master"}),
        ("csccli_table.csv", {b"obsid"}),
        ("csccli_results.xml", {b"master"}),
    ],
)
def test_photometry_of_a_service_is_compared(name, levels):
    rows = published_rows(FORMATS / name)
    assert set(rows["level"]) == levels
    measured = rows[rows["outcome"] == Outcome.MEASURED]
    assert len(measured) > 0
    assert (measured["hilim"] > measured["value"]).all()
    assert (measured["lolim"] <= measured["value"]).all()


@pytest.mark.parametrize("name", ["cscview.vot", "srcflux_results.csv"])
def test_a_table_without_photometry_of_the_catalog_says_what_would_be_compared(name):
    with pytest.raises(InputError, match="flux_aper_b for instance"):
        published_rows(FORMATS / name)
