"""prep3 files: what is written comes back, and what is wrong is named."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from example_files import (
    KINDS,
    damage,
    make_bundle,
    same_bundle,
    three_bundles,
    write_example,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpiapp.catalog.bundle import Bundle, InputError, ObsidBundle
from mpiapp.catalog.quantities import APERTURES, INSTRUMENT_BANDS, TABLE_1, Matrix
from mpiapp.catalog.scan import BundleScan, FileScan
from mpiapp.files.prep3 import prep3_name, read_prep3, scan_prep3
from mpiapp.files.prep3_write import write_prep3
from mpiapp.parallel.scanning import scan_here

printable = st.sampled_from([chr(code) for code in range(0x20, 0x7F) if chr(code) != "/"])
names = st.text(printable, min_size=1, max_size=48).map(str.strip).filter(bool)
not_reserved = names.filter(lambda name: name != "background")
finite = st.floats(0, 1e300, allow_nan=False).map(lambda x: x + 0.0)


@st.composite
def obsids(draw):
    """Stack, obsid, instrument, exposure and bundles with any names and numbers."""
    stack, obsid = draw(names), draw(names)
    instrument = draw(st.sampled_from(sorted(INSTRUMENT_BANDS)))
    kinds = [
        Matrix(band, aperture, quantity)
        for quantity in TABLE_1
        for band in INSTRUMENT_BANDS[instrument]
        for aperture in APERTURES
    ]
    bundles = []
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        components = tuple(draw(st.lists(not_reserved, min_size=1, max_size=3, unique=True)))
        n = len(components) + 1
        chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4, unique=True))
        counts = {
            kind[:2]: np.array(draw(st.lists(st.integers(0, 2**53), min_size=n, max_size=n)))
            for kind in chosen
        }
        F = {}
        for kind in chosen:
            values = draw(st.lists(finite, min_size=n * n, max_size=n * n))
            F[kind] = np.array(values).reshape(n, n)
            F[kind][:, -1] += 1e-300  # no empty rows, and a background that is seen
        bundles.append(Bundle(ObsidBundle(stack, obsid, name), instrument, components, counts, F))
    # astropy gives a number 20 characters, which hold 17 digits of whatever is not tiny.
    exposure = draw(st.none() | st.just(0.0) | st.floats(0.01, 1e9))
    return stack, obsid, instrument, bundles, exposure


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=obsids())
def test_any_obsid_comes_back_bit_for_bit(tmp_path, content):
    stack, obsid, instrument, bundles, exposure = content
    path = tmp_path / "prep3.fits"
    write_prep3(path, stack, obsid, instrument, bundles, exposure)
    back = read_prep3(path)
    assert back.faults == []
    header = back.header
    assert (header.stack, header.obsid, header.instrument) == (stack, obsid, instrument)
    assert header.exposure == exposure
    assert list(back.bundles) == [b.key.bundle for b in bundles]
    assert all(same_bundle(back.bundles[b.key.bundle], b) for b in bundles)
    held = {b.key.bundle: BundleScan(b.components, frozenset(b.F)) for b in bundles}
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    assert scan_prep3(path) == (
        FileScan(str(path), stack, obsid, exposure, held, digest, instrument),
        [],
    )
    with fits.open(path) as hdus:  # an independent opinion of the checksums
        assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus)


@pytest.mark.parametrize("name", ["", " r1", "a/b", "r" * 49, "r1\n", "\ud800"])
@pytest.mark.parametrize("what", ["stack", "obsid", "bundle", "component"])
def test_names_that_cannot_go_all_the_way_are_refused(tmp_path, name, what):
    given = {"stack": "S", "obsid": "O", "bundle": "b", "component": "r"} | {what: name}
    stack, obsid, bundle, component = given.values()
    good = make_bundle("b", ("r",))
    key = ObsidBundle(stack, obsid, bundle)
    bundles = [Bundle(key, "ACIS", (component,), good.counts, good.F)]
    with pytest.raises(InputError, match=re.escape(f"the name {name!r} ")):
        write_prep3(tmp_path / "prep3.fits", stack, obsid, "ACIS", bundles)
    assert list(tmp_path.iterdir()) == []


def test_astropy_reads_the_same_numbers(tmp_path):
    path = write_example(tmp_path / "prep3.fits")
    bundles = {b.key.bundle: b for b in three_bundles()}
    table = Table.read(path, hdu="SRCPROP")
    rows = table[(table["bundle"] == "b2") & (table["band"] == "s") & (table["aperture"] == "aper")]
    assert list(rows["component"]) == ["r2", "r5", "background"]
    assert list(rows["counts"]) == list(bundles["b2"].counts["s", "aper"])
    with fits.open(path) as hdus:
        psf = hdus["PSF_PHOTFLUX"]
        assert psf.columns["F"].unit == "count photon-1 s cm2"
        F = psf.data["F"][
            (table["bundle"] == "b3") & (table["band"] == "b") & (table["aperture"] == "aper90")
        ]
        assert np.array_equal(F, bundles["b3"].F["b", "aper90", "photflux"])
        assert hdus[0].header["EXPOSURE"] == 37664.157219


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="fitsverify is not installed")
def test_fitsverify_finds_nothing_to_complain_about(tmp_path):
    path = tmp_path / "prep3.fits"
    long = "stack-" * 8
    bundle = make_bundle("b", ("r1", "%r2's"), 1)
    bundle = Bundle(
        ObsidBundle(long, "O1", "b"), "ACIS", bundle.components, bundle.counts, bundle.F
    )
    write_prep3(path, long, "O1", "ACIS", [bundle], 1.0)
    result = subprocess.run(["fitsverify", path], check=False, capture_output=True, text=True)
    assert "0 warning(s) and 0 error(s)" in result.stdout, result.stdout


def test_a_changed_byte_is_noticed(tmp_path):
    path = write_example(tmp_path / "prep3.fits")
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PSF_CNTS") + 2880 + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"prep3.fits, HDU 3 \(PSF_CNTS\): checksum"):
        read_prep3(path)


def set_cell(hdu: str, column: str, row: int, value) -> callable:
    """An edit of one cell, of a matrix's first element if the column is F."""

    def change(hdus):
        if column == "F":
            hdus[hdu].data["F"][row][value[0]] = value[1]
        else:
            hdus[hdu].data[column][row] = value

    return change


