"""The MPDFs in the layout of phot3: what astropy reads, held against the results' own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import mpiapp

from mpiapp.catalog.bundle import InputError
from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.engines import create
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3, write_mst3
from mpiapp.files.prep3 import scan_prep3
from mpiapp.files.results import open_results
from mpiapp.files.writer import Writer
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.photometer import Photometer
from mpiapp.products.export import catalog_table
from mpiapp.products.phot3 import write_phot3

HEADER = """\
obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg,\
exposure_rate
"""
TABLE = """\
1,S,r1,ACIS,b,aper,60,60,0.9,0.05,20,400,10000
1,S,r1,ACIS,b,aper90,50,60,0.8,0.05,15,400,10000
1,S,r2,ACIS,b,aper,0,30,0.9,0.05,20,400,10000
"""
# A source of three obsids, of which one flared, and another that is too faint for blocks.
NAME = "2CXO J1+2"
SECONDS = {"1": 1000.0, "2": 2000.0, "3": 5000.0}
COUNTS = {"r1": {"1": 30, "2": 34, "3": 290}, "r2": {"1": 0, "2": 1, "3": 0}}
PSF_FRAC = {"": 0.9, "90": 0.8}
BACKGROUND = 0.04  # counts in a source aperture, known to 1 %
OBSIDS = {"avg": "123", "block1": "12", "block2": "3"}  # the second has the larger exposure
LINKS = [(NAME, "u", "S", "r1"), ("faint", "u", "S", "r2")]
BLOCKS = [(NAME, 1, "S", "1", 1e3), (NAME, 1, "S", "2", 2e3), (NAME, 2, "S", "3", 5e3)]


def measured(folder, table, mpdf, level="obsid", engine="exact"):
    """Results of one level from a table, with the densities that are asked for."""
    (folder / "table.csv").write_text(HEADER + table)
    import_table(folder / "table.csv", folder)
    write_mst3(folder / "mst3.fits", LINKS, BLOCKS)
    associations = read_mst3(folder / "mst3.fits").associations
    scans = [scan_prep3(path)[0] for path in sorted(folder.glob("*prep3.fits"))]
    units = WorkList(scans, Selection((level,)), associations).units
    photometer = Photometer(create(engine), Policy(), job_seed=3, mpdf=mpdf)
    writer = Writer(folder / "results.h5.parts")
    writer.append(photometer.measure([target for unit in units for target in unit.targets()]))
    writer.publish(folder / "results.h5")
    return folder / "results.h5"


def masters(folder, mpdf, engine="exact"):
    rows = [
        f"{obsid},S,{component},ACIS,b,aper{suffix},{n},8000,{psf_frac},0,20,4e6,{SECONDS[obsid]}"
        for component, counts in COUNTS.items()
        for obsid, n in counts.items()
        for suffix, psf_frac in PSF_FRAC.items()
    ]
    return measured(folder, "\n".join(rows) + "\n", mpdf, "master", engine)


@pytest.fixture(scope="module")
def results_path(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("phot3"), TABLE, ["* rate"])


@pytest.fixture(scope="module")
def masters_path(tmp_path_factory):
    return masters(tmp_path_factory.mktemp("masters"), ["* rate", "*/block* * aper cnts"])


def integral(y, x):
    """By trapezoids, of equidistant points along the last axis."""
    return (y.sum(-1) - 0.5 * (y[..., 0] + y[..., -1])) * (x[1] - x[0])


def posterior(component, obsids, suffix, quantity):
    """A fine grid, and on it what Poisson's law makes of the counts under a flat prior."""
    exposure = {k: PSF_FRAC[suffix] * (SECONDS[k] if quantity == "rate" else 1) for k in obsids}
    expected = sum(COUNTS[component][k] for k in obsids) / sum(exposure.values())
    x = np.linspace(0, 3 * expected + 30 / sum(exposure.values()), 4001)
    logs = [
        COUNTS[component][k] * np.log(exposure[k] * x + BACKGROUND) - exposure[k] * x
        for k in obsids
    ]
    p = np.exp(sum(logs) - sum(logs).max())
    return x, p / integral(p, x)


