"""`mpiapp measure`: from a table of counts to a product, without files between them."""

import json
import re

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from mpiapp import Outcome, measure
from mpiapp.cli import main
from mpiapp.commands.column_map import COLUMNS
from mpiapp.files.catalog_tables import read_table
from mpiapp.files.counts_table import ERG_PER_KEV
from mpiapp.files.own_columns import OWN, PRIORS

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
    assert "line 4: column cnts: 7.5, expected a whole number" in capsys.readouterr().err
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


def run(folder, text: str, *options: str, suffix=".vot"):
    """Exit code and table of `mpiapp measure` on a text."""
    (folder / "counts.csv").write_text(text)
    out = folder / f"photometry{suffix}"
    code = main(["measure", str(folder / "counts.csv"), str(out), "--overwrite", *options])
    return code, Table.read(out) if code in (0, 4) else None


PLAIN = "cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg"
GOOD = "10,20,0.9,0.02,300,3000"


def test_the_last_line_says_how_many_rows_ended_how_and_why(tmp_path, capsys):
    percents = "\n".join(["10,20,90,0.02,300,3000"] * 39)
    code, _ = run(tmp_path, f"{PLAIN}\n{percents}\nN/A,20,0.9,0.02,300,3000\n")
    said = capsys.readouterr()
    assert code == 4
    assert said.out.splitlines()[-1].endswith(
        "40 rows: 0 measured, 0 limits, 40 NULL (39: psf_frac: 90, expected a fraction up to 1; "
        "1: cnts: no value)"
    )
    assert len(said.err.splitlines()) == 2
    assert "line 2: column psf_frac: 90, expected a fraction up to 1 (and 38 more: line 3, " in (
        said.err
    )


def test_what_is_not_measured_is_told_with_the_columns_that_it_needs(tmp_path, capsys):
    run(tmp_path, f"{PLAIN},exposure_rat\n{GOOD},1e4\n")
    said = capsys.readouterr().out
    assert "measured: cnts\n" in said
    assert "rate, which needs exposure_rate: the exposure in s (did you mean exposure_rat?)" in said
    assert "not measured: flux, which needs exposure_flux: " in said


@pytest.mark.parametrize("word", ["", "NaN", "null", "--"])
def test_a_missing_exposure_costs_its_quantity_alone(tmp_path, capsys, word):
    code, table = run(tmp_path, f"{PLAIN},exposure_rate\n{GOOD},1e4\n{GOOD},{word}\n")
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    assert list(table["src_cnts_outcome"]) == [Outcome.MEASURED] * 2
    assert list(table["src_rate_outcome"]) == [Outcome.MEASURED, Outcome.NULL_BAD_INPUT]
    assert "1 NULL (1: no exposure_rate)" in said.out


@pytest.mark.parametrize("row", [f"{GOOD},0", f"{GOOD},1e4,7", GOOD])
def test_a_blind_aperture_and_a_row_of_another_length_cost_their_row(tmp_path, capsys, row):
    code, table = run(tmp_path, f"{PLAIN},exposure_rate\n{row}\n{GOOD},1e4\n")
    assert code == 4
    assert "line 2: " in capsys.readouterr().err
    assert list(table["src_cnts_outcome"]) == [Outcome.NULL_BAD_INPUT, Outcome.MEASURED]
    assert table["src_cnts_outcome_text"][0] == Outcome.NULL_BAD_INPUT.text


def test_a_fraction_that_rounding_made_more_than_one_is_one(tmp_path):
    code, table = run(tmp_path, f"{PLAIN}\n10,20,1.0000001,0,300,3000\n10,20,1,0,300,3000\n")
    assert code == 0
    assert table["src_cnts"][0] == table["src_cnts"][1]


def test_columns_that_differ_in_capitals_are_told_apart_or_refused(tmp_path, capsys):
    head = PLAIN.replace("cnts,cnts_bkg", "Cnts,cnts_bkg,CNTS")
    text = f"{head}\n100,20,3,0.9,0.02,300,3000\n"
    assert run(tmp_path, text)[0] == 2
    assert "columns Cnts, CNTS: which is cnts?" in capsys.readouterr().err
    code, told = run(tmp_path, text, "--map", "cnts=Cnts")
    assert code == 0
    assert 80 < told["src_cnts"][0] < 120


def test_sources_of_both_instruments_have_their_own_priors(tmp_path):
    text = f"instrument,{PLAIN}\nACIS ,{GOOD}\nHRC,{GOOD}\n"
    code, both = run(tmp_path, text)
    assert code == 0
    alone = [run(tmp_path, f"{PLAIN}\n{GOOD}\n", "--set", f"instrument={name}")[1]["src_cnts"][0]
             for name in ("ACIS", "HRC")]  # fmt: skip
    assert list(both["src_cnts"]) == alone


