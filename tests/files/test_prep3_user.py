"""prep3 files as others make and change them: with astropy, in parts, wide, and of layout 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from example_files import KINDS, damage, make_bundle, same_bundle, three_bundles, write_example
from prep3_layout1 import write_layout1

from mpiapp.catalog.bundle import Bundle, InputError
from mpiapp.files.prep3 import read_obsid, read_prep3, scan_prep3


def part_of(bundle: Bundle, *pairs, quantity: str = "") -> Bundle:
    """A bundle in some bands and apertures, and one quantity or all."""
    F = {m: F for m, F in bundle.F.items() if m[:2] in pairs and quantity in ("", m.quantity)}
    return replace(bundle, counts={pair: bundle.counts[pair] for pair in pairs}, F=F)


def test_a_file_of_one_bundle_band_and_aperture_is_c_and_f_as_the_memo_writes_them(tmp_path):
    """Eq. 1, of a file that is written and read by astropy alone but for its measurement."""
    counts, F = [51, 7, 692], [[0.94, 0.02, 1791.0], [0.01, 0.9, 1500.0], [0.05, 0.08, 42634.0]]
    source = Table({"bundle": ["b1"] * 3, "band": ["b"] * 3, "aperture": ["aper"] * 3})
    source["component"], source["counts"] = ["r1", "r2", "background"], counts
    primary = fits.PrimaryHDU()
    primary.header.update({"PREP3VER": 2, "STACKID": "S1", "OBS_ID": "7", "INSTRUME": "ACIS"})
    hdus = [fits.table_to_hdu(source), fits.table_to_hdu(Table({"F": np.array(F)}))]
    hdus[0].name, hdus[1].name = "SRCPROP", "PSF_RATE"
    path = tmp_path / "acisf00007_000N001_b0001_b_prep3.fits"
    fits.HDUList([primary, *hdus]).writeto(path, checksum=True)
    file = read_prep3(path)
    assert file.faults == []
    bundle = file.bundles["b1"]
    assert bundle.components == ("r1", "r2")
    assert bundle.counts["b", "aper"].tolist() == counts
    assert bundle.F["b", "aper", "rate"].tolist() == F


def test_numbers_that_a_user_changes_with_astropy_are_read_or_the_checksum_is_named(tmp_path):
    path = write_example(tmp_path / "prep3.fits")
    table = Table.read(path, hdu="SRCPROP")
    matrices = Table.read(path, hdu="PSF_CNTS")
    table["counts"][0] += 5
    matrices["F"][0, 0] *= 2
    written = {}
    for name in ("kept", "anew", "update"):
        written[name] = tmp_path / f"{name}.fits"
        written[name].write_bytes(path.read_bytes())
        with fits.open(written[name], memmap=False) as hdus:
            for changed in (table, matrices):
                hdu = fits.table_to_hdu(changed)
                hdus[hdu.name] = hdu
            hdus.writeto(written[name], overwrite=True, checksum=name == "anew")
    with pytest.raises(InputError, match=r"SRCPROP\): checksum mismatch.*writeto\(new_path, check"):
        read_prep3(written["kept"])
    with fits.open(written["kept"]) as hdus:  # as the message says
        hdus.writeto(written["update"], overwrite=True, checksum=True)
    before, after = three_bundles()[0], read_prep3(written["anew"]).bundles["b1"]
    assert same_bundle(after, read_prep3(written["update"]).bundles["b1"])
    assert after.counts["b", "aper"][0] == before.counts["b", "aper"][0] + 5
    assert after.F["b", "aper", "cnts"][0, 0] == 2 * before.F["b", "aper", "cnts"][0, 0]
    for bundle in three_bundles()[1:]:
        assert same_bundle(read_prep3(written["anew"]).bundles[bundle.key.bundle], bundle)


def test_rows_that_a_user_takes_from_one_table_only_are_noticed(tmp_path):
    path = write_example(tmp_path / "prep3.fits")

    def keep_band(hdus):
        hdus["SRCPROP"].data = hdus["SRCPROP"].data[hdus["SRCPROP"].data["band"] == "b"]

    damage(path, keep_band)
    file = read_prep3(path)
    assert all(
        "rows, expected 18, those of the source properties" in f.message for f in file.faults
    )
    assert [f.quantity for f in file.faults] == ["photflux", "cnts"]


def test_a_bundle_may_lack_a_quantity(tmp_path):
    lacking = part_of(
        make_bundle("b1", ("r1",), 1), *dict.fromkeys(m[:2] for m in KINDS), quantity="cnts"
    )
    other = three_bundles()[1]
    file = read_prep3(write_example(tmp_path / "prep3.fits", [lacking, other]))
    assert file.faults == []
    assert same_bundle(file.bundles["b1"], lacking)
    assert same_bundle(file.bundles["b2"], other)
    scan, faults = scan_prep3(tmp_path / "prep3.fits")
    assert faults == []
    assert scan.bundles["b1"].matrices == frozenset(lacking.F)


def test_a_wide_bundle_among_narrow_ones_costs_them_nothing(tmp_path):
    wide = make_bundle("wide", tuple(f"w{i}" for i in range(50)), 5)
    narrow = [make_bundle(f"b{i}", (f"r{i}",), i) for i in range(30)]
    file = read_prep3(write_example(tmp_path / "prep3.fits", [*narrow, wide]))
    assert file.faults == []
    assert all(same_bundle(file.bundles[b.key.bundle], b) for b in (*narrow, wide))
    assert file.arrays(1).F.shape == (len(KINDS), 30, 2, 2)


def files_of_runs(folder, bundles) -> list:
    """A file for each bundle, band and aperture, as the catalog has them."""
    paths = []
    for bundle in bundles:
        for pair in bundle.counts:
            name = f"acisf00001_000N001_{bundle.key.bundle}_{'_'.join(pair)}_prep3.fits"
            paths.append(write_example(folder / name, [part_of(bundle, pair)]))
    return paths


def test_files_of_single_runs_are_the_obsid_that_one_file_is(tmp_path):
    whole = read_prep3(write_example(tmp_path / "whole.fits"))
    paths = files_of_runs(tmp_path, three_bundles())
    for files in (paths, paths[::-1]):
        file = read_obsid(tuple((str(path), "") for path in files))
        assert file.faults == []
        assert {name: same_bundle(b, whole.bundles[name]) for name, b in file.bundles.items()} == {
            "b1": True, "b2": True, "b3": True,
        }  # fmt: skip


def test_what_two_files_hold_is_taken_from_the_first_and_faults_are_those_of_either(tmp_path):
    first, second = (make_bundle("b1", ("r1",), seed) for seed in (1, 2))
    other = make_bundle("b1", ("r2",), 3)
    pairs = list(first.counts)
    paths = [
        write_example(tmp_path / "1.fits", [part_of(first, *pairs[:2])]),
        write_example(tmp_path / "2.fits", [part_of(second, *pairs[1:])]),
        write_example(tmp_path / "3.fits", [other]),
    ]

    def spoil(hdus):
        hdus["SRCPROP"].data["counts"][-1] = -2

    damage(paths[1], spoil)
    file = read_obsid(tuple((str(path), "") for path in paths))
    assert [fault.message.startswith(f"{paths[1]}, HDU 1") for fault in file.faults] == [True]
    bundle = file.bundles["b1"]
    assert bundle.components == ("r1",)
    assert list(bundle.counts) == pairs[:3]
    for pair, of in zip(pairs, (first, first, second)):
        assert np.array_equal(bundle.counts[pair], of.counts[pair])


def test_layout_1_is_read_as_the_same_obsid(tmp_path):
    old = write_layout1(tmp_path / "old.fits", three_bundles(), 37664.157219)
    new = write_example(tmp_path / "new.fits")
    file, expected = read_prep3(old), read_prep3(new)
    assert file.faults == []
    assert file.header[1:] == expected.header[1:]
    for name, bundle in expected.bundles.items():
        assert same_bundle(file.bundles[name], bundle)
    ours, theirs = scan_prep3(old)[0], scan_prep3(new)[0]
    assert replace(ours, path="", digest="") == replace(theirs, path="", digest="")


# Extension, column, row, what it becomes, and the message; of 8 extensions with 3 bundles.
OLD_CELLS = [
    ("bundle", "b0", "row 1, bundle b0: column bundle: no usable counts for it"),
    ("bundle", "b2", "row 1, bundle b2: column bundle: the bundle has several rows"),
    ("n", 2, "row 1, bundle b1: column n is 2, expected 1"),
    ("F", np.nan, r"bundle b1 (band b, aper): column F: F[0, 0] is nan"),
    ("F", -1.0, r"bundle b1 (band b, aper): column F: F[0, 0] is -1.0"),
]


@pytest.mark.parametrize(("column", "value", "message"), OLD_CELLS)
def test_a_bad_cell_of_layout_1_costs_its_matrices(tmp_path, column, value, message):
    path = write_layout1(tmp_path / "old.fits", three_bundles(), 1.0)

    def spoil(hdus):
        if column == "F":
            hdus[2].data["F"][0][0] = value
        else:
            hdus[2].data[column][0] = value

    damage(path, spoil)
    file = read_prep3(path)
    assert any(message in fault.message for fault in file.faults)
    assert KINDS[0] not in file.bundles["b1"].F
    assert same_bundle(file.bundles["b3"], three_bundles()[2])


@pytest.mark.parametrize(("keyword", "value"), [("QUANTITY", "magnitude"), ("BAND", "w")])
def test_an_extension_of_layout_1_that_is_unknown_costs_itself(tmp_path, keyword, value):
    path = write_layout1(tmp_path / "old.fits", three_bundles(), 1.0)
    damage(path, lambda hdus: hdus[2].header.set(keyword, value))
    file = read_prep3(path)
    assert f"(PSF_PHOTFLUX_B_APER): keyword {keyword} is '{value}'" in file.faults[0].message
    assert all(len(bundle.F) == len(KINDS) - 1 for bundle in file.bundles.values())
