"""`mpiapp measure`: from a table of counts to a product, without files between them."""

import numpy as np
import pytest
from astropy.table import Table

from mpiapp import Outcome, measure
from mpiapp.cli import main
from mpiapp.files.layouts import ERG_PER_KEV

HEAD = "name,ra,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg,exposure_photflux"
ROWS = [
    "A,150.1,40,90,0.90,0.03,50.0,900.0,2e7",
    "007,150.2,1,80,0.91,0.03,52.0,900.0,2e7",
    "C,150.3,7.5,80,0.91,0.03,52.0,900.0,2e7",
]


def measured(folder, *options: str, rows=ROWS, suffix=".vot"):
    (folder / "counts.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    out = folder / f"photometry{suffix}"
    code = main(["measure", str(folder / "counts.csv"), str(out), *options])
    return code, Table.read(out)


def test_the_numbers_are_those_of_measure_with_the_users_columns_beside_them(tmp_path):
    code, table = measured(tmp_path, rows=ROWS[:2])
    assert code == 0
    assert list(table["name"]) == ["A", "007"]
    assert list(table["ra"]) == [150.1, 150.2]
    F = 2e7 * np.array([[0.90, 50.0], [0.03, 900.0]])
    (expected,) = measure([40, 90], F, 1, "photflux", engine="exact")
    for name in ("value", "lolim", "hilim"):
        column = "photflux" + ("" if name == "value" else f"_{name}")
        assert table[column][0] == pytest.approx(getattr(expected, name), rel=1e-6)
        assert table[column].unit == "photon s-1 cm-2"
    assert table["photflux_outcome"][1] == Outcome.UPPER_LIMIT


@pytest.mark.parametrize("suffix", [".vot", ".fits", ".ecsv", ".csv"])
def test_a_number_that_cannot_be_used_costs_its_row_alone(tmp_path, capsys, suffix):
    code, table = measured(tmp_path, suffix=suffix)
    assert code == 4
    assert "line 4: column cnts: '7.5', expected a whole number" in capsys.readouterr().err
    assert table["src_cnts_outcome"][2] == Outcome.NULL_BAD_INPUT
    assert np.ma.is_masked(table["src_cnts"][2]) or np.isnan(table["src_cnts"][2])
    assert np.isfinite(np.asarray(table["src_cnts"][:2], dtype=float)).all()


def test_energy_fluxes_come_from_the_mean_energy_of_a_photon(tmp_path):
    _, table = measured(tmp_path, "--set", "photon_energy_kev=1.7", rows=ROWS[:1])
    ratio = float(table["flux"][0] / table["photflux"][0])
    assert ratio == pytest.approx(1.7 * ERG_PER_KEV, rel=1e-5)


def test_only_the_numbers_are_needed_and_all_that_is_missing_is_told(tmp_path, capsys):
    (tmp_path / "counts.csv").write_text("cnts,area\n1,2\n")
    assert main(["measure", str(tmp_path / "counts.csv"), str(tmp_path / "o.vot")]) == 2
    said = capsys.readouterr().err
    assert "4 columns are missing" in said
    assert "obsid" not in said
    assert main(["measure", str(tmp_path / "counts.csv"), str(tmp_path / "o.txt")]) == 2
    assert "suffix '.txt'" in capsys.readouterr().err