@pytest.mark.parametrize("suffix", [".vot", ".fits", ".ecsv"])
def test_columns_of_the_user_stay_as_they_were(tmp_path, suffix):
    mine = Table(
        {"ra": [150.1, 150.2], "SRC_CNTS": [10, 12], "AREA": [300.0, 310.0], "odd": [1, 2]}
    )
    mine["ra"].unit, mine["ra"].description = "deg", "right ascension"
    mine["ra"].info.meta = {"ucd": "pos.eq.ra;meta.main"}
    mine["odd"].unit = "furlong"
    mine.write(tmp_path / "mine.ecsv")
    told = ("--map", "cnts=SRC_CNTS", "--set", "cnts_bkg=20", "--set", "psf_frac=0.9")
    told += ("--set", "psf_frac_bkg=0.02", "--set", "area_bkg=3000", "--quantities", "cnts")
    out = tmp_path / f"out{suffix}"
    assert main(["measure", str(tmp_path / "mine.ecsv"), str(out), *told]) == 0
    table = read_table(out).table
    assert table.colnames[:4] == mine.colnames
    for name in mine.colnames:
        assert table[name].tolist() == mine[name].tolist()
        assert str(table[name].unit) == str(mine[name].unit)
    assert table["ra"].description == "right ascension"
    assert table["ra"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert "mpiapp_src_cnts_hilim" in table.colnames
    assert len({name.lower() for name in table.colnames}) == len(table.colnames)


def test_a_cell_that_is_refused_stays_the_users(tmp_path):
    _, table = measured(tmp_path)
    assert list(table["cnts"]) == [40, 1, 7.5]


def test_the_table_is_never_replaced_and_other_files_only_if_asked(tmp_path, capsys):
    path = tmp_path / "counts.csv"
    path.write_text(f"{PLAIN}\n{GOOD}\n")
    (tmp_path / "again.csv").symlink_to(path)
    before = path.read_bytes()
    for out in ("counts.csv", "again.csv"):
        assert main(["measure", str(path), str(tmp_path / out), "--overwrite"]) == 2
        assert "is the table itself" in capsys.readouterr().err
    (tmp_path / "old.csv").write_text("old")
    assert main(["measure", str(path), str(tmp_path / "old.csv")]) == 2
    assert "exists already; name another file, or add --overwrite" in capsys.readouterr().err
    assert (path.read_bytes(), (tmp_path / "old.csv").read_text()) == (before, "old")
    assert main(["measure", str(path), str(tmp_path / "old.csv"), "--overwrite"]) == 0


def test_help_lists_every_name_that_map_and_set_know():
    known = set(re.findall(r"\w+", COLUMNS))
    ends = {name for name in OWN if name.startswith("exposure") and name.endswith("_bkg")}
    likewise = {name for name in PRIORS if not name.endswith("_rate")}
    assert set(OWN) - ends - likewise <= known


@pytest.mark.parametrize("suffix", [".vot", ".fits", ".ecsv", ".parquet", ".csv"])
def test_columns_of_any_type_come_along_in_every_format(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    mine = Table({name: [float(v)] * 2 for name, v in zip(PLAIN.split(","), GOOD.split(","))})
    mine["cnts"] = MaskedColumn([10, 3], mask=[False, True], dtype=">i2")
    mine["flag"], mine["name"], mine["small"] = [True, False], ["é", ""], np.float32([1, np.nan])
    mine["vector"], mine["complex"] = np.arange(6.0).reshape(2, 3), [1 + 2j, 3]
    mine.write(tmp_path / "mine.vot", format="votable")
    out = tmp_path / f"out{suffix}"
    assert main(["measure", str(tmp_path / "mine.vot"), str(out)]) == 4
    table = read_table(out).table
    assert table.colnames[: len(mine.colnames)] == mine.colnames
    assert table["cnts"].tolist() == [10, None]
    assert table["small"].tolist() == [1, None]
    assert table["name"][0] == ("\\xe9" if suffix == ".fits" else "é")
    if suffix not in (".parquet", ".csv"):
        assert table["vector"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_json_lines_are_measured_with_what_else_they_say(tmp_path):
    line = dict(zip(PLAIN.split(","), map(float, GOOD.split(","))))
    wrong = line | {"cnts": "many", "tags": ["a", "b"]}
    path, out = tmp_path / "t.jsonl", tmp_path / "out.vot"
    path.write_text("\n".join(map(json.dumps, (line, wrong))) + "\n[]\n")
    assert main(["measure", str(path), str(out)]) == 4
    table = read_table(out).table
    assert list(table["src_cnts_outcome"]) == [0, 13, 13]
    assert table["cnts"].tolist()[:2] == ["10.0", "many"]
    assert table["tags"][1] == "['a', 'b']"