PSF = "PSF_PHOTFLUX"
B1 = rf"{PSF}\), rows 1 to 2, bundle b1 \(band b, aper\): column F: "
# Row 5 of SRCPROP (counted from 0) is b1's second row of band s, aper: its background.
CELLS = [
    ("SRCPROP", "counts", 5, -3, r"SRCPROP\), row 6, bundle b1: column counts is -3"),
    ("SRCPROP", "component", 4, "background", r"SRCPROP\), row 5, bundle b1: .*twice"),
    ("SRCPROP", "component", 5, "r9", r"SRCPROP\), row 5, bundle b1: column component: expected"),
    (
        "SRCPROP",
        "component",
        4,
        "r9",
        r"SRCPROP\), row 5, bundle b1: column component: not the names",
    ),
    ("SRCPROP", "band", 4, "w", r"SRCPROP\), row 5, bundle b1: column band: 'w' is none of b, h"),
    ("SRCPROP", "aperture", 5, "ap", r"SRCPROP\), row 6, bundle b1: column aperture: 'ap'"),
    ("SRCPROP", "bundle", 5, "/", r"SRCPROP\), row 6, bundle /: column bundle: the name '/' has a"),
    (PSF, "F", 0, (1, np.nan), rf"{B1}F\[0, 1\] is nan"),
    (PSF, "F", 1, (0, -1.0), rf"{B1}F\[1, 0\] is -1"),
    (PSF, "F", 1, (0, np.inf), rf"{B1}F\[1, 0\] is inf"),
    (PSF, "F", 1, (1, 0.0), rf"{B1}F\[1, 1\] is 0"),
    (PSF, "F", 1, (slice(2), 0.0), rf"{B1}.* is 0"),
    (PSF, "F", 0, (3, 1.0), rf"{B1}more than 2 numbers in a row"),
]


@pytest.mark.parametrize(
    ("hdu", "column", "row", "value", "message"), CELLS, ids=[f"{c[1]}={c[3]}" for c in CELLS]
)
def test_a_bad_cell_is_named_and_costs_no_neighbour(tmp_path, hdu, column, row, value, message):
    path = write_example(tmp_path / "prep3.fits")
    damage(path, set_cell(hdu, column, row, value))
    back = read_prep3(path)
    assert any(
        r.message.startswith(str(path)) and re.search(message, r.message) for r in back.faults
    ), back.faults
    for bundle in three_bundles()[1:]:
        assert same_bundle(back.bundles[bundle.key.bundle], bundle)
    if "b1" in back.bundles:
        assert len(back.bundles["b1"].F) < len(KINDS)


def replace_column(hdu: str, column: str, form: str, values):
    """An edit that gives a column another format, or takes it away."""

    def change(hdus):
        i = hdus.index_of(hdu)
        kept = [c for c in hdus[i].columns if c.name != column]
        added = [fits.Column(column, form, array=values)] if form else []
        hdus[i] = fits.BinTableHDU.from_columns(kept + added, name=hdu)

    return change


def test_fractional_counts_are_rejected_and_whole_ones_accepted_in_a_double_column(tmp_path):
    path = write_example(tmp_path / "prep3.fits")
    counts = np.array(Table.read(path, hdu="SRCPROP")["counts"], dtype=float)
    counts[1] = 0.5
    damage(path, replace_column("SRCPROP", "counts", "D", counts))
    back = read_prep3(path)
    assert [r.bundle for r in back.faults[:1]] == ["b1"]
    assert "row 2, bundle b1: column counts is 0.5" in back.faults[0].message
    assert same_bundle(back.bundles["b2"], three_bundles()[1])


