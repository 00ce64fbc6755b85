"""The catalog's table in every format: what is read back, by what people read it with."""

import io

import numpy as np
import pyarrow.parquet
import pytest
from astropy import units
from astropy.io import fits
from astropy.io.votable import parse, validate
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from jobs import mpiapp, write_job
from jobs import table as counts_table
from results_files import publish

from mpiapp.catalog.bundle import InputError
from mpiapp.catalog.outcome import Flag, Outcome
from mpiapp.catalog.quantities import APERTURES, BANDS, HARDNESS, QUANTITIES, Matrix
from mpiapp.exit_code import ExitCode
from mpiapp.files.results import open_results
from mpiapp.files.schema import OPTIONAL_DTYPES, PHOTOMETRY_DTYPE
from mpiapp.files.writer import Writer
from mpiapp.products.columns import (
    EXTRAS,
    HARDNESS_FIELDS,
    HARDNESS_FLAG,
    KEYS,
    columns,
    fields,
    hardness_column,
    hardness_variability_columns,
    significance_columns,
    variability_columns,
)
from mpiapp.products.export import catalog_table, write_table

NULL = np.nan
# the key; value, lolim, hilim, mode, mean, rms, outcome and flags
ROWS = [
    ("obsid", "S/1/b1", "r1", "b", "aper", "flux", 2e-15, 1e-15, 3e-15, 2e-15, 2e-15, 1e-15, 0, 0),
    ("obsid", "S/1/b1", "r1", "h", "aper", "flux", 0.0, 0.0, 4e-16, 2e-16, 3e-16, 2e-16, 1, 0),
    ("obsid", "S/1/b1", "r1", "b", "aper90", "cnts", 9.0, 6.0, 12.0, 9.0, 10.0, 3.0, 0, 1),
    ("obsid", "S/1/b1", "r2", "b", "aper", "flux", NULL, NULL, NULL, NULL, NULL, NULL, 10, 1),
    ("obsid", "S/2/b1", "r1", "b", "aper", "flux", 5e-15, 4e-15, 6e-15, 5e-15, 5e-15, 1e-15, 0, 0),
    ("stack", "S/b1", "r1", "b", "aper", "flux", 3e-15, 2e-15, 4e-15, 3e-15, 3e-15, 1e-15, 0, 0),
    ("master", "2C 1/avg", "2C 1", "b", "aper", "flux", 3e-15, 2e-15, 4e-15, 3e-15, 3e-15, 1e-15,
     0, 0),
    ("master", "2C 1/block1", "2C 1", "b", "aper", "flux", 2e-15, 1e-15, 3e-15, 2e-15, 2e-15, 1e-15,
     0, 0),
    ("master", "2C 1/block2", "2C 1", "b", "aper", "flux", 7e-15, 6e-15, 8e-15, 7e-15, 7e-15, 1e-15,
     0, int(Flag.BEST_BLOCK)),
]  # fmt: skip


@pytest.fixture(scope="module")
def results_path(tmp_path_factory):
    return published(tmp_path_factory.mktemp("export") / "results.h5", ROWS)


def published(path, found):
    """A results file of these rows."""
    photometry = np.zeros(len(found), PHOTOMETRY_DTYPE)
    for row, values in zip(photometry, found):
        for name, text in zip(
            ("level", "target", "component", "band", "aperture", "quantity"), values
        ):
            row[name] = text.encode()
        for name, number in zip(
            ("value", "lolim", "hilim", "mode", "mean", "rms", "outcome", "flags"), values[6:]
        ):
            row[name] = number
    photometry["run_id"] = np.arange(len(found))
    extras = np.zeros(len(found), OPTIONAL_DTYPES["extras"])
    extras["run_id"], extras["no_source"] = photometry["run_id"], 0.01 * photometry["run_id"]
    extras["ml"] = np.where(np.isfinite(photometry["value"]), photometry["mean"], NULL)
    return publish(path, photometry, further=[("extras", extras[::-1])])


def table(path, level, extras=()):
    with open_results(path) as results:
        return catalog_table(results, level, extras)


def test_the_significance_is_the_photon_flux_in_half_widths(tmp_path):
    """Row 2CXO J005144.1-262750, obsid 3777, of CSC 2.0; 0 for an upper limit."""
    found = [
        ("obsid", "S/1/b1", "r1", "b", "aper", "photflux", 2.311e-5, 2.106e-5, 2.504e-5),
        ("obsid", "S/1/b1", "r1", "u", "aper", "photflux", 0.0, 0.0, 4e-5),
        ("obsid", "S/1/b1", "r1", "b", "aper", "rate", 1e-4, 0.9e-4, 1.1e-4),
        ("master", "2C/avg", "2C", "b", "aper", "photflux", 2.311e-5, 2.106e-5, 2.504e-5),
    ]
    path = published(tmp_path / "results.h5", [(*row, *row[6:7] * 3, 0, 0) for row in found])
    row = table(path, "obsid")[0]
    assert row["flux_significance_b"] == pytest.approx(11.61, abs=0.005)
    assert row["flux_significance_u"] == 0
    assert "flux_significance_b" not in table(path, "master").colnames


