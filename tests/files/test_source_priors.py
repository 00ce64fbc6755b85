"""Priors of a job's sources: from tables, and from the results of an earlier job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from jobs import environment

from mpiapp import Flag, InputError, open_results
from mpiapp.files.flat_tables import import_table
from mpiapp.files.source_priors import read_source_priors

KEY = ("x", "b", "aper", "cnts")


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
        ("x", None, None, "cnts"): pytest.approx((15.0, 0.8)),
        ("y", None, None, "rate"): (2.0, 1e3),
    }


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"component": ["x"], "prior_mean_cnts": [2.0], "prior_rms_cnts": [3.0]}, "below 1 has no"),
        ({"component": ["x", "x"], "prior_alpha_cnts": [2.0] * 2, "prior_beta_cnts": [1.0] * 2},
         "a second prior of x"),
        ({"component": ["x"], "prior_alpha_cnts_bkg": [2.0], "prior_beta_cnts_bkg": [1.0]},
         "sources alone have priors"),
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
