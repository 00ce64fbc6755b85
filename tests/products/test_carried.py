"""Positions and other columns of a table of counts come back in the products of its job."""

import numpy as np
import pytest
from astropy.table import Table
from jobs import mpiapp

from mpiapp.catalog.fault import InputError
from mpiapp.cli import main
from mpiapp.files.prep3 import read_prep3
from mpiapp.products.carried import carried_columns
from mpiapp.starter import starter

COUNTS = {
    "stack": "S", "obsid": "1", "component": "r1", "instrument": "ACIS", "band": "b",
    "aperture": "aper", "cnts": 9, "cnts_bkg": 20, "psf_frac": 0.9, "psf_frac_bkg": 0.01,
    "area": 100.0, "area_bkg": 2000.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    folder = tmp_path_factory.mktemp("carried")
    rows = [
        COUNTS | {"ra": 10.5, "dec": -5.25, "name": "007"},
        COUNTS | {"component": "r2", "ra": 11.0, "dec": 6.0, "name": ""},
        COUNTS | {"obsid": "2", "ra": 10.6, "dec": -5.25, "name": "other"},
    ]
    Table(rows=rows).write(folder / "t.csv")
    links = [("2C 1", "u", "S", "r1"), ("2C 2", "u", "S", "r2")]
    names = ("master", "match_type", "stack", "component")
    Table(rows=links, names=names).write(folder / "links.csv")
    arguments = ["import", folder / "t.csv", folder, "--masters", folder / "links.csv"]
    assert main([str(a) for a in arguments]) == 0
    (folder / "job.toml").write_text(starter(folder, "exact"))
    assert mpiapp("run", folder / "job.toml").returncode == 0
    return folder


def exported(job, level, *options):
    out = job / f"{level}.ecsv"
    out.unlink(missing_ok=True)
    assert main(["export", str(job / "results.h5"), str(out), "--level", level, *options]) == 0
    return Table.read(out)


def test_a_detection_has_what_its_observation_said(job):
    table = exported(job, "obsid", "--carry", "ra,dec,name")
    assert table["ra"].tolist() == [10.5, 11.0, 10.6]
    assert str(table["ra"].unit) == "deg"
    assert table["name"].tolist() == ["007", None, "other"]


def test_a_stack_detection_and_a_master_have_what_the_first_observation_said(job):
    assert exported(job, "stack", "--carry", "ra")["ra"].tolist() == [10.5, 11.0]
    for options in ((), ("--mst3", str(job / "mst3.fits"))):  # the job's own is taken by default
        table = exported(job, "master", "--carry", "ra,dec", *options)
        assert dict(zip(table["name"], table["ra"])) == {"2C 1": 10.5, "2C 2": 11.0}


def test_a_value_of_one_band_and_aperture_goes_by_the_name_of_the_column_and_both(tmp_path):
    rows = [
        COUNTS | {"kev": 1.0},
        COUNTS | {"band": "h", "kev": 4.0},
        COUNTS | {"band": "h", "aperture": "aper90", "kev": 5.0},
    ]
    Table(rows=rows).write(tmp_path / "t.csv")
    assert main(["import", str(tmp_path / "t.csv"), str(tmp_path / "prep3")]) == 0
    (path,) = (tmp_path / "prep3").glob("*.fits")
    (bundle,) = read_prep3(path).bundles
    names = ["kev", "kev_b", "kev_h", "kev_aper90_h"]
    found = carried_columns([str(path)], "stack", names, {("S", bundle, "r1"): 0})
    assert {what.name: values.tolist() for what, values in found} == {
        "kev": [1.0], "kev_b": [1.0], "kev_h": [4.0], "kev_aper90_h": [5.0],
    }  # fmt: skip
    with pytest.raises(InputError, match="kev_x"):
        list(carried_columns([str(path)], "stack", ["kev_x"], {("S", bundle, "r1"): 0}))


def test_what_cannot_be_carried_is_said_in_one_line(job, capsys):
    results = str(job / "results.h5")
    options = ("--carry", "glon", "--level", "stack")
    assert main(["export", results, str(job / "x.vot"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "glon: no prep3 file has" in line


def test_a_source_without_a_value_is_null(job):
    paths = [str(path) for path in sorted(job.glob("*prep3.fits"))]
    rows_of = {("S", "1", "none", "none"): 0, ("S", "2", "r1", "r1"): 1}
    ((_, values),) = carried_columns(paths, "obsid", ["ra"], rows_of)
    assert np.ma.getmaskarray(values).tolist() == [True, False]
    with pytest.raises(InputError, match="mst3"):
        list(carried_columns(paths, "block", ["ra"], {("2C 1", "1"): 0}))