def test_a_row_is_a_detection_and_a_column_a_number_of_the_catalog(results_path):
    t = table(results_path, "obsid")
    assert list(zip(t["stack"], t["obsid"], t["bundle"], t["component"])) == [
        ("S", "1", "b1", "r1"),
        ("S", "1", "b1", "r2"),
        ("S", "2", "b1", "r1"),
    ]
    assert t["flux_aper_b"].tolist() == [2e-15, None, 5e-15]
    assert t["flux_aper_lolim_b"].tolist() == [1e-15, None, 4e-15]
    assert t["src_cnts_aper90_hilim_b"].tolist() == [12.0, None, None]
    assert t["flux_aper_b"].unit == "erg s-1 cm-2"


def test_null_limit_and_value_are_told_apart(results_path):
    t = table(results_path, "obsid")
    assert t["flux_aper_outcome_h"].tolist() == [int(Outcome.UPPER_LIMIT), None, None]
    assert t["flux_aper_h"].tolist() == [0.0, None, None]
    assert t["flux_aper_outcome_b"].tolist()[1] == int(Outcome.NULL_PEGGED)


def test_master_sources_have_their_average_and_their_best_block(results_path):
    t = table(results_path, "master")
    assert (t["flux_aper_avg_b"][0], t["flux_aper_b"][0]) == (3e-15, 7e-15)
    assert t["flux_aper_avg_lolim_b"][0] == 2e-15
    blocks = table(results_path, "block")
    assert blocks["block"].tolist() == ["block1", "block2"]
    assert blocks["flux_aper_b"].tolist() == [2e-15, 7e-15]


def test_the_gamma_has_the_mean_and_the_rms(results_path):
    t = table(results_path, "obsid", list(EXTRAS))
    a, b = t["src_cnts_aper90_alpha_b"][0], t["src_cnts_aper90_beta_b"][0]
    assert (a / b, np.sqrt(a) / b) == (pytest.approx(10.0), pytest.approx(3.0))


def test_numbers_beside_mode_and_bounds_stand_in_the_row_of_their_result(results_path):
    t = table(results_path, "obsid", ["no_source", "ml", "threshold"])
    assert t["flux_aper_no_source_b"].tolist() == [0.0, 0.03, 0.04]
    assert t["flux_aper_ml_b"].tolist() == [2e-15, None, 5e-15]
    assert t["flux_aper_ml_b"].unit == "erg s-1 cm-2"
    assert t["flux_aper_no_source_b"].unit is None and t["flux_aper_threshold_b"].unit == "ct"
    assert table(results_path, "master", ["no_source"])["flux_aper_avg_no_source_b"][0] == 0.06


def read_back(path):
    if path.suffix != ".parquet":
        return Table.read(path)
    columns = pyarrow.parquet.read_table(path)  # astropy's own reader cannot take null integers
    lists = {name: columns[name].to_pylist() for name in columns.column_names}
    return Table(
        {
            name: np.ma.MaskedArray(
                [0 if v is None else v for v in values], [v is None for v in values]
            )
            for name, values in lists.items()
        },
        masked=True,
    )


@pytest.mark.parametrize("suffix", [".fits", ".ecsv", ".vot", ".parquet", ".csv"])
@pytest.mark.parametrize("level", ["obsid", "master", "block"])
def test_what_is_read_back_is_what_was_written(results_path, tmp_path, suffix, level):
    t = table(results_path, level, list(EXTRAS))
    path = write_table(t, tmp_path / f"out{suffix}")
    back = read_back(path)
    assert back.colnames == t.colnames
    for name in t.colnames:
        mine, read = t[name], back[name]
        null = np.ma.getmaskarray(np.ma.asarray(read))
        if mine.dtype.kind == "f":
            null = null | ~np.isfinite(np.ma.filled(np.ma.asarray(read, float), np.nan))
        assert (null == np.ma.getmaskarray(mine)).all(), name
        wanted = mine[~null].astype(str) if mine.dtype.kind == "U" else mine[~null]
        found = read[~null].astype(str) if mine.dtype.kind == "U" else read[~null]
        assert np.asarray(found).tolist() == np.asarray(wanted).tolist(), name
        if suffix in (".fits", ".ecsv", ".vot") and mine.unit is not None:
            assert units.Unit(str(read.unit)) == mine.unit, name


