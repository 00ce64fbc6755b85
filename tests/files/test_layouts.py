"""Tables of others: CSC's columns, CIAO srcflux's, a mapping; and what else they carry."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, Table
from example_files import PAIR

from mpiapp.catalog.fault import InputError
from mpiapp.files.column_map import Given
from mpiapp.files.flat_tables import import_table
from mpiapp.files.prep3 import read_prep3
from mpiapp.files.source_info import read_source_info


def srcflux_table(path, **changes):
    """As srcflux writes it: a row per source, the band in the name of the file."""
    table = Table(
        {
            "RA": [10.5, 11.5] * u.deg,
            "DEC": [-5.25, -6.25] * u.deg,
            "COMPONENT": [1, 2],
            "COUNTS": [51.0, 0.0],
            "BG_COUNTS": [692.0, 30.0],
            "AREA": [180.0, 181.0],
            "BG_AREA": [4200.0, 4201.0],
            "PSFFRAC": [0.9, 0.91],
            "BG_PSFFRAC": [0.05, 0.06],
            "EXPOSURE": [29000.0, 29001.0] * u.s,
            "BG_EXPOSURE": [28000.0, 28001.0] * u.s,
            "MEAN_SRC_EXP": [1e7, 1.1e7] * u.Unit("cm2 s"),
            "MEAN_BG_EXP": [9e6, 9.1e6] * u.Unit("cm2 s"),
            "NET_RATE_APER": [1e-3, 0.0],
        }
    )
    for name, value in changes.items():
        table[name] = value
    table.meta |= {"OBS_ID": "1575", "INSTRUME": "ACIS", "EXPOSURE": 28500.0, "MJD-OBS": 52187.0}
    table.write(path)
    return path


@pytest.mark.parametrize(("name", "band"), [("broad", "b"), ("0.5-2.0", "0.5-2.0")])
def test_a_srcflux_table_is_imported_as_it_is(name, band, tmp_path):
    path = srcflux_table(tmp_path / f"m31_{name}.fits")
    report = import_table(path, tmp_path / "out")
    assert (report.accepted, report.faults) == (2, [])
    assert report.notes[0] == "columns of CIAO srcflux; measured: cnts, rate, photflux"
    file = read_prep3(report.files[0])
    assert (file.header.stack, file.header.obsid, file.header.instrument) == (
        "1575",
        "1575",
        "ACIS",
    )
    assert (file.header.exposure, file.header.mjd) == (28500.0, 52187.0)
    bundle = file.bundles["1"]
    assert bundle.counts[band, "aper"].tolist() == [51, 692]
    assert bundle.F[band, "aper", "cnts"].tolist() == [[0.9, 180.0], [0.05, 4200.0]]
    expected = np.array([[0.9 * 1e7, 180 * 1e7], [0.05 * 9e6, 4200 * 9e6]])
    assert np.allclose(bundle.F[band, "aper", "photflux"], expected, rtol=1e-15)
    expected = np.array([[0.9 * 29e3, 180 * 29e3], [0.05 * 28e3, 4200 * 28e3]])
    assert np.allclose(bundle.F[band, "aper", "rate"], expected, rtol=1e-15)


def test_a_srcflux_table_may_have_its_counts_elsewhere(tmp_path):
    path = srcflux_table(tmp_path / "m31_broad.fits", MINE=[7, 8])
    bundle = read_prep3(
        import_table(path, tmp_path / "out", Given({"cnts": "MINE"})).files[0]
    ).bundles["1"]
    assert bundle.counts["b", "aper"].tolist() == [7, 692]


def test_a_mean_exposure_without_seconds_is_multiplied_by_the_exposure(tmp_path):
    path = srcflux_table(tmp_path / "x_soft.fits", MEAN_SRC_EXP=[300.0, 310.0] * u.cm**2)
    F = read_prep3(import_table(path, tmp_path / "out").files[0]).bundles["1"].F
    assert F["s", "aper", "photflux"][0, 0] == pytest.approx(0.9 * 300 * 29000)


def test_the_energy_of_a_photon_makes_energy_fluxes(tmp_path):
    """A flux of one photon of 2 keV in s and cm2 is 2 × 1.602e-9 erg in s and cm2."""
    path = srcflux_table(tmp_path / "x_broad.fits")
    given = Given(values={"photon_energy_kev": 2.0})
    report = import_table(path, tmp_path / "out", given)
    assert report.notes[0] == "columns of CIAO srcflux; measured: cnts, rate, photflux, flux"
    F = read_prep3(report.files[0]).bundles["1"].F
    energy = (2 * u.keV).to_value(u.erg)
    ratio = F["b", "aper", "photflux"] / F["b", "aper", "flux"]
    assert np.allclose(ratio, energy, rtol=1e-9)


def csc_table(path):
    """Two sources of one ACIS observation, bands b and s, and one of an HRC observation."""
    hrc = [False, False, True]
    table = Table(
        {
            "name": ["2CXO J1", "2CXO J2", "2CXO J3"],
            "obsid": [635, 635, 1412],
            "detect_stack_id": ["acisfJ1", "acisfJ1", "hrcfJ2"],
            "region_id": [1, 7, 1],
            "instrument": ["ACIS", "ACIS", "HRC"],
            "livetime": [1e4, 1e4, 2e4],
            "ra": [1.5, 2.5, 3.5],
        }
    )
    for region, counts, fraction, area in (
        ("aper", 40, 0.9, 24.2064),
        ("aperbkg", 90, 0.04, 968.256),
    ):
        table[f"area_{region}"] = area
        for band in "bsw":
            mask = [(band == "w") != h for h in hrc]
            table[f"cnts_{region}_{band}"] = MaskedColumn(
                [counts, counts + 1, counts + 2], mask=mask
            )
            table[f"psf_frac_{region}_{band}"] = MaskedColumn([fraction] * 3, mask=mask)
    table.write(path)
    return path


def test_a_csc_table_of_observations_has_its_bands_and_apertures_in_its_columns(tmp_path):
    report = import_table(csc_table(tmp_path / "csc.ecsv"), tmp_path / "out")
    assert (report.accepted, report.faults) == (5, [])
    assert report.notes[0] == "columns of CSC's observations; measured: cnts, rate"
    files = {(f.header.stack, f.header.obsid): f for f in map(read_prep3, report.files)}
    assert set(files) == {("acisfJ1", "635"), ("hrcfJ2", "1412")}
    acis = files["acisfJ1", "635"]
    assert set(acis.bundles) == {"1", "7"}
    bundle = acis.bundles["7"]
    assert bundle.counts["s", "aper"].tolist() == [41, 91]
    # 24.2064 arcsec2 are 100 pixels of 0.492 arcsec
    expected = [[0.9, 100.0], [0.04, 4000.0]]
    assert np.allclose(bundle.F["b", "aper", "cnts"], expected, rtol=1e-12)
    assert np.allclose(bundle.F["b", "aper", "rate"], np.multiply(expected, 1e4), rtol=1e-12)
    hrc = files["hrcfJ2", "1412"].bundles["1"]
    assert set(hrc.counts) == {("w", "aper")}
    assert hrc.F["w", "aper", "cnts"][0, 1] == pytest.approx(24.2064 / 0.13175**2)


def test_what_the_user_says_of_a_csc_table_comes_first(tmp_path):
    path = csc_table(tmp_path / "csc.ecsv")
    table = Table.read(path)
    table["mine"] = 0.5
    table.write(path, overwrite=True)
    given = Given(columns={"psf_frac": "mine"}, values={"psf_frac_bkg": "0", "area": 50})
    file = next(f for f in import_table(path, tmp_path / "out", given).files if "635" in str(f))
    bundle = read_prep3(file).bundles["7"]
    assert bundle.F["s", "aper", "cnts"] == pytest.approx(np.array([[0.5, 50], [0, 4000]]))


@pytest.mark.parametrize("way", ["options", "file"])
def test_columns_are_taken_from_where_the_user_says(tmp_path, way):
    path = tmp_path / "t.csv"
    row = {k: v for k, v in PAIR.items() if k not in ("band", "aperture", "cnts", "component")}
    row |= {"NAME": "r1", "TOTAL": 51}
    path.write_text(",".join(row) + "\n" + ",".join(map(str, row.values())))
    if way == "options":
        given = Given.of(None, ["cnts=TOTAL", "component=NAME"], ["band=b", "aperture=aper"])
    else:
        (tmp_path / "map.toml").write_text(
            "[columns]\ncnts = 'TOTAL'\ncomponent = 'NAME'\n"
            "[values]\nband = 'h'\naperture = 'aper'\n"
        )
        given = Given.of(tmp_path / "map.toml", [], ["band=b"])  # options come last
    bundle = read_prep3(import_table(path, tmp_path / "out", given).files[0]).bundles["r1"]
    assert bundle.counts["b", "aper"].tolist() == [51, 692]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            (None, ["counts=COUNTS"], []),
            r"counts is no column of a table of counts \(did you mean cnts\?\); expected one",
        ),
        ((None, ["cnts"], []), "'cnts': expected NAME=VALUE"),
        ((None, [], ["band="]), "'band=': expected NAME=VALUE"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        Given.of(*given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "not valid TOML"),
        ("[column]\ncnts = 'a'", "column: expected the tables"),
        ("[columns]\ncnts = 1", "columns.cnts is 1, expected one value"),
        ("columns = 1", "columns: expected the tables"),
        ("[values]\nband = []", r"values.band is \[\], expected one value"),
    ],
)
def test_a_mapping_file_that_makes_no_sense_is_named(tmp_path, text, message):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        Given.of(path, [], [])


def test_a_mapped_column_that_is_not_there_is_told_with_those_that_are(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=f"^{path}: there is no column COUNTS; it has a, b"):
        import_table(path, tmp_path, Given(columns={"cnts": "COUNTS"}))


def test_what_is_not_measured_is_told_with_what_it_needs(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",".join(PAIR) + "\n" + ",".join(map(str, PAIR.values())))
    notes = import_table(path, tmp_path).notes
    assert notes[0] == 'columns as in "Tables of counts" of the documentation; measured: cnts'
    assert [note.split(":")[1].split()[0].strip(",") for note in notes[1:]] == [
        "rate",
        "photflux",
        "flux",
    ]
    assert notes[1] == "not measured: rate, which needs exposure_rate: the exposure in s"


def test_each_observation_is_a_stack_of_its_own_where_none_is_named(tmp_path):
    path = tmp_path / "t.csv"
    row = {k: v for k, v in PAIR.items() if k != "stack"}
    path.write_text(",".join(row) + "\n" + ",".join(map(str, row.values())))
    report = import_table(path, tmp_path)
    assert read_prep3(report.files[0]).header.stack == "7999"
    assert "no column stack: each observation is a stack of its own" in report.notes


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits"])
def test_other_columns_come_back_from_the_prep3_file(tmp_path, suffix):
    table = Table(rows=[PAIR, {**PAIR, "component": "r2"}])
    table["ra"], table["dec"] = [10.123456789012345, 11.0], [-5.5, 6.0]
    table["id"] = ["007", "x y"]
    table["n"] = [3, -4]
    path = tmp_path / f"t{suffix}"
    table.write(path)
    file = import_table(path, tmp_path / "out").files[0]
    info = read_source_info(file)
    assert info.colnames == ["bundle", "component", "band", "aperture", "ra", "dec", "id", "n"]
    assert info["component"].tolist() == ["r1", "r2"]
    assert info["band"].tolist() == ["b", "b"]
    for name in ("ra", "dec", "id", "n"):
        assert info[name].tolist() == table[name].tolist()
    assert read_prep3(file).faults == []


def test_digits_with_zeros_in_front_stay_names_beside_missing_ones(tmp_path):
    path = tmp_path / "t.csv"
    rows = [{**PAIR, "id": "007"}, {**PAIR, "component": "r2", "id": ""}]
    path.write_text("\n".join([",".join(rows[0])] + [",".join(map(str, r.values())) for r in rows]))
    info = read_source_info(import_table(path, tmp_path / "out").files[0])
    assert [value or "" for value in info["id"].tolist()] == ["007", ""]


def test_a_file_without_other_columns_has_no_table_of_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",".join(PAIR) + "\n" + ",".join(map(str, PAIR.values())))
    assert read_source_info(import_table(path, tmp_path).files[0]) is None


def test_values_that_are_missing_or_odd_do_not_cost_the_row(tmp_path):
    path = tmp_path / "t.csv"
    row = {**PAIR, "ra": "", "odd": "h\u00e9", "é": 1, "BAND": "x"}
    other = {**PAIR, "component": "r2", "ra": "5.5", "odd": "", "é": 2, "BAND": "y"}
    path.write_text(
        "\n".join([",".join(row)] + [",".join(map(str, r.values())) for r in (row, other)])
    )
    report = import_table(path, tmp_path / "out")
    assert (report.accepted, report.faults) == (2, [])
    info = read_source_info(report.files[0])
    assert set(info.colnames[4:]) == {"ra", "odd"}
    assert info["ra"].tolist() == [None, 5.5]
    assert [value or "" for value in info["odd"].tolist()] == ["h\\xe9", ""]


def test_a_csc_table_may_have_starts_and_conversion_factors_of_its_bands(tmp_path):
    path = csc_table(tmp_path / "csc.ecsv")
    table = Table.read(path)
    table["gti_mjd_obs"] = [51_000.5, 51_000.5, 52_000.0]
    table["conversion_powlaw_s"] = [1e-11, 2e-11, np.nan]
    table.write(path, overwrite=True)
    files = map(read_prep3, import_table(path, tmp_path / "out").files)
    file = next(file for file in files if file.header.obsid == "635")
    assert file.header.mjd == 51_000.5
    bundle = file.bundles["7"]
    assert np.allclose(
        bundle.F["s", "aper", "rate"], 2e-11 * bundle.F["s", "aper", "powlaw"], rtol=1e-12
    )
    assert ("b", "aper", "powlaw") not in bundle.F
