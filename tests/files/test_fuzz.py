"""Damaged files: a clean result or an error that names the file, and nothing else.

1,600 cases by default, spread over prep3 and mst3 files and tables; MPIAPP_FUZZ_CASES sets another
number.  A case is made from its number alone, so a failure can be repeated.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from damaged_bytes import mutated
from example_files import (
    KINDS,
    make_bundle,
    three_bundles,
    write_example,
    write_example_masters,
)
from prep3_layout1 import write_layout1

from mpiapp.catalog.bundle import Bundle, InputError, check_matrices
from mpiapp.catalog.scan import contradictions, obsid_scans
from mpiapp.files.association_tables import import_associations
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.parallel.planning import prep3_paths

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("MPIAPP_FUZZ_CASES", "1600"))
BATCHES = 10
NUMBERS = [0, 1, -1, 2, 7, 80, 255, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 10**30]
FLOATS = [float("nan"), float("inf"), -float("inf"), -1.0, 0.5, 1e308, 5e-324, 0.0]
TEXTS = ["", ".x", "background", "b", "w", "aper", "flux", "r1", "b2", "%", "%zz"]
TEXTS += ["é", "\x00", "x" * 90]
UNREADABLE = ["INF", "NaN", "1.5E", "'abc", "(1,2", "12abc", "'a'b", "T / T", "="]
VALUES = [*NUMBERS, *FLOATS, *TEXTS, None, True, [], {}, [[]], "1e5", " 5 ", "0x1"]


def unverified(data: bytes) -> bytes:
    """Without checksums, which would catch every change before the code behind them."""
    return data.replace(b"CHECKSUM=", b"NO_CHECK=").replace(b"DATASUM =", b"NO_DATA =")


def damage_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes as disks and transfers damage them; often without the checksums."""
    return unverified(mutated(data, rng)) if rng.random() < 0.7 else mutated(data, rng)