def smoothed(x, p, at):
    """The density p of the grid x by the catalog's kernel, of half-width rms, above zero."""
    mean = integral(x * p, x)
    h = np.sqrt(integral((x - mean) ** 2 * p, x))

    def by_kernel(at):
        kernel = 0.75 / h * np.clip(1 - ((at[:, None] - x) / h) ** 2, 0, None)
        return integral(kernel * p, x)

    grid = np.linspace(0, x[-1] + h, 1001)
    return by_kernel(at) / integral(by_kernel(grid), grid)


def vertex(x, p):
    """Where the parabola through the highest point and those beside it has its own."""
    i = p.argmax()
    a, b, _ = np.polyfit(x[i - 1 : i + 2] / x[i] - 1, p[i - 1 : i + 2], 2)
    return x[i] * (1 - b / (2 * a))


def test_the_mpdf_has_the_mode_of_the_result_and_the_variance_of_posterior_and_kernel(
    results_path, tmp_path
):
    with open_results(results_path) as results:
        rows = results.table("photometry")
        assert write_phot3(results, "obsid", tmp_path) == 2
    (path,) = tmp_path.glob("*r1*")
    with fits.open(path, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["SRC_RATE"]
        assert (hdus[0].header["OBSID"], hdus[0].header["BAND"]) == ("1", "b")
        table = hdus["SRC_RATE"].data
        assert table.names == ["intensity", "MPDF", "intensity90", "MPDF90"]
        for suffix, aperture in (("", b"aper"), ("90", b"aper90")):
            (row,) = rows[
                (rows["component"] == b"r1")
                & (rows["quantity"] == b"rate")
                & (rows["aperture"] == aperture)
            ]
            x, p = table[f"intensity{suffix}"], table[f"MPDF{suffix}"]
            assert vertex(x, p) == pytest.approx(row["mode"], rel=1e-3)
            mean = (x * p).sum() / p.sum()
            variance = ((x - mean) ** 2 * p).sum() / p.sum()
            # an Epanechnikov kernel of half-width h = rms has the variance h²/5
            assert mean == pytest.approx(row["mean"], rel=1e-4)
            assert variance == pytest.approx(1.2 * row["rms"] ** 2, rel=1e-3)
            assert p.sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=1e-4)


def test_of_a_limit_the_mpdf_ends_at_zero(results_path, tmp_path):
    with open_results(results_path) as results:
        rows = results.table("photometry")
        write_phot3(results, "obsid", tmp_path)
    (path,) = tmp_path.glob("*r2_b_phot3.fits")
    (row,) = rows[(rows["component"] == b"r2") & (rows["quantity"] == b"rate")]
    table = fits.getdata(path, "SRC_RATE")
    assert row["outcome"] == 1 and table["intensity"][0] == 0
    x, p = table["intensity"], table["MPDF"]
    assert abs(x[p.argmax()] - row["mode"]) <= x[1] - x[0]
    assert (p.sum() - p[0] / 2) * (x[1] - x[0]) == pytest.approx(1.0, abs=2e-3)


def tables(folder):
    """By file name: its primary header and, by name, its tables."""
    found = {}
    for path in folder.iterdir():
        with fits.open(path, checksum=True) as hdus:
            found[path.name] = (hdus[0].header, {hdu.name: Table.read(hdu) for hdu in hdus[1:]})
    return found


def check(table, component, which, quantity, catalog, average=False):
    """A table against the posterior of the counts of its obsids, and the catalog's mode of it."""
    per = {"rate": ("count s-1", "s count-1"), "cnts": ("count", "count-1")}[quantity]
    wanted = ("", "90") if quantity == "rate" else ("",)
    assert [(c.name, c.unit.to_string("fits")) for c in table.itercols()] == [
        (f"{name}{suffix}", unit)
        for suffix in wanted
        for name, unit in zip(("intensity", "MPDF"), per)
    ]
    for suffix in wanted:
        x, p = (table[f"{name}{suffix}"].value for name in ("intensity", "MPDF"))
        assert np.allclose(np.diff(x), x[1] - x[0], rtol=1e-9)
        right = smoothed(*posterior(component, OBSIDS[which], suffix, quantity), x)
        assert p == pytest.approx(right, abs=1e-4 * right.max())
        # trapezoids lose a part in a thousand of a density that is cut at zero
        assert integral(p, x) == pytest.approx(1.0, abs=1e-6 if x[0] > 0 else 2e-3)
        name = f"src_{quantity}_aper{suffix}{'_avg' if average else ''}_mode_b"
        assert vertex(x, p) == pytest.approx(catalog[name], rel=1e-3)


