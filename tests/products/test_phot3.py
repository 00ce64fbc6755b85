"""The MPDFs in the layout of phot3: what astropy reads, held against the results' own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from jobs import mpiapp

from mpiapp.catalog.bundle import InputError
from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.files.flat_tables import import_table
from mpiapp.files.prep3 import scan_prep3
from mpiapp.files.results import open_results
from mpiapp.files.writer import Writer
from mpiapp.parallel.worker import Worker
from mpiapp.photometry.ladder import Policy
from mpiapp.products.phot3 import write_phot3
from mpiapp.sampling import create

TABLE = """\
obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg,\
exposure_rate
1,S,r1,ACIS,b,aper,60,60,0.9,0.05,20,400,10000
1,S,r1,ACIS,b,aper90,50,60,0.8,0.05,15,400,10000
1,S,r2,ACIS,b,aper,0,30,0.9,0.05,20,400,10000
"""


@pytest.fixture(scope="module")
def results_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phot3")
    (folder / "table.csv").write_text(TABLE)
    import_table(folder / "table.csv", folder)
    scans = [scan_prep3(path)[0] for path in sorted(folder.glob("*.fits"))]
    units = WorkList(scans, Selection(("obsid",))).units
    worker = Worker(create("exact"), Policy(), job_seed=3, mpdf=["* rate"])
    writer = Writer(folder / "results.h5.part")
    writer.append(worker.measure([target for unit in units for target in unit.targets()]))
    writer.publish(folder / "results.h5")
    return folder / "results.h5"


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
            # the vertex of the parabola through the highest point and those beside it
            i = p.argmax()
            a, b, _ = np.polyfit(x[i - 1 : i + 2] / row["mode"] - 1, p[i - 1 : i + 2], 2)
            assert -b / (2 * a) == pytest.approx(0.0, abs=1e-3)
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


def test_a_level_without_mpdfs_is_said_in_one_line(results_path, tmp_path):
    with open_results(results_path) as results, pytest.raises(InputError, match="no MPDFs at"):
        write_phot3(results, "stack", tmp_path / "out")
    done = mpiapp("export", results_path, tmp_path / "out", "--mpdf", "--level", "master")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