@pytest.mark.parametrize("column", ["bundle", "component", "band", "aperture", "counts"])
def test_a_missing_column_of_the_source_properties_rejects_the_file(tmp_path, column):
    path = write_example(tmp_path / "prep3.fits")
    damage(path, replace_column("SRCPROP", column, "", None))
    with pytest.raises(InputError, match=rf"prep3.fits, HDU 1 \(SRCPROP\): column {column} is mis"):
        read_prep3(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace_column(PSF, "F", "", None), "column F is missing"),
        (replace_column(PSF, "F", "D", np.ones(36)), "column F: format 'D', expected a fixed"),
        (lambda hdus: hdus[PSF].header.set("EXTNAME", "PSF_X"), "expected one of PSF_FLUX"),
        (lambda hdus: hdus.append(hdus[PSF].copy()), "a second extension of this name"),
        (lambda hdus: setattr(hdus[PSF], "data", hdus[PSF].data[:7]), "7 rows, expected 36"),
    ],
)
def test_a_psf_extension_at_fault_costs_its_quantity_only(tmp_path, change, message):
    path = write_example(tmp_path / "prep3.fits")
    damage(path, change)
    back = read_prep3(path)
    (fault,) = back.faults
    assert message in fault.message
    assert PSF in fault.message or "PSF_X" in fault.message
    cnts = {kind for kind in KINDS if kind.quantity == "cnts"}
    assert all(set(bundle.F) == cnts for bundle in back.bundles.values())


def drop(name: str):
    """An edit that takes HDUs away whose name starts so."""

    def change(hdus):
        for i in reversed(range(len(hdus))):
            if hdus[i].name.startswith(name):
                del hdus[i]

    return change


def keyword(hdu: int, name: str, value):
    """An edit of a keyword."""

    def change(hdus):
        if value is None:
            del hdus[hdu].header[name]
        else:
            hdus[hdu].header[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("SRCPROP"), "no source properties table SRCPROP"),
        (drop("PSF_"), "no PSF extension"),
        (keyword(0, "INSTRUME", "acis"), "INSTRUME = 'acis' is ACIS in capitals"),
        (keyword(0, "STACKID", None), "HDU 0: keyword STACKID is missing"),
        (keyword(0, "EXPOSURE", -1.0), "HDU 0: keyword EXPOSURE is -1.0"),
        (keyword(0, "PREP3VER", 7), "HDU 0: keyword PREP3VER is 7"),
        (keyword(0, "PREP3VER", None), "HDU 0: keyword PREP3VER is None"),
    ],
)
def test_a_file_without_its_essentials_is_rejected(tmp_path, change, message):
    path = write_example(tmp_path / "prep3.fits")
    damage(path, change)
    for read in (read_prep3, scan_prep3):
        with pytest.raises(InputError, match=message) as error:
            read(path)
        assert str(path) in str(error.value)


def test_a_truncated_file_is_rejected_wherever_it_ends(tmp_path):
    path = write_example(tmp_path / "prep3.fits")
    data = path.read_bytes()
    for size in range(0, len(data), 997):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"prep3\.fits"):
            read_prep3(path)


def test_the_owner_of_a_file_that_cannot_be_read_is_told_by_its_header_or_its_name(tmp_path):
    whole = write_example(tmp_path / "any.fits").read_bytes()
    header = read_prep3(tmp_path / "any.fits").header
    cut, named, other = (
        tmp_path / n for n in ("cut.fits", prep3_name("S_1", "o_2"), "x_prep3.fits")
    )
    cut.write_bytes(whole[: len(whole) // 2])
    named.write_bytes(b"")
    other.write_bytes(b"")
    owners = [file.owner for file in scan_here([cut, named, other, tmp_path / "any.fits"])]
    assert owners == [(header.stack, header.obsid), ("S_1", "o_2"), None, None]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_example(tmp_path / "prep3.fits")
    before = path.read_bytes()
    with pytest.raises(InputError, match="does not belong"):
        write_prep3(path, "S1", "O2", "ACIS", three_bundles())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", ["INF", "NaN", "1.5E", "'abc", "(1,2", "12abc"])
def test_an_extname_that_cannot_be_read_costs_its_own_file(tmp_path, value):
    good, bad = write_example(tmp_path / "good_prep3.fits"), tmp_path / "bad_prep3.fits"
    data = bytearray(good.read_bytes().replace(b"CHECKSUM=", b"NO_CHECK="))
    at = data.index(b"CREATOR = ")
    data[at : at + 80] = f"EXTNAME = {value}".ljust(80).encode()
    bad.write_bytes(data)
    for read in (read_prep3, scan_prep3):
        with pytest.raises(InputError, match=f"^{re.escape(str(bad))}, HDU 0: "):
            read(bad)
    scanned = {file.path: file for file in scan_here([str(bad), str(good)])}
    assert scanned[str(bad)].scan is None
    assert scanned[str(good)].faults == []
