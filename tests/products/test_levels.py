"""Bounds at any level from kept densities: those of a measurement with that level."""

import numpy as np
import pytest
from jobs import mpiapp, write_job

from mpiapp import measure
from mpiapp.files.results import open_results
from mpiapp.photometry.ladder import Policy
from mpiapp.posterior import Smoothing
from mpiapp.products.beside import level_fields
from mpiapp.products.export import catalog_table

LEVELS = [0.68, 0.9, 0.997]
HEADER = (
    "obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,"
    "area_bkg,exposure_rate\n"
)
F = np.array([[0.9, 20.0], [0.05, 400.0]]) * 1e4
COUNTS = [0, 3, 25, 400]
TABLE = HEADER + "".join(
    f"1,S,r{i},ACIS,b,aper,{c},30,0.9,0.05,20,400,10000\n" for i, c in enumerate(COUNTS)
)


@pytest.fixture(scope="module", params=["exact", "gibbs"])
def job(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp(request.param)
    config = write_job(folder, request.param, text=TABLE, output="mpdf = '*'")
    assert mpiapp("run", config).returncode == 0
    return request.param, folder


def exported(folder, levels, highest=False):
    with open_results(folder / "results.h5") as results:
        return catalog_table(results, "obsid", levels=level_fields(levels, highest))


@pytest.mark.parametrize("level", LEVELS)
def test_bounds_are_those_of_a_measurement_with_that_level(job, level):
    engine, folder = job
    t = exported(folder, LEVELS)
    percent = f"{100 * level:g}".replace(".", "_")
    smoothing = Smoothing(level=level, upper_limit="quantile")
    for row, counts in zip(t, COUNTS):
        (found,) = measure([counts, 30], F, 1, "rate", policy=Policy(smoothing=smoothing))
        half = 0.5 * (found.hilim - found.lolim)
        # What a table of 128 points leaves; and draws, of which the tail is as good as its share.
        margin = half * (2e-3 if engine == "exact" else 0.15 if level < 0.95 else 0.6)
        assert row[f"src_rate_aper_lo{percent}_b"] == pytest.approx(found.lolim, abs=margin)
        assert row[f"src_rate_aper_hi{percent}_b"] == pytest.approx(found.hilim, abs=margin)


def test_intervals_of_highest_density_are_those_of_the_posterior(job):
    engine, folder = job
    t = exported(folder, [0.9], highest=True)
    for row, counts in zip(t, COUNTS):
        low, high = row["src_rate_aper_hdi_lo90_b"], row["src_rate_aper_hdi_hi90_b"]
        (found,) = measure([counts, 30], F, 1, "rate")
        expected = found.highest_density(0.9)
        width = expected[1] - expected[0]
        if engine == "exact":
            assert (low, high) == pytest.approx(expected, abs=2e-3 * width)
        else:  # as it was kept: smoothed by the kernel, which widens a Gaussian by 1.095
            assert 0.9 * width < high - low < 1.35 * width


def test_results_without_densities_say_what_to_do(tmp_path):
    assert mpiapp("run", write_job(tmp_path, "exact", text=TABLE)).returncode == 0
    done = mpiapp("export", tmp_path / "results.h5", tmp_path / "out.fits", "--level", "obsid",
                  "--levels", "90")  # fmt: skip
    assert done.returncode == 2 and "[output] mpdf" in done.stderr
    done = mpiapp("export", tmp_path / "results.h5", tmp_path / "out.fits", "--levels", "190")
    assert done.returncode == 2 and "--levels 190: expected percentages" in done.stderr


def test_the_command_writes_columns_of_each_level(job):
    _, folder = job
    out = folder / "out.ecsv"
    arguments = "--level", "obsid", "--levels", "90,99.7"
    done = mpiapp("export", folder / "results.h5", out, *arguments)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert "src_rate_aper_hi99_7_b" in text and "upper 99.7 % bound: count rate" in text