def damage_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Give a keyword another value, another name, or take its card away; without checksums."""
    out = bytearray(data)
    cards = [i for i in range(0, len(out), 80) if out[i + 8 : i + 10] == b"= "]
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.choice(cards))
        kind = rng.integers(5)
        keyword = bytes(out[at : at + 8])
        if kind == 0:
            value = NUMBERS[rng.integers(len(NUMBERS))]
            card = keyword + f"= {value:>20}".encode()
        elif kind == 1:
            value = rng.choice(TEXTS[:-3])
            card = keyword + f"= '{value}'".encode("ascii", "replace")
        elif kind == 2:
            card = bytes(out[(other := int(rng.choice(cards))) : other + 8]) + out[at + 8 : at + 80]
        elif kind == 3:
            keyword = b"EXTNAME " if rng.random() < 0.5 else keyword
            card = keyword + f"= {rng.choice(UNREADABLE)}".encode()
        else:
            card = b""
        out[at : at + 80] = bytes(card)[:80].ljust(80)
    return unverified(bytes(out))


def or_message(path: Path, function, *args, error_type=InputError):
    """What the function returns, or None if it rejects the file by name."""
    try:
        return function(*args)
    except error_type as error:
        if str(path) not in str(error):
            raise
        return None


def check_prep3(path: Path) -> None:
    """Reading and scanning end well, and what comes out can be measured."""
    scanned = or_message(path, scan_prep3, path)
    result = or_message(path, read_prep3, path)
    if scanned is None or result is None:
        return
    scan, faults = scanned
    contradictions(obsid_scans([scan, scan])[0])
    assert all(str(path) in fault.message for fault in result.faults + faults)
    for bundle in result.bundles.values():
        for (band, aperture, _), F in bundle.F.items():
            check_matrices(bundle.counts[band, aperture], F, len(bundle.components))


def check_mst3(path: Path) -> None:
    """As `check_prep3`, for associations."""
    result = or_message(path, read_mst3, path)
    if result is None:
        return
    assert all(str(path) in r.message for r in result.faults)
    associations = result.associations
    for master in associations.masters():
        assert master in associations
        for stack, component, kind in associations.components_of(master):
            if kind == "u":
                assert associations.label(stack, component) == master
        pairs = {pair: 1.0 for obsids in associations.blocks_of(master).values() for pair in obsids}
        associations.best_block(master, pairs)


def two_bundles() -> list[Bundle]:
    """Small bundles of one and two components."""
    return [
        make_bundle("b1", ("r1",), 1, kinds=KINDS[:3]),
        make_bundle("b2", ("r2", "r5"), 2, kinds=KINDS[:3]),
    ]


def small_prep3(path: Path) -> bytes:
    """A prep3 file of two bundles."""
    return write_example(path, two_bundles()).read_bytes()


@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_bytes_and_headers_of_fits_files_end_in_a_message(batch, tmp_path):
    prep3 = small_prep3(tmp_path / "good_prep3.fits")
    layout1 = write_layout1(tmp_path / "old_prep3.fits", two_bundles(), 1.0).read_bytes()
    mst3 = write_example_masters(tmp_path / "good_mst3.fits").read_bytes()
    sources = ((prep3, check_prep3), (mst3, check_mst3), (layout1, check_prep3))
    for case in range(batch, CASES * 3 // 4, BATCHES):
        rng = np.random.default_rng([1, case])
        source, check = sources[case % 3]
        change = damage_bytes if rng.random() < 0.5 else damage_header
        path = tmp_path / f"case{case}.fits"
        path.write_bytes(change(source, rng))
        check(path)
        path.unlink()


@pytest.mark.parametrize(
    "keyword", ["NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "TFORM1"]
)
def test_absurd_sizes_in_a_header_end_in_a_message(keyword, tmp_path):
    # Believed, they would fill the memory or never end.
    data = unverified(small_prep3(tmp_path / "good_prep3.fits"))
    values = ["'999999999999D'"] if keyword == "TFORM1" else [*NUMBERS, -2880, -5760]
    path = tmp_path / "absurd.fits"
    for extension in (b"SRCPROP ", b"PSF_PHOTFLUX'"):
        start = data.rindex(b"XTENSION=", 0, data.index(extension))
        # A keyword that is not there takes the place of a checksum.
        at = max(data.find(f"{keyword:8}= ".encode(), start, start + 2880), 0)
        at = at or data.index(b"NO_CHECK=", start)
        for value in values:
            out = bytearray(data)
            out[at : at + 80] = f"{keyword:8}= {value:>20}".encode().ljust(80)
            path.write_bytes(out)
            check_prep3(path)


@pytest.mark.parametrize("header", [b"SIMPLE  =", b"XTENSION="])
def test_more_axes_than_fits_has_are_refused_at_once(header, tmp_path):
    # astropy would look for each of them: 2^31 take hours.
    data = bytearray(unverified(small_prep3(tmp_path / "good_prep3.fits")))
    begin = data.index(header)
    if header == b"XTENSION=":
        data[begin : begin + 80] = b"XTENSION= 'IMAGE   '".ljust(80)
    at = data.index(b"NAXIS   =", begin)
    data[at : at + 80] = f"NAXIS   = {2**31 - 1:>20}".encode().ljust(80)
    path = tmp_path / "axes_prep3.fits"
    path.write_bytes(data)
    for function in (scan_prep3, read_prep3):
        with pytest.raises(InputError, match=r"HDU [01]: keyword NAXIS is 2147483647"):
            function(path)


def good_records() -> list[dict]:
    """Rows of format 1."""
    place = {"obsid": "O1", "stack": "S1", "instrument": "ACIS", "exposure_s": 1000.0}
    return [
        place
        | {"bundle": bundle.key.bundle, "components": list(bundle.components)}
        | {"band": band, "aperture": aperture, "counts": bundle.counts[band, aperture].tolist()}
        | {"F": {"photflux": bundle.F[band, aperture, "photflux"].tolist()}}
        for bundle in three_bundles()
        for band, aperture in bundle.counts
    ]


def good_pairs() -> list[dict]:
    """Rows of format 2."""
    row = {"stack": "S1", "instrument": "ACIS", "aperture": "aper", "cnts": 5, "cnts_bkg": 30}
    row |= {"psf_frac": 0.9, "psf_frac_bkg": 0.05, "area": 100.0, "area_bkg": 3000.0}
    row |= {"exposure_rate": 1000.0}
    return [
        {"obsid": obsid, "component": component, "band": band, **row}
        for obsid in ("1", "2")
        for component in ("r1", "r2")
        for band in ("b", "s")
    ]


def srcflux_pairs() -> list[dict]:
    """Rows as CIAO srcflux names them, with positions."""
    row = {"instrument": "ACIS", "aperture": "aper", "stack": "S1", "RA": 10.5, "DEC": -5.25}
    row |= {"COUNTS": 5, "BG_COUNTS": 30, "PSFFRAC": 0.9, "BG_PSFFRAC": 0.05, "AREA": 100.0}
    row |= {"BG_AREA": 3000.0, "EXPOSURE": 1000.0, "MEAN_SRC_EXP": 1e7, "photon_energy_kev": 2.0}
    return [
        {"obsid": "1", "COMPONENT": component, "band": band, **row}
        for component in (1, 2)
        for band in ("b", "s")
    ]


def csc_pairs() -> list[dict]:
    """Rows of CSC's table of observations."""
    row = {"obsid": 1, "detect_stack_id": "S1", "instrument": "ACIS", "livetime": 1e3, "ra": 1.5}
    for region in ("aper", "aperbkg"):
        row[f"area_{region}"] = 24.2
        for band in "bs":
            row |= {f"cnts_{region}_{band}": 5, f"psf_frac_{region}_{band}": 0.5}
    return [{"region_id": i, **row} for i in range(3)]


