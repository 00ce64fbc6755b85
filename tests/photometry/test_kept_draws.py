"""Draws of chosen runs of a job: which files there are, what ArviZ and astropy read of them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table
from jobs import mpiapp, photometry, write_job
from scipy import stats

from mpiapp.files.results import open_results
from mpiapp.report.rerun import find_key, rerun

KEYS = ("stack S/r1 b aper rate", "obsid S/100/r1 b aper rate")


def job(folder, engine, output):
    folder.mkdir()
    config = write_job(folder, engine, output=output)
    done = mpiapp("run", config)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_job_writes_the_draws_of_the_runs_that_patterns_name_and_the_same_results(tmp_path):
    arviz = pytest.importorskip("arviz")
    pytest.importorskip("netCDF4")
    kept = job(tmp_path / "kept", "exact", "draws = ['* S/r1 b aper rate', '* S/100/r1 b * rate']")
    plain = job(tmp_path / "plain", "exact", "")
    for name in ("value", "lolim", "hilim", "mean", "rms", "outcome"):
        assert np.array_equal(photometry(kept / "results.h5")[name],
                              photometry(plain / "results.h5")[name])  # fmt: skip
    files = sorted(path.name for path in (kept / "results.draws").iterdir())
    assert files == ["obsid_S_100_r1_b_aper_rate.nc", "stack_S_r1_b_aper_rate.nc"]
    posterior = arviz.from_netcdf(kept / "results.draws" / files[1]).posterior
    assert posterior.attrs["run"] == KEYS[0]
    assert posterior["source"].dims == ("chain", "draw", "component")
    assert posterior["component"].values.tolist() == ["r1"]
    assert len(posterior["obsid"]) == 3
    rows = photometry(kept / "results.h5")
    row = rows[(rows["target"] == b"S/r1") & (rows["band"] == b"b") & (rows["quantity"] == b"rate")]
    draws = posterior["source"].values.ravel()
    # independent: standard errors of mean and rms of a near-normal sample, five of them
    error = row["rms"][0] / np.sqrt(len(draws))
    assert draws.mean() == pytest.approx(row["mean"][0], abs=5 * error)
    assert draws.std() == pytest.approx(row["rms"][0], abs=5 * error)


def test_draws_of_a_sampler_are_its_chains_in_fits_as_well(tmp_path):
    folder = job(
        tmp_path / "gibbs", "gibbs", f"draws = '{KEYS[1]}'\ndraws_format = 'fits'"
    )  # fmt: skip
    (path,) = (folder / "results.draws").iterdir()
    table = Table.read(path, hdu="DRAWS")
    with open_results(folder / "results.h5") as results:
        run, _ = rerun(results, find_key(results, KEYS[1]))
    values = run.posterior.values
    assert table["chain"].max() + 1 == len(values)
    source = np.asarray(table["source"]).reshape(values.shape[:2])
    assert np.array_equal(source, values[:, :, 0])
    names = Table.read(path, hdu="PARAMETERS")
    assert names["label"].tolist() == ["r1", "S/100/r1"]
    assert names["column"].tolist() == ["source", "background"]
    assert str(table["background"].unit) == "ct / (pix s)"


def test_draws_of_the_exact_engine_are_distributed_as_its_posterior(tmp_path):
    folder = job(tmp_path / "exact", "exact", f"draws = '{KEYS[1]}'\ndraws_format = 'fits'")
    (path,) = (folder / "results.draws").iterdir()
    draws = np.ravel(Table.read(path, hdu="DRAWS")["source"])
    with open_results(folder / "results.h5") as results:
        run, _ = rerun(results, find_key(results, KEYS[1]))
    # those of one source are independent, so that Kolmogorov's distribution holds
    assert stats.kstest(draws, lambda x: run.posterior.cdf(0, x)).pvalue > 1e-4
