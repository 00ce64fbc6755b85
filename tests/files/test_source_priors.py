"""Priors of a job's sources: from tables, and from the results of an earlier job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import environment

from mpiapp import Flag, InputError, Outcome, measure_table, open_results
from mpiapp.catalog.priors import ObsidPriors, PriorKey, problem_gamma
from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.engines import create, installed
from mpiapp.files.flat_tables import import_table
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.files.source_priors import read_source_priors
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.photometer import Photometer

KEY = (None, None, "x", "b", "aper", "cnts", False)


def counts_of(tmp_path, name, cnts):
    """A folder of prep3 files of one source in one obsid."""
    table = Table(
        {
            "obsid": [name], "stack": ["s"], "component": ["x"], "instrument": ["ACIS"],
            "band": ["b"], "aperture": ["aper"], "cnts": [cnts], "bkg": [2.0], "psf_frac": [0.9],
        }
    )  # fmt: skip
    table.write(tmp_path / f"{name}.csv")
    import_table(tmp_path / f"{name}.csv", tmp_path / name)
    return str(tmp_path / name)


def results_of(folder, priors=None):
    """The results file of a job with engine exact, beside its folder of prep3 files."""
    path = Path(f"{folder}{'' if priors is None else '_informed'}.h5")
    job = [f"[[input]]\nprep3 = {folder!r}\nlevels = ['stack']", f"[output]\nresults = '{path}'"]
    job += ["[engine]\nname = 'exact'"] + ([f"[priors]\nfile = '{priors}'"] if priors else [])
    path.with_suffix(".toml").write_text("\n".join(job))
    command = [sys.executable, "-m", "mpiapp", "run", str(path.with_suffix(".toml"))]
    subprocess.run(command, env=environment(), check=True)
    return path


def row_of(path):
    """The only row of a results file."""
    with open_results(path) as results:
        (row,) = results.table("photometry")
    return row


def test_a_table_gives_priors_by_moments_or_shape_for_one_band_or_all(tmp_path):
    Table(
        {
            "component": ["x", "y"],
            "prior_mean_cnts": [20.0, np.nan],
            "prior_rms_cnts": [5.0, np.nan],
            "prior_alpha_rate": [np.nan, 3.0],
            "prior_beta_rate": [np.nan, 1e3],
        }
    ).write(tmp_path / "p.csv")
    found = read_source_priors(tmp_path / "p.csv", "stack")
    assert found == {
        (None, None, "x", None, None, "cnts", False): pytest.approx((15.0, 0.8)),
        (None, None, "y", None, None, "rate", False): (2.0, 1e3),
    }


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"component": ["x"], "prior_mean_cnts": [2.0], "prior_rms_cnts": [3.0]}, "below 1 has no"),
        ({"component": ["x", "x"], "prior_alpha_cnts": [2.0, 3.0], "prior_beta_cnts": [1.0] * 2},
         "a second prior of x"),
        ({"component": ["x"]}, "no prior in it"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used_are_refused_with_the_reason(tmp_path, columns, said):
    Table(columns).write(tmp_path / "p.csv")
    with pytest.raises(InputError, match=said):
        read_source_priors(tmp_path / "p.csv", "stack")


def test_a_job_measures_with_the_priors_of_a_table_and_says_which_rows_had_one(tmp_path):
    folder = counts_of(tmp_path, "now", 9)
    Table(
        {"component": ["x"], "band": ["b"], "prior_alpha_cnts": [16.0], "prior_beta_cnts": [0.8]}
    ).write(tmp_path / "p.csv")
    plain, informed = row_of(results_of(folder)), row_of(results_of(folder, tmp_path / "p.csv"))
    assert plain["flags"] == Flag.KNOWN_BACKGROUND
    assert informed["flags"] == Flag.KNOWN_BACKGROUND | Flag.GAMMA_PRIOR
    # (0.9 s + 2)⁹ e^{−0.9 s} times the prior, by sums over s
    s = np.linspace(0.0, 80.0, 80_001)
    density = (0.9 * s + 2.0) ** 9 * s**15 * np.exp(-1.7 * s)
    assert informed["mean"] == pytest.approx((s * density).sum() / density.sum(), rel=1e-6)


def test_priors_are_found_by_master_source_by_stack_and_by_obsid():
    """At level master the sources are called otherwise than their components."""
    obsids = [
        ObsidPriors("s1", "1", ["x", "y"], ["M", "N"], {}),
        ObsidPriors(
            "s2",
            "2",
            ["z"],
            ["M"],
            {PriorKey("s2", "2", "z", "b", "aper", "cnts", True): (3.0, 4.0)},
        ),
    ]
    matrix = Matrix("b", "aper", "cnts")

    def found(priors):
        return problem_gamma(priors, ("M", "N"), obsids, matrix)[:, 1].tolist()

    by_master = {PriorKey(None, None, "M", None, None, "cnts"): (1.0, 2.0)}
    assert found(by_master) == [2.0, 0.0, 0.0, 4.0]
    by_component = {PriorKey(None, None, "x", None, None, "cnts"): (1.0, 2.0)}
    assert found(by_component) == [0.0, 0.0, 0.0, 4.0]
    by_stack = {PriorKey("s1", None, "x", "b", None, "cnts"): (1.0, 5.0)}
    assert found(by_stack) == [5.0, 0.0, 0.0, 4.0]
    of_background = {PriorKey(None, "1", "y", None, None, "cnts", True): (1.0, 6.0)}
    assert found(of_background) == [0.0, 0.0, 6.0, 4.0]
    narrower = {PriorKey(None, None, "M", "b", None, "cnts"): (1.0, 7.0)}
    assert found(by_master | narrower) == [7.0, 0.0, 0.0, 4.0]
    of_others = {PriorKey(None, None, "M", "s", None, "rate"): (1.0, 8.0)}
    assert found(of_others) == [0.0, 0.0, 0.0, 4.0]
    told = {PriorKey("s2", None, "z", None, None, "cnts", True): (3.0, 9.0)}
    assert found(told) == [0.0, 0.0, 0.0, 9.0]
    with pytest.raises(InputError, match="source M has one Gamma prior in obsid 1, component x"):
        found(by_stack | {PriorKey("s2", None, "z", None, None, "cnts"): (1.0, 9.0)})


def test_results_of_an_earlier_job_are_the_priors_of_the_next(tmp_path):
    path = results_of(counts_of(tmp_path, "then", 30))
    row, found = row_of(path), read_source_priors(path, "stack")
    alpha = (row["mean"] / row["rms"]) ** 2
    assert found == {KEY: pytest.approx((alpha - 1.0, alpha / row["mean"]))}
    with pytest.raises(InputError, match="no result at level master"):
        read_source_priors(path, "master")
    informed = row_of(results_of(counts_of(tmp_path, "now", 9), path))
    assert informed["rms"] < row["rms"]
    assert informed["flags"] & Flag.GAMMA_PRIOR


COUNTS = {
    "obsid": ["1", "2", "1"], "stack": ["s"] * 3, "component": ["x", "x", "y"],
    "instrument": ["ACIS"] * 3, "band": ["b"] * 3, "aperture": ["aper"] * 3,
    "cnts": [9, 4, 7], "cnts_bkg": [60, 20, 80], "psf_frac": [0.9, 0.8, 0.9],
    "psf_frac_bkg": [0.05] * 3, "area": [20.0] * 3, "area_bkg": [400.0, 300.0, 400.0],
}  # fmt: skip
OF_SOURCES = {"prior_alpha_cnts": [16.0, 16.0, None], "prior_beta_cnts": [0.8, 0.8, None]}
OF_BACKGROUNDS = {
    "prior_mean_cnts_bkg": [0.2, None, None],
    "prior_rms_cnts_bkg": [0.05, None, None],
}


def photometry(tmp_path, columns, level, engine=None, priors=None):
    """Rows of /photometry by component, of an imported table."""
    Table({**COUNTS, **columns}).write(tmp_path / "counts.ecsv", overwrite=True)
    files = import_table(tmp_path / "counts.ecsv", tmp_path / "prep3").files
    worklist = WorkList([scan_prep3(path)[0] for path in files], Selection((level,)))
    targets = [target for unit in worklist.units for target in unit.targets()]
    engine = engine or create("exact")
    batch = Photometer(engine, Policy(priors=priors or {}), job_seed=3).measure(targets)
    return {row["target"].decode(): row for row in batch.photometry}, batch


def by_sums(counts, background, fraction, area, prior_of_source, prior_of_background):
    """Mean and rms of a source by sums over itself and its background.

    prior_of_background : α − 1 and β
    """
    s, b = np.linspace(0.0, 80.0, 1601)[:, None], np.linspace(1e-4, 0.6, 1500)
    alpha, beta = prior_of_source
    power, rate = prior_of_background
    log = counts * np.log(fraction * s + 20.0 * b) - fraction * s - 20.0 * b
    log = log + background * np.log(0.05 * s + area * b) - 0.05 * s - area * b
    log = log + power * np.log(b) - rate * b
    log = log + np.where(alpha > 1, (alpha - 1) * np.log(np.maximum(s, 1e-300)), 0.0) - beta * s
    density = np.exp(log - log.max()).sum(axis=1)
    mean = (s[:, 0] * density).sum() / density.sum()
    return mean, np.sqrt((s[:, 0] ** 2 * density).sum() / density.sum() - mean**2)


@pytest.mark.parametrize(
    "name",
    [
        "exact",
        "gibbs",
        pytest.param("pymc3", marks=[pytest.mark.pymc3, pytest.mark.slow]),
        pytest.param("pymc", marks=[pytest.mark.pymc, pytest.mark.slow]),
        "get_draws",
    ],
)
def test_priors_of_sources_and_backgrounds_reach_every_engine_of_a_job(tmp_path, name):
    """Draws have an error of rms/√n of their mean, and five of these are allowed."""
    if name not in installed():
        pytest.skip(f"no {name} on this Python")
    rows, _ = photometry(tmp_path, OF_SOURCES | OF_BACKGROUNDS, "obsid", create(name))
    row = rows["s/1/x"]
    mean, rms = by_sums(9, 60, 0.9, 400.0, (16.0, 0.8), (15.0, 80.0))
    error = 0.0 if name == "exact" else rms / np.sqrt(row["ess"])
    assert row["mean"] == pytest.approx(mean, rel=1e-4, abs=5.0 * error)
    assert row["flags"] & Flag.GAMMA_PRIOR


def test_priors_of_an_import_and_of_a_jobs_table_are_those_of_a_measured_table(tmp_path):
    columns = OF_SOURCES | OF_BACKGROUNDS
    carried, _ = photometry(tmp_path, columns, "obsid")
    plain, _ = photometry(tmp_path, {}, "obsid")
    Table({**COUNTS, **columns}).write(tmp_path / "priors.ecsv")
    priors = read_source_priors(tmp_path / "priors.ecsv", "stack")
    told, _ = photometry(tmp_path, {}, "obsid", priors=priors)
    table = measure_table(Table({**COUNTS, **columns}), "cnts", progress=False)
    for row, target in enumerate(("s/1/x", "s/2/x", "s/1/y")):
        for found in (carried, told):
            assert found[target]["mean"] == table["src_cnts_mean"][row].value
            assert found[target]["flags"] == table["src_cnts_flags"][row]
    assert carried["s/1/y"]["mean"] == plain["s/1/y"]["mean"]
    assert carried["s/1/x"]["mean"] != plain["s/1/x"]["mean"]


def test_a_stack_has_the_prior_of_its_source_once_and_that_of_each_background(tmp_path):
    rows, _ = photometry(tmp_path, OF_SOURCES | OF_BACKGROUNDS, "stack")
    # Of two obsids the likelihoods multiply: the second is the prior of the first's source.
    s, b = np.linspace(0.0, 80.0, 1601), np.linspace(1e-4, 0.6, 1500)
    x, y = s[:, None], b
    first = 9 * np.log(0.9 * x + 20 * y) - 0.95 * x - 420 * y + 60 * np.log(0.05 * x + 400 * y)
    first = first + 15 * np.log(y) - 80 * y
    second = 4 * np.log(0.8 * x + 20 * y) - 0.85 * x - 320 * y + 20 * np.log(0.05 * x + 300 * y)
    of_s = np.exp(first - first.max()).sum(axis=1) * np.exp(second - second.max()).sum(axis=1)
    density = of_s * s**15 * np.exp(-0.8 * s)
    assert rows["s/x"]["mean"] == pytest.approx((s * density).sum() / density.sum(), rel=1e-4)


def test_two_priors_of_a_source_cost_its_stack_alone_and_are_told(tmp_path):
    twice = OF_SOURCES | {"prior_alpha_cnts": [16.0, 20.0, None]}
    rows, batch = photometry(tmp_path, twice, "stack")
    assert rows["s/x"]["outcome"] == Outcome.NULL_BAD_INPUT
    assert rows["s/y"]["outcome"] != Outcome.NULL_BAD_INPUT
    said = "source x has one Gamma prior in obsid 1, component x and another in obsid 2"
    assert said in str(batch.failures)


def test_priors_of_a_prep3_file_that_make_no_sense_cost_what_they_are_for(tmp_path):
    photometry(tmp_path, OF_SOURCES, "obsid")
    path = next(path for path in (tmp_path / "prep3").glob("*_1_prep3.fits"))
    with fits.open(path) as hdus:
        hdus["SRCINFO"].data["prior_alpha_cnts"][0] = 0.5
        hdus.writeto(path, checksum=True, overwrite=True)
    file = read_prep3(path)
    assert (
        "(SRCINFO), row 1, columns prior_alpha_cnts and prior_beta_cnts" in file.faults[0].message
    )
    assert ("b", "aper", "cnts") not in file.bundles["x"].F
    assert ("b", "aper", "cnts") in file.bundles["y"].F
