"""Tables from files of every kind, by their content, and from Python."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.io.votable.tree import Info
from astropy.table import MaskedColumn, QTable, Table

from mpiapp.catalog.fault import InputError
from mpiapp.files.catalog_tables import read_table


def read_text(tmp_path, text: str | bytes, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


def values(source, name="n") -> list:
    return source.table[name].tolist()


@pytest.mark.parametrize(
    "text",
    [
        "n,name\n1,a b\n2.5,c\n",
        "n\tname\n1\ta b\n2.5\tc\n",
        "n;name\n1;a b\n2,5;c\n",
        "n|name\n1|a b\n2.5|c\n",
        'n name\n 1   "a b"\n2.5  c\n',
        "# made by hand\n\n#\nn,name\n1,a b\n2.5,c\n# end\n",
        "# n,name\n1,a b\n2.5,c\n",
        "\ufeffn,name\r\n1,a b\r\n2.5,c\r\n",
        "n,name\r1,a b\r2.5,c\r",
        'n,name\n 1 ,"a b" \n2.5,  c\n,,\n\n',
        "n,name,,\n1,a b,,\n2.5,c,,\n",
        "n,\tname\n1,\ta b\n2.5,\tc\n",
    ],
    ids=["comma", "tab", "semicolon", "bar", "blank", "comments", "commented names", "BOM and CRLF",
         "CR", "padded", "nameless", "tabs after commas"],
)  # fmt: skip
def test_the_head_of_a_text_says_how_it_is_written(tmp_path, text):
    source = read_text(tmp_path, text, "t.dat")
    assert source.table.colnames == ["n", "name"]
    assert (values(source), values(source, "name")) == ([1.0, 2.5], ["a b", "c"])


def test_text_that_is_no_utf_8_is_read_and_told(tmp_path):
    latin = read_text(tmp_path, "n,name\n1,Lep\xf3n\n".encode("latin-1"))
    assert values(latin, "name") == ["Lepón"]
    assert latin.notes == ["line 2 is not UTF-8: taken as Latin-1"]
    assert values(read_text(tmp_path, "n,name\n1,é\n".encode("utf-16")), "name") == ["é"]
    with pytest.raises(InputError, match="neither text nor"):
        read_text(tmp_path, b"n,name\n\0\0")


def test_units_stand_in_the_head_and_letters_alone_are_none(tmp_path):
    source = read_text(tmp_path, "N (count),area [arcsec2],mag (V),r (0.5-7 keV)\n1,2,3,4\n")
    assert source.table.colnames == ["N", "area", "mag (V)", "r (0.5-7 keV)"]
    assert [str(c.unit) for c in source.table.itercols()] == ["ct", "arcsec2", "None", "None"]


def test_what_is_missing_is_missing_however_it_is_written(tmp_path):
    words = ["NaN", "null", "N/A", "--", "", "nan"]
    source = read_text(tmp_path, "n,x\n1,a\n" + "".join(f"{w},b\n" for w in words))
    assert values(source) == [1] + [None] * 6


def test_digits_that_are_names_stay_names(tmp_path):
    assert values(read_text(tmp_path, "n,x\n007,1\n12,2\n")) == ["007", "12"]
    assert values(read_text(tmp_path, "n,x\n1_0,1\n12,2\n")) == ["1_0", "12"]


def test_short_and_long_rows_cost_themselves_alone(tmp_path):
    source = read_text(tmp_path, "n,x,y\n1,2,3\n4,5\n6,7,8\n9,9,9,9\n")
    assert {source.where(row): str(e) for row, e in source.spoiled.items()} == {
        "line 3": "2 fields where the head has 3; correct it",
        "line 5": "4 fields where the head has 3; correct it",
    }
    assert values(source) == [1, None, 6, None]


def test_a_wrong_cell_or_row_of_ecsv_costs_itself_alone(tmp_path):
    table = Table({"n": [1.0, 2.0, 3.0], "t": [4, 5, 6] * u.ks})
    table["n"].description, table["n"].info.meta = "number", {"ucd": "meta.number"}
    table.write(tmp_path / "t.ecsv")
    text = (tmp_path / "t.ecsv").read_text()
    source = read_text(tmp_path, text.replace("2.0 5.0", "many 5.0").replace("3.0 6.0", "3.0"))
    assert values(source) == ["1.0", "many", None]
    assert list(source.spoiled) == [2]
    column = source.table["n"]
    assert (column.description, column.meta["ucd"]) == ("number", "meta.number")
    assert source.table["t"].unit == u.ks


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv"])
def test_what_gzip_packed_is_known_by_its_content(tmp_path, name):
    assert values(read_text(tmp_path, gzip.compress(b"n,x\n1,2\n"), name)) == [1]
    with pytest.raises(InputError, match=r"t\.csv: cannot be read"):
        read_text(tmp_path, gzip.compress(b"n,x\n1,2\n")[:-9])


def test_what_gzip_packed_too_well_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mpiapp.files.catalog_tables._MAX_UNPACKED", 1000)
    with pytest.raises(InputError, match="unpack it first"):
        read_text(tmp_path, gzip.compress(b"n,x\n" + b"1,2\n" * 1000))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"# only a comment\n", "no line with names"),
        (b"<!DOCTYPE html><html><body>Busy</body></html>", "a page of the web"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "mpiapp export"),
        (b"SIMPLE  = T", "cannot be read as a table"),
        (b"<VOTABLE><RESOURCE/></VOTABLE>", "no table in it"),
    ],
)
def test_what_is_no_table_is_told_apart(tmp_path, content, said):
    with pytest.raises(InputError, match=f"t.csv: .*{said}"):
        read_text(tmp_path, content)


def test_a_spreadsheet_is_to_be_saved_as_csv(tmp_path):
    with pytest.raises(InputError, match=r"t\.xlsx: a spreadsheet; save it as CSV"):
        read_table(tmp_path / "t.xlsx")


def fits_file(path) -> None:
    columns = [
        fits.Column("n", "I", array=[1, -999, 3], null=-999, unit="count"),
        fits.Column("wide", "D", array=[1.0, np.nan, 3.0], disp="I4"),
        fits.Column("text", "4A", array=["a", "b", ""], disp="F14.2"),
        fits.Column("lists", "PJ()", array=np.array([[1, 2], [3], []], dtype=object)),
        fits.Column("one", "1D", dim="(1)", array=np.array([[1.0], [2.0], [3.0]])),
        fits.Column("big", "J", bzero=2**31, array=np.array([40000, 3, 2**32 - 1], np.uint32)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SRC")
    table.header["TUCD1"], table.header["TCOMM1"] = "phot.count", "raw counts"
    times = fits.BinTableHDU.from_columns([fits.Column("START", "D", array=[1.0])], name="GTI")
    fits.HDUList([fits.PrimaryHDU(), times, table]).writeto(path)


def test_a_fits_table_is_found_by_its_columns_and_read_whatever_else_it_has(tmp_path):
    fits_file(tmp_path / "t.fits")
    source = read_table(tmp_path / "t.fits", lambda names: "n" in names)
    assert source.name == f"{tmp_path}/t.fits, HDU 2 (SRC)"
    assert values(source) == [1, None, 3]
    assert values(source, "wide") == [1.0, None, 3.0]
    assert values(source, "one") == [1.0, 2.0, 3.0]
    assert values(source, "big") == [40000, 3, 2**32 - 1]
    assert source.notes == ["columns of variable length passed over: lists"]
    column = source.table["n"]
    assert (column.unit, column.description) == (u.count, "raw counts")
    assert column.meta == {"ucd": "phot.count"}
    assert read_table(tmp_path / "t.fits").table.colnames == ["START"]


def votable(path, *infos) -> None:
    table = Table({"n": MaskedColumn([1, 2], mask=[False, True]), "other": ["a", "b"]})
    found = from_table(table)
    for k, field in enumerate(found.get_first_table().fields):
        field.ID = f"col{k}"
        field.ucd = "meta.number"
    found.resources[0].infos.extend(infos)
    found.to_xml(str(path))


def test_names_of_a_votable_beat_its_ids(tmp_path):
    votable(tmp_path / "t.vot")
    source = read_table(tmp_path / "t.vot")
    assert source.table.colnames == ["n", "other"]
    assert values(source) == [1, None]
    assert source.table["n"].meta == {"ucd": "meta.number"}


def test_the_server_of_a_votable_is_heard(tmp_path):
    overflow, error = (Info(name="QUERY_STATUS", value=v) for v in ("OVERFLOW", "ERROR"))
    error.content = "unknown column cntz"
    votable(tmp_path / "cut.vot", overflow)
    assert "OVERFLOW" in read_table(tmp_path / "cut.vot").notes[0]
    votable(tmp_path / "no.vot", error)
    with pytest.raises(InputError, match=r"no\.vot: unknown column cntz"):
        read_table(tmp_path / "no.vot")


def test_parquet_and_data_frames_keep_their_nulls(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": [1.0, None], "text": ["a", None]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert parquet
    for source in (read_table(tmp_path / "t.parquet"), read_table(frame)):
        assert values(source) == [1.0, None]
        assert values(source, "text") == ["a", None]


def test_tables_of_python_are_taken_as_they_are(tmp_path):
    quantities = QTable({"t": [1.0, 2.0] * u.ks, "n": [1, 2]})
    source = read_table(quantities)
    assert source.table["t"].unit == u.ks
    assert values(read_table({"n": [1, 2]})) == [1, 2]
    with pytest.raises(InputError, match="a table is a path, an astropy table"):
        read_table(17)


@pytest.mark.parametrize(
    "text",
    [
        "n\tname\ns\t \n---\t----\n1\ta b\n2.5\tc\n",
        "n,name\ns,\n1,a b\n2.5,c\n",
        '#Column\tn\t(F5)\ta time\t(t.n)\t["s"]\t[]\n'
        '#Column\tname\t(A3)\t\t(t.name)\t[""]\t[]\n'
        " 1\ta b\n2.5\tc\n",
        "\\a = 1\n|  n  | name |\n|double| char |\n|  s  |      |\n| null| null |\n"
        "  1.0    a b  \n  2.5    c    \n",
        "t.n [s],t.name\n1,a b\n2.5,c\n",
    ],
    ids=["VizieR", "row of units", "names in #Column alone", "IPAC", "names of a table"],
)  # fmt: skip
def test_names_and_units_are_found_where_services_write_them(tmp_path, text):
    source = read_text(tmp_path, text, "t.dat")
    assert values(source) == [1, 2.5] and source.table["n"].unit == u.s
    assert values(source, "name") == ["a b", "c"]


def test_words_below_names_are_values_where_the_column_has_others(tmp_path):
    assert len(read_text(tmp_path, "n,name\nnan,s\n1,a\n2,b\n").table) == 3
    assert len(read_text(tmp_path, "flag,name\nTRUE,s\nFALSE,a\n").table) == 2
    assert len(read_text(tmp_path, "n,m\nbad,\n1,2\n").table) == 2  # no unit is called so


def test_names_of_two_tables_stay_apart(tmp_path):
    names = read_text(tmp_path, "o.name,m.name\na,b\n").table.colnames
    assert names == ["o.name", "m.name"]


def test_an_array_of_json_objects_is_a_table(tmp_path):
    source = read_text(tmp_path, '[{"n": 1, "name": "a"}, {"n": 2.5}]', "t.json")
    assert values(source) == [1, 2.5]
    with pytest.raises(InputError, match="no array of JSON objects"):
        read_text(tmp_path, "[1, 2]", "u.json")