def test_the_votable_is_valid_and_says_where_it_comes_from(results_path, tmp_path):
    path = write_table(table(results_path, "master", list(EXTRAS)), tmp_path / "out.vot")
    said = io.StringIO()
    assert validate(str(path), output=said), said.getvalue()
    votable = parse(path)
    assert {info.name: info.value for info in votable.infos}["results"] == "results.h5"
    (field,) = [f for f in votable.get_first_table().fields if f.name == "flux_aper_avg_hilim_b"]
    assert field.ucd == "phot.flux;em.X-ray;stat.max"


def test_fits_has_units_descriptions_ucds_and_a_checksum(results_path, tmp_path):
    path = write_table(table(results_path, "obsid"), tmp_path / "out.fits")
    with fits.open(path, checksum=True) as hdus:
        header = hdus["CATALOG"].header
        i = hdus["CATALOG"].columns.names.index("flux_aper_b") + 1
        assert (header[f"TUNIT{i}"], header[f"TUCD{i}"]) == ("erg s-1 cm-2", "phot.flux;em.X-ray")
        assert "energy flux, source aperture, 0.5-7 keV" in header[f"TCOMM{i}"]
        assert "results: results.h5" in list(header["HISTORY"])


def test_parquet_is_read_by_pyarrow_with_nulls(results_path, tmp_path):
    path = write_table(table(results_path, "obsid"), tmp_path / "out.parquet")
    back = pyarrow.parquet.read_table(path)
    assert back["flux_aper_b"].to_pylist() == [2e-15, None, 5e-15]
    unit = back.schema.field("flux_aper_b").metadata[b"unit"].decode()
    assert units.Unit(unit) == units.Unit("erg s-1 cm-2")
    assert back.schema.metadata[b"level"] == b"obsid"


def test_every_column_that_there_may_be_has_a_unit_and_ucds_of_the_standard():
    every = [Matrix(b, a, q) for b in BANDS for a in APERTURES for q in QUANTITIES]
    found = [c for *_, c in columns(every, fields(list(EXTRAS)))]
    found += [c for key in KEYS.values() for c in key]
    found += [hardness_column(pair, field) for pair in HARDNESS for field in HARDNESS_FIELDS]
    found += [c for band in BANDS for c in variability_columns(band)]
    found += [c for _, _, c in significance_columns([Matrix(b, "aper", "photflux") for b in BANDS])]
    found += [c for pair in HARDNESS for c in hardness_variability_columns(pair)]
    found.append(HARDNESS_FLAG)
    for c in found:
        assert check_ucd(c.ucd, check_controlled_vocabulary=True, has_colon=True), (c.name, c.ucd)
        units.Unit(c.unit, format="fits")
        assert c.description
    names = [c.name for *_, c in columns(every, fields(list(EXTRAS)))]
    assert len(names) == len(set(names))


def test_what_cannot_be_written_is_said_in_one_line(results_path, tmp_path):
    for arguments, words in [
        (["out.txt"], "suffix '.txt': expected .fits"),
        (["out.fits", "--with", "modes"], "'modes': expected some of mode, mean"),
    ]:
        done = mpiapp("export", results_path, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_level_without_results_is_said(tmp_path):
    writer = Writer(tmp_path / "empty.h5.parts")
    writer.publish(tmp_path / "empty.h5")
    with pytest.raises(InputError, match="no results at level master"):
        table(tmp_path / "empty.h5", "master")


def test_a_stack_says_how_many_observations_entered_each_number(tmp_path):
    text = counts_table(3, 2).replace("102,S,r1,ACIS,h,aper,14,31,0.9,0.05,20,400,10000\n", "")
    assert mpiapp("run", write_job(tmp_path, text=text)).returncode == 0
    with open_results(tmp_path / "results.h5") as results:
        stack = catalog_table(results, "stack", ["n_obsids"])
        obsid = catalog_table(results, "obsid", ["n_obsids"])
    assert stack["src_cnts_aper_n_obsids_b"].tolist() == [3, 3]
    assert stack["src_cnts_aper_n_obsids_h"].tolist() == [3, 2]
    assert set(obsid["src_cnts_aper_n_obsids_b"].tolist()) == {1}


def test_a_table_that_cannot_be_written_after_a_job_is_told_and_costs_no_results(tmp_path):
    config = write_job(tmp_path)
    (tmp_path / "sources.vot").mkdir()
    done = mpiapp("run", config, "--export", tmp_path / "sources.vot")
    assert done.returncode == ExitCode.USAGE and "Traceback" not in done.stderr
    assert "sources.vot: Is a directory; the results are complete" in done.stderr
    with open_results(tmp_path / "results.h5") as results:
        assert len(results.table("photometry"))
