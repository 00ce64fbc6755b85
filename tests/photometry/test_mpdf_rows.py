"""Posterior densities in the results: whose they are, and that they are those of the counts."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import mpiapp, write_job
from results_files import density_rows
from scripted_engines import GammaEngine

from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.engines import create
from mpiapp.files.flat_tables import import_table
from mpiapp.files.prep3 import scan_prep3
from mpiapp.files.results import open_results
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.photometer import Photometer

TABLE = """\
obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg,\
exposure_rate
1,S,r1,ACIS,b,aper,12,60,0.9,0.05,20,400,10000
1,S,r2,ACIS,b,aper,0,30,0.9,0.05,20,400,10000
"""


def measured(folder, engine, patterns):
    """(row of /photometry, row of /mpdf) of the densities that are kept; all rows."""
    (folder / "table.csv").write_text(TABLE)
    import_table(folder / "table.csv", folder)
    scans = [scan_prep3(path)[0] for path in sorted(folder.glob("*.fits"))]
    worklist = WorkList(scans, Selection(("obsid", "stack")))
    targets = [target for unit in worklist.units for target in unit.targets()]
    batch = Photometer(engine, Policy(), job_seed=3, mpdf=patterns).measure(targets)
    kept = batch.photometry[density_rows(batch.runs, batch.mpdf)]
    assert (kept["run_id"] == batch.mpdf["run_id"]).all()
    return list(zip(kept, batch.mpdf)), batch.photometry


def posterior(x, c, b):
    """Density of the count rate for c counts in the source aperture and b in the background's.

    Background integrated out by the trapezoidal rule, which converges geometrically here.
    """
    background = np.linspace(0, 5e-5, 4001)[:, None]
    source = 1e4 * (0.9 * x + 20 * background)
    other = 1e4 * (0.05 * x + 400 * background)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = b * np.log(other) - other - source + (c * np.log(source) if c else 0.0)
    density = np.nansum(np.exp(log - np.nanmax(log)), axis=0)
    return density / area(density, x)


def area(density, x):
    """Its integral, by trapezoids."""
    return (density.sum() - density[[0, -1]].mean()) * (x[1] - x[0])


def test_the_densities_of_the_exact_engine_are_the_posterior(tmp_path):
    kept, rows = measured(tmp_path, create("exact"), ["obsid * rate"])
    assert sorted(row["component"] for row, _ in kept) == [b"r1", b"r2"]
    assert len(rows) > len(kept)
    for row, mpdf in kept:
        assert row["level"] == b"obsid" and mpdf["kernel"] == 0
        x = np.linspace(mpdf["low"], mpdf["high"], len(mpdf["density"]))
        c, b = (12, 60) if row["component"] == b"r1" else (0, 30)
        fine = np.linspace(x[0], x[-1], 8 * (len(x) - 1) + 1)
        expected = posterior(fine, c, b)
        # float32 keeps 6e-8; the trapezoids of `fine` lose 1e-5 where the density is cut at zero
        assert mpdf["density"] == pytest.approx(expected[::8], abs=1e-4 * expected.max())


def test_the_densities_of_draws_are_smoothed_and_peak_at_the_mode(tmp_path):
    kept, rows = measured(tmp_path, GammaEngine(), ["*"])
    assert len(kept) == len(rows)
    for row, mpdf in kept:
        assert mpdf["kernel"] == 1
        x = np.linspace(mpdf["low"], mpdf["high"], len(mpdf["density"]))
        assert abs(x[mpdf["density"].argmax()] - row["mode"]) <= x[1] - x[0]
        assert area(mpdf["density"], x) == pytest.approx(1.0, abs=1e-3)


def test_the_job_keeps_what_the_configuration_names(tmp_path):
    config = write_job(tmp_path, "gamma", text=TABLE, output="mpdf = 'stack * cnts'")
    done = mpiapp("run", config)
    assert done.returncode == 0, done.stderr
    with open_results(tmp_path / "results.h5") as results:
        runs, rows, mpdf = map(results.table, ("runs", "photometry", "mpdf"))
    kept = rows[density_rows(runs, mpdf)]
    wanted = rows[(rows["level"] == b"stack") & (rows["quantity"] == b"cnts")]
    assert len(kept) == len(wanted) > 0
    assert set(kept["run_id"]) == set(mpdf["run_id"]) == set(wanted["run_id"])