def test_a_master_source_has_its_best_block_and_its_average(masters_path, tmp_path):
    done = mpiapp("export", masters_path, tmp_path, "--mpdf", "--level", "master")
    assert done.returncode == 0 and done.stdout.endswith(": 2 files\n")
    with open_results(masters_path) as results:
        catalog = {row["name"]: row for row in catalog_table(results, "master", ["mode"])}
    found = tables(tmp_path)
    assert set(found) == {"2CXO%20J1+2_b_phot3.fits", "faint_b_phot3.fits"}

    header, of = found["2CXO%20J1+2_b_phot3.fits"]
    assert (header["NAME"], header["LEVEL"], header["BAND"]) == (NAME, "master", "b")
    assert list(of) == ["SRC_CNTS", "SRC_RATE", "SRC_RATE_AVG"]
    check(of["SRC_CNTS"], "r1", "block2", "cnts", catalog[NAME])
    check(of["SRC_RATE"], "r1", "block2", "rate", catalog[NAME])
    check(of["SRC_RATE_AVG"], "r1", "avg", "rate", catalog[NAME], average=True)

    header, of = found["faint_b_phot3.fits"]
    assert header["NAME"] == "faint" and list(of) == ["SRC_RATE_AVG"]
    check(of["SRC_RATE_AVG"], "r2", "avg", "rate", catalog["faint"], average=True)


def test_every_block_of_a_master_source_has_a_file(masters_path, tmp_path):
    with open_results(masters_path) as results:
        assert write_phot3(results, "block", tmp_path) == 2
        catalog = {row["block"]: row for row in catalog_table(results, "block", ["mode"])}
    found = tables(tmp_path)
    for block in ("block1", "block2"):
        header, of = found[f"2CXO%20J1+2_{block}_b_phot3.fits"]
        assert (header["NAME"], header["BLOCK"], header["LEVEL"]) == (NAME, block, "block")
        assert list(of) == ["SRC_CNTS", "SRC_RATE"]
        check(of["SRC_CNTS"], "r1", block, "cnts", catalog[block])
        check(of["SRC_RATE"], "r1", block, "rate", catalog[block])


def test_what_is_known_from_draws_is_written_as_it_is_kept(tmp_path):
    with open_results(masters(tmp_path, ["*/avg * aper rate"], "gibbs")) as results:
        write_phot3(results, "master", tmp_path / "out")
        rows, kept = results.table("photometry"), results.table("mpdf")
        modes = rows["mode"][results.mpdf_rows()]
    found = tables(tmp_path / "out")
    for row, mode, name in zip(kept, modes, ("2CXO%20J1+2", "faint"), strict=True):
        table = found[f"{name}_b_phot3.fits"][1]["SRC_RATE_AVG"]
        assert table.colnames == ["intensity", "MPDF"]
        x, p = (column.value for column in table.itercols())
        assert (x[0], x[-1]) == (row["low"], row["high"])
        assert p.tolist() == row["density"].tolist()
        assert integral(p, x) == pytest.approx(1.0, abs=1e-3)
        assert abs(x[p.argmax()] - mode) <= x[1] - x[0]


def test_a_level_without_mpdfs_is_said_in_one_line(results_path, tmp_path):
    with open_results(results_path) as results, pytest.raises(InputError, match="no MPDFs at"):
        write_phot3(results, "stack", tmp_path / "out")
    done = mpiapp("export", results_path, tmp_path / "out", "--mpdf", "--level", "master")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
