"""mst3 files and the associations in them."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from astropy.table import Table
from example_files import BLOCKS, LINKS, damage, write_example_masters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpiapp.catalog.bundle import InputError
from mpiapp.files.mst3 import read_mst3, write_mst3

printable = st.sampled_from([chr(code) for code in range(0x20, 0x7F) if chr(code) != "/"])
names = st.text(printable, min_size=1, max_size=12).map(str.strip).filter(bool)


@pytest.fixture
def example(tmp_path):
    return write_example_masters(tmp_path / "mst3.fits")


def test_associations_come_back_as_they_were_written(example):
    associations = read_mst3(example).associations
    assert list(associations.masters()) == ["M1", "M2", "M3", "M4"]
    assert len(associations) == 4
    assert associations.components_of("M1") == [("S1", "r1", "u"), ("S2", "r3", "u")]
    assert associations.components_of("M2") == [("S1", "r2", "u"), ("S2", "", "n")]
    assert associations.blocks_of("M1") == {1: [("S1", "O1")], 2: [("S2", "O2")]}
    assert associations.blocks_of("M3") == {}
    assert "M5" not in associations
    with pytest.raises(InputError, match="master M5: not in the association table"):
        associations.components_of("M5")


def test_only_a_unique_component_shares_its_masters_column(example):
    associations = read_mst3(example).associations
    assert associations.label("S1", "r1") == associations.label("S2", "r3") == "M1"
    assert associations.label("S1", "r2") == "M2"
    assert associations.label("S2", "r4") == "S2/r4"  # ambiguous, of M3 or M4
    assert associations.label("S1", "r99") == "S1/r99"
    assert associations.label("S9", "r1") == "S9/r1"


def test_the_best_block_has_the_largest_exposure(tmp_path):
    blocks = [("M", 3, "S", "a", 10.0), ("M", 3, "S", "b", None), ("M", 1, "S", "c", None)]
    links = [("M", "u", "S", "r"), ("N", "u", "S", "q")]

    path = tmp_path / "mst3.fits"
    write_mst3(path, links, blocks)
    associations = read_mst3(path).associations

    def best(b, c):
        return associations.best_block("M", {("S", "b"): b, ("S", "c"): c})

    assert best(5.0, 14.0) == 3
    assert best(5.0, 16.0) == 1
    assert best(5.0, 15.0) == 1  # a tie: the lower number
    assert associations.best_block("N", {}) is None
    with pytest.raises(InputError, match="master M, block 3: no exposure for S/b; give it"):
        best(None, 1.0)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(names, names, names), min_size=1, max_size=8, unique_by=lambda r: (r[0], r[1])
    ),
    blocks=st.lists(
        st.tuples(st.integers(0, 10**6), names, names, st.none() | st.floats(0, 1e9)),
        max_size=5,
        unique_by=lambda r: (r[1], r[2]),
    ),
)
def test_any_names_come_back(tmp_path, rows, blocks):
    seen = set()
    links = []
    for master, stack, component in rows:
        kind = "a" if (stack, component) in seen else "u"
        seen.add((stack, component))
        links.append((master, kind, stack, component))
    block_rows = [(links[0][0], *row) for row in blocks]
    path = tmp_path / "mst3.fits"
    write_mst3(path, links, block_rows)
    back = read_mst3(path)
    assert back.faults == []
    associations = back.associations
    assert set(associations.masters()) == {row[0] for row in links}
    for master in associations.masters():
        expected = [(s, c, kind) for m, kind, s, c in links if m == master]
        assert sorted(associations.components_of(master)) == sorted(expected)
    for master, kind, stack, component in links:
        if kind == "u":
            assert associations.label(stack, component) == master
    found = associations.blocks_of(links[0][0])
    assert {(b, s, o) for b, obsids in found.items() for s, o in obsids} == {
        (b, s, o) for b, s, o, _ in blocks
    }


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="fitsverify is not installed")
def test_fitsverify_finds_nothing_to_complain_about(example):
    result = subprocess.run(["fitsverify", example], check=False, capture_output=True, text=True)
    assert "0 warning(s) and 0 error(s)" in result.stdout, result.stdout


def test_astropy_reads_the_same_rows(example):
    table = Table.read(example, hdu="MASTER_STACK")
    rows = sorted(zip(*(table[c].tolist() for c in table.colnames)))
    assert rows == sorted(LINKS)
    blocks = Table.read(example, hdu="BLOCKS")
    assert blocks["exposure"].unit == "s"
    assert sorted(zip(blocks["master"].tolist(), blocks["block"].tolist())) == sorted(
        (row[0], row[1]) for row in BLOCKS
    )


# hdu, column, row, new value, message, masters that are lost
CELLS = [
    ("MASTER_STACK", "match_type", 0, "x", "row 1, column match_type, master M1: expected u", "M1"),
    (
        "MASTER_STACK",
        "component",
        0,
        "",
        "row 1, column component, master M1: the name '' is",
        "M1",
    ),
    ("MASTER_STACK", "component", 3, "r", "row 4, column component, master M2: a nondet", "M2"),
    ("MASTER_STACK", "stack", 1, "S1", "row 1, column component, master M1: a second uni", "M1"),
    ("MASTER_STACK", "component", 2, "r1", "row 1, column master, master M1: the comp", "M1 M2"),
    ("MASTER_STACK", "stack", 0, "\x7f", r"row 1, column stack, master M1: the name '\x7f'", "M1"),
    ("BLOCKS", "stack", 0, "/", "row 1, column stack, master M1: the name '/' has a slash", "M1"),
    ("BLOCKS", "master", 2, "M9", "row 3, column master, master M9: not in the association", ""),
    ("BLOCKS", "block", 0, -1, "row 1, column block, master M1: negative", "M1"),
    ("BLOCKS", "exposure", 1, -1.0, "row 2, column exposure, master M1: expected seconds", "M1"),
    ("BLOCKS", "obsid", 0, "", "row 1, column obsid, master M1: the name '' is", "M1"),
]


@pytest.mark.parametrize(
    ("hdu", "column", "row", "value", "message", "lost"),
    CELLS,
    ids=[f"{c[1]}={c[3]}" for c in CELLS],
)
def test_a_bad_row_is_named_and_costs_its_master_only(
    example, hdu, column, row, value, message, lost
):
    def change(hdus):
        hdus[hdu].data[column][row] = value

    damage(example, change)
    back = read_mst3(example)
    number = 1 if hdu == "MASTER_STACK" else 2
    expected = f"{example}, HDU {number} ({hdu}), {message}"
    assert any(r.message.startswith(expected) for r in back.faults), back.faults
    assert set(back.associations.masters()) == {"M1", "M2", "M3", "M4"} - set(lost.split())


def test_components_of_a_rejected_master_stay_neighbours(example):
    def change(hdus):
        hdus["BLOCKS"].data["block"][0] = -1

    damage(example, change)
    associations = read_mst3(example).associations
    assert associations.label("S1", "r1") == "S1/r1"
    assert associations.label("S1", "r2") == "M2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda hdus: hdus.pop("MASTER_STACK"), "no table MASTER_STACK"),
        (lambda hdus: hdus[0].header.remove("MST3VER"), "keyword MST3VER is None"),
        (
            lambda hdus: hdus[1].columns.change_name("match_type", "kind"),
            r"HDU 1 \(MASTER_STACK\): column match_type is missing",
        ),
    ],
)
def test_a_file_without_its_essentials_is_rejected(example, change, message):
    damage(example, change)
    with pytest.raises(InputError, match=message) as error:
        read_mst3(example)
    assert str(example) in str(error.value)


def test_a_changed_byte_is_noticed(example):
    data = bytearray(example.read_bytes())
    data[data.index(b"M1")] ^= 1
    example.write_bytes(data)
    with pytest.raises(InputError, match=re.escape("(MASTER_STACK): checksum mismatch")):
        read_mst3(example)


def test_the_writer_refuses_what_the_reader_would_reject(tmp_path):
    with pytest.raises(InputError, match="master M1, row 1 of the links, column component"):
        write_mst3(tmp_path / "mst3.fits", [("M1", "u", "S1", "")])
    assert list(tmp_path.iterdir()) == []


def test_block_tables_are_optional(tmp_path):
    path = tmp_path / "mst3.fits"
    write_mst3(path, LINKS)
    damage(path, lambda hdus: hdus.pop("BLOCKS"))
    associations = read_mst3(path).associations
    assert associations.blocks_of("M1") == {}
    assert associations.best_block("M1", {}) is None
    assert np.all([m in associations for m in ("M1", "M4")])
