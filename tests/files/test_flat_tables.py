"""Import of flat tables and JSON lines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from astropy.table import MaskedColumn, Table
from example_files import PAIR

from mpiapp.catalog.bundle import InputError
from mpiapp.files.association_tables import import_associations
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3
from mpiapp.files.prep3 import prep3_name, read_prep3
from mpiapp.files.source_info import read_source_info
from mpiapp.parallel.planning import prep3_paths

BUNDLE = {
    "obsid": 1575,
    "stack": "S1",
    "bundle": "b1",
    "instrument": "ACIS",
    "band": "b",
    "aperture": "aper",
    "components": ["r1", "r2"],
    "counts": [5, 0, 40],
    "F": {"photflux": [[9e6, 1e3, 2e10], [2e3, 8e6, 3e10], [1e4, 1e4, 1e12]]},
    "exposure_s": 37664.157219,
}


def write_lines(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" if isinstance(r, dict) else r for r in records))
    return path


def test_a_bundle_line_becomes_the_same_matrix(tmp_path):
    band_s = {**BUNDLE, "band": "s", "counts": [1, 2, 3]}
    report = import_table(write_lines(tmp_path / "t.jsonl", BUNDLE, band_s), tmp_path / "out")
    assert (report.accepted, report.faults) == (2, [])
    assert report.files == [tmp_path / "out" / "S1_1575_prep3.fits"]
    back = read_prep3(report.files[0])
    assert (back.header.stack, back.header.obsid) == ("S1", "1575")
    assert back.header.exposure == 37664.157219
    bundle = back.bundles["b1"]
    assert bundle.components == ("r1", "r2")
    assert bundle.counts["s", "aper"].tolist() == [1, 2, 3]
    assert bundle.F["b", "aper", "photflux"].tolist() == BUNDLE["F"]["photflux"]


def test_an_aperture_pair_becomes_equation_1(tmp_path):
    row = {**PAIR, "exposure_rate": 29661.195, "exposure_photflux": 7.5e6, "exposure_s": 29661.195}
    report = import_table(write_lines(tmp_path / "t.jsonl", row), tmp_path)
    bundle = read_prep3(report.files[0]).bundles["r1"]
    assert bundle.components == ("r1",)
    assert bundle.counts["b", "aper"].tolist() == [51, 692]
    f, g, area, area_bkg = 0.939086, 0.049395, 1791.0, 42634.0
    for quantity, E in (("cnts", 1.0), ("rate", 29661.195), ("photflux", 7.5e6)):
        expected = [[f * E, area * E], [g * E, area_bkg * E]]
        assert bundle.F["b", "aper", quantity].tolist() == expected
    assert ("b", "aper", "flux") not in bundle.F


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits", ".vot"])
def test_every_kind_of_table_gives_the_same_file(tmp_path, suffix):
    rows = [{**PAIR, "exposure_rate": 1e4}, {**PAIR, "band": "s", "exposure_rate": -1}]
    table = Table(rows=rows)
    table["exposure_rate"] = MaskedColumn(table["exposure_rate"], mask=[False, True])
    kind = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".vot": "votable"}[suffix]
    path = tmp_path / f"t{suffix}"
    table.write(path, format=kind)
    report = import_table(path, tmp_path / "out")
    assert (report.accepted, report.faults) == (2, [])
    bundle = read_prep3(report.files[0]).bundles["r1"]
    assert set(bundle.F) == {("b", "aper", "rate"), ("b", "aper", "cnts"), ("s", "aper", "cnts")}
    assert bundle.F["b", "aper", "rate"][0, 0] == 0.939086 * 1e4


def test_an_obsid_of_digits_keeps_its_zeros_in_csv(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",".join(PAIR) + "\n" + ",".join(map(str, {**PAIR, "obsid": "00042"}.values())))
    assert read_prep3(import_table(path, tmp_path).files[0]).header.obsid == "00042"


BAD_PAIRS = [
    ({"cnts": -1}, "column cnts: -1"),
    ({"cnts": 1.5}, "column cnts: 1.5, expected a whole number"),
    ({"cnts_bkg": float("nan")}, "column cnts_bkg: no value"),
    ({"cnts": 1e20}, "column cnts: 1e+20"),
    ({"cnts": "many"}, "column cnts: 'many'"),
    ({"psf_frac": float("inf")}, "column psf_frac: inf"),
    ({"psf_frac": 90}, "column psf_frac: 90, expected a fraction"),
    ({"psf_frac": True}, "column psf_frac: True"),
    ({"area_bkg": 0}, "column area_bkg: 0, expected a positive number"),
    ({"area": None}, "column area: no value"),
    ({"area": 1e308, "exposure_rate": 1e9}, "rate: F[0, 1] is inf"),
    ({"exposure_rate": 0}, "column exposure_rate: 0, expected a positive number"),
    ({"band": "x"}, "column band: 'x' is none of b, h, m, s, u for ACIS"),
    ({"band": "w"}, "column band: 'w' is none of b, h, m, s, u for ACIS"),
    ({"aperture": "aper50"}, "column aperture: 'aper50', expected one of aper, aper90"),
    ({"instrument": "acis"}, "column instrument: 'acis' is ACIS in capitals"),
    ({"component": ""}, "column component: no value"),
    ({"component": 1.5}, "column component: 1.5, expected a name"),
    ({"component": "r" * 49}, f"column component: the name '{'r' * 49}' is longer than 48"),
    ({"obsid": "a'/b"}, """column obsid: the name "a'/b" has a slash"""),
    ({"stack": "zz/x", "component": "r9"}, "column stack: the name 'zz/x' has a slash"),
    ({"stack": "s" * 48, "obsid": "o" * 46}, "the target ssss"),
    ({"component": "é"}, "column component: the name 'é' is not printable ASCII"),
    ({"component": " r1 "}, "bundle r1, band b, aper is already in"),
    ({"component": "background"}, "column components: ['background']"),
    ({}, "bundle r1, band b, aper is already in"),
    ({"instrument": "HRC", "band": "w"}, "column instrument: HRC, but ACIS in earlier rows"),
]


@pytest.mark.parametrize(("change", "message"), BAD_PAIRS, ids=[m for _, m in BAD_PAIRS])
def test_a_bad_pair_is_named_and_the_others_imported(tmp_path, change, message):
    good = {**PAIR, "component": "r2"}
    path = write_lines(tmp_path / "t.jsonl", PAIR, {**PAIR, **change}, good)
    report = import_table(path, tmp_path)
    assert report.accepted == 2
    (fault,) = report.faults
    assert fault.message.startswith(f"{path}, line 2: {message}")
    assert set(read_prep3(report.files[0]).bundles) == {"r1", "r2"}


def matrix(i, j, value):
    F = [row[:] for row in BUNDLE["F"]["photflux"]]
    F[i][j] = value
    return {"photflux": F}


BAD_BUNDLES = [
    ({"components": ["r1", "r1"]}, "column components: ['r1', 'r1'], expected different"),
    ({"components": "r1"}, "column components: expected a list"),
    ({"components": ["r2", "r1"]}, "column components: ['r2', 'r1'], but ['r1', 'r2'] in earlier"),
    ({"bundle": "b2"}, "column components: r1 is in bundle b1 in earlier rows"),
    ({"counts": [1, 2]}, "photflux: counts have shape (2,), expected (3,)"),
    ({"counts": [1, 2, 0.5]}, "photflux: counts[2] is 0.5"),
    ({"counts": [1, None, 2]}, "column counts: expected numbers"),
    ({"F": {"photflux": [[1, 2], [3, 4]]}}, "photflux: F has shape (2, 2), expected (3, 3)"),
    ({"F": {"photflux": [[1, 2], [3]]}}, "column F, photflux: expected numbers in lists of equal"),
    ({"F": {"lum": [[1]]}}, "column F: quantity 'lum', expected one of flux"),
    ({"F": {}}, "column F: expected matrices"),
    ({"F": matrix(0, 1, float("nan"))}, "photflux: F[0, 1] is nan"),
    ({"F": matrix(0, 1, -1)}, "photflux: F[0, 1] is -1"),
    ({"F": matrix(2, 2, 0)}, "photflux: F[2, 2] is 0"),
    ({"exposure_s": 5}, "column exposure_s: 5.0, but 37664.157219 in earlier rows"),
]


@pytest.mark.parametrize(("change", "message"), BAD_BUNDLES, ids=[m for _, m in BAD_BUNDLES])
def test_a_bad_bundle_line_is_named_and_the_others_imported(tmp_path, change, message):
    path = write_lines(tmp_path / "t.jsonl", BUNDLE, {**BUNDLE, "band": "h", **change})
    report = import_table(path, tmp_path)
    assert report.accepted == 1
    (fault,) = report.faults
    assert fault.message.startswith(f"{path}, line 2: {message}")


def test_positions_of_a_bundle_come_along(tmp_path):
    line = {**BUNDLE, "ra": [1.5, 2.5], "dec": [3, 4]}
    report = import_table(write_lines(tmp_path / "t.jsonl", line), tmp_path)
    info = read_source_info(report.files[0])
    assert info["bundle", "component", "ra", "dec"].as_array().tolist() == [
        ("b1", "r1", 1.5, 3.0),
        ("b1", "r2", 2.5, 4.0),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exposure": 5}, r"key exposure: unknown \(did you mean exposure_s\?\)"),
        ({"ra": [1.0]}, "column ra: expected 2 numbers, one per component"),
    ],
)
def test_keys_that_are_unknown_or_do_not_fit_are_refused(tmp_path, change, said):
    path = write_lines(tmp_path / "t.jsonl", BUNDLE, {**BUNDLE, "band": "s", **change})
    (fault,) = import_table(path, tmp_path).faults
    assert re.search(f"line 2: {said}", fault.message)


def test_an_exposure_that_one_observation_of_a_stack_lacks_is_told(tmp_path):
    rows = [{**PAIR, "obsid": o, "exposure_rate": e} for o, e in (("1", 1e4), ("2", None))]
    notes = import_table(write_lines(tmp_path / "t.jsonl", *rows), tmp_path).notes
    assert notes[-1] == (
        "rate: 1 results of stacks will lack observations that have no exposure_rate; the first: "
        "stack S1, r1, band b, aper: obsid 2"
    )
    rows[1]["stack"] = "S2"
    notes = import_table(write_lines(tmp_path / "t.jsonl", *rows), tmp_path).notes
    assert not any("stacks" in note for note in notes)


def test_lines_that_are_no_records_are_named(tmp_path):
    path = write_lines(tmp_path / "t.jsonl", PAIR, "{]\n", "\n", "[1]\n", "[" * 100_000 + "\n")
    assert [r.message.split(":")[0] for r in import_table(path, tmp_path).faults] == [
        f"{path}, line {n}" for n in (2, 4, 5)
    ]
    text = ",".join(PAIR) + "\n" + ",".join(map(str, PAIR.values())) + "\n1,2\n"
    (tmp_path / "t.csv").write_text(text)
    (fault,) = import_table(tmp_path / "t.csv", tmp_path).faults
    assert "t.csv, line 3: " in fault.message


def test_a_table_without_a_column_or_a_usable_row_is_rejected(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("obsid,stack\n1,2\n")
    with pytest.raises(InputError, match=f"^{path}: 10 columns are missing") as error:
        import_table(path, tmp_path)
    missing = [line.split(":")[0].strip() for line in str(error.value).splitlines()[1:]]
    assert missing == [*(name for name in PAIR if name not in ("obsid", "stack")), "or bkg"]
    path = write_lines(tmp_path / "t.jsonl", {**PAIR, "cnts": -1})
    with pytest.raises(InputError, match=r"no usable .* the first: .*line 1: column cnts: -1"):
        import_table(path, tmp_path)
    with pytest.raises(InputError, match=r"absent\.csv: cannot be read"):
        import_table(tmp_path / "absent.csv", tmp_path)
    (tmp_path / "t.fits").write_bytes(b"SIMPLE  = T")
    with pytest.raises(InputError, match=r"t\.fits: cannot be read"):
        import_table(tmp_path / "t.fits", tmp_path)


def test_file_names_are_safe_and_never_shared():
    pairs = [("a", "b_c"), ("a_b", "c"), ("a/b", "c"), ("..", "."), ("x" * 400, "1")]
    pairs += [("x" * 401, "1"), ("a b", "c"), ("a%20b", "c"), ("é", "\x00")]
    names = [prep3_name(*pair) for pair in pairs]
    assert len(set(names)) == len(names)
    assert all("/" not in n and "\x00" not in n and len(n) < 250 and n.isascii() for n in names)
    assert prep3_name("acisfJ0332281m274818_001", "8595") == (
        "acisfJ0332281m274818_001_8595_prep3.fits"
    )


@pytest.mark.parametrize("stack", [".s2", "..", ".", "[s]", "*", "a: 1", "-x", "~", "'"])
def test_every_imported_stack_is_found_in_its_folder(tmp_path, stack):
    path = write_lines(tmp_path / "t.jsonl", PAIR, {**PAIR, "stack": stack})
    report = import_table(path, tmp_path / "out")
    found = prep3_paths([str(tmp_path / "out")])
    assert sorted(map(Path, found)) == sorted(report.files)
    assert {read_prep3(file).header.stack for file in found} == {"S1", stack}


def test_associations_and_blocks_become_an_mst3_file(tmp_path):
    links, blocks = tmp_path / "links.csv", tmp_path / "blocks.csv"
    links.write_text(
        "master,match_type,stack,component\n"
        "M1,u,S1,r1\nM1,u,S2,r3\nM2,u,S1,r1\nM3,n,S2,\nM3,u,S1,r5\nM4,x,S1,r6\nM4,u,S2,r6\n"
    )
    blocks.write_text("master,block,stack,obsid,exposure\nM3,1,S1,7,\nM3,2,S1,8,5.5\nM9,1,S1,7,\n")
    report = import_associations(links, tmp_path / "mst3.fits", blocks)
    messages = [r.message for r in report.faults]
    assert any(f"{links}, line 2: column master, master M1" in m for m in messages)
    assert any("the component is the unique match of M1 and M2; correct one" in m for m in messages)
    assert any(f"{links}, line 4: column master, master M2" in m for m in messages)
    assert any(f"{links}, line 7: column match_type: 'x'" in m for m in messages)
    assert any(f"{blocks}, line 4: column master, master M9" in m for m in messages)
    assert report.accepted == 4
    associations = read_mst3(report.files[0]).associations
    assert list(associations.masters()) == ["M3"]
    assert associations.components_of("M3") == [("S2", "", "n"), ("S1", "r5", "u")]
    assert associations.blocks_of("M3") == {1: [("S1", "7")], 2: [("S1", "8")]}
    assert associations.best_block("M3", {("S1", "7"): 9.0}) == 1