def good_links() -> list[dict]:
    """Rows of an association table."""
    return [
        {"master": f"M{i}", "match_type": "u", "stack": f"S{j}", "component": f"r{i}"}
        for i in range(4)
        for j in range(2)
    ]


def write_records(path: Path, records: list[dict]) -> None:
    """As JSON lines, or as the table that the suffix names."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif path.suffix == ".csv":
        columns = list(records[0])
        lines = [",".join(columns)]
        lines += [",".join(str(record.get(c, "")) for c in columns) for record in records]
        path.write_text("\n".join(lines), errors="replace")
    else:
        columns = {c: [str(record.get(c, "")) for record in records] for c in records[0]}
        kind = {".ecsv": "ascii.ecsv", ".vot": "votable", ".fits": "fits"}[path.suffix]
        table = Table(columns)
        for name in table.colnames:
            table[name] = np.char.encode(table[name], "ascii", "replace")
        table.write(path, format=kind, overwrite=True)


def check_import(path: Path, out: Path, n_rows: int | None, is_links: bool) -> None:
    """Every row is accounted for (None: some hold several), or the whole file rejected by name."""
    if is_links:
        report = or_message(path, import_associations, path, out / "mst3.fits")
    else:
        report = or_message(path, import_table, path, out)
    if report is None:
        return
    assert all(str(path) in r.message for r in report.faults)
    if is_links:
        assert not read_mst3(report.files[0]).faults
    else:
        assert n_rows in (report.accepted + len(report.faults), None)
        assert {str(file) for file in report.files} <= set(prep3_paths([str(out)]))
        assert not any(read_prep3(file).faults for file in report.files)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_records_are_rejected_one_by_one(batch, tmp_path):
    makers = (good_records, good_pairs, good_links, srcflux_pairs, csc_pairs)
    for case in range(batch, CASES // 8, BATCHES):
        rng = np.random.default_rng([3, case])
        kind = case % len(makers)
        records = makers[kind]()
        for _ in range(int(rng.integers(1, 4))):
            record = records[int(rng.integers(len(records)))]
            if not record:
                continue
            column = str(rng.choice(list(record)))
            if rng.random() < 0.2 and record is not records[0]:
                del record[column]
            elif isinstance(record[column], list) and rng.random() < 0.7:
                record[column] = [*record[column][1:], VALUES[rng.integers(len(VALUES))]]
            else:
                record[column] = VALUES[rng.integers(len(VALUES))]
        suffixes = [".jsonl"] if kind < 3 else []
        suffixes += [".csv", ".ecsv", ".fits"] if kind else []
        path = tmp_path / f"case{case}{rng.choice(suffixes)}"
        write_records(path, records)
        n_rows = None if kind == 4 else len(records)
        check_import(path, tmp_path / "out", n_rows, is_links=kind == 2)
        path.unlink()


@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_bytes_of_tables_end_in_a_message(batch, tmp_path):
    good = {}
    for suffix in (".jsonl", ".csv", ".ecsv", ".fits", ".vot"):
        path = tmp_path / f"good{suffix}"
        write_records(path, good_records() if suffix == ".jsonl" else good_pairs())
        good[suffix] = path.read_bytes()
    for case in range(batch, CASES // 8, BATCHES):
        rng = np.random.default_rng([4, case])
        suffix = list(good)[case % len(good)]
        path = tmp_path / f"case{case}{suffix}"
        path.write_bytes(damage_bytes(good[suffix], rng))
        report = or_message(path, import_table, path, tmp_path / "out")
        assert report is None or all(str(path) in r.message for r in report.faults)
        path.unlink()
