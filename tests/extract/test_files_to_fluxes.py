"""Files of simulated skies to fluxes at every level, against what photons were drawn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from jobs import mpiapp
from mock_skies import STEADY, WIDE

from mpiapp.simulate import simulate
from mpiapp.validate.truth import Pulls, Truth, truth_of

# Bright, so that photons and not the posterior's lean on 0 decide, and constant.
PRESET = replace(
    STEADY,
    sources=(40, 40),
    flux=(7e-15, 7e-14),
    flux_break=2e-14,
    stacks=(3, 3),
    obsids=(2, 3),
    crowded=0.4,
)


@pytest.fixture(scope="module")
def mock(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mock")
    simulate(folder, 150, seed=11, preset=PRESET, events=True)
    return folder


def exported(folder, level: str, *options: str) -> Table:
    out = folder / f"{level}{len(options)}.fits"
    done = mpiapp("export", str(folder / "results.h5"), str(out), "--level", level, *options)
    assert done.returncode == 0, done.stderr
    table = Table.read(out)
    table.convert_bytestring_to_unicode()
    return table


@pytest.fixture(scope="module")
def measured(mock, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    assert mpiapp("extract", str(mock / "products"), str(folder / "prep3")).returncode == 0
    (folder / "job.toml").write_text(
        f"[[input]]\nprep3 = '{folder}/prep3'\nmst3 = '{mock}/mst3.fits'\n"
        "[select]\nquantities = ['flux', 'photflux']\n[engine]\nname = 'exact'\n"
        f"[output]\nresults = '{folder}/results.h5'\n"
    )
    done = mpiapp("run", str(folder / "job.toml"))
    assert done.returncode == 0, done.stderr
    return folder


def pulls(table: Table, truth: Truth, level: str, quantity: str) -> Pulls:
    """Of values of more than 50 counts or so, chosen by the truth, in widths of their bounds."""
    found, of_truth, groups = [], [], []
    for row in table:
        if level == "master":
            target, component, middle = f"{row['name']}/avg", row["name"], "_avg"
        else:
            of = ("stack", "obsid", "bundle") if level == "obsid" else ("stack", "bundle")
            target, component, middle = "/".join(row[n] for n in of), row["component"], ""
        for band in "bs":
            true = truth.values.get((target, component, band, quantity))
            for aperture in ("aper", "aper90"):
                name = f"{quantity}_{aperture}{middle}"
                value, *bounds = (row[f"{name}{end}_{band}"] for end in ("", "_lolim", "_hilim"))
                if true is None or value is np.ma.masked or not value > 0:
                    continue
                sigma = (bounds[1] - bounds[0]) / 2 / WIDE
                if true > 7 * sigma * np.sqrt(true / value):
                    found.append((value - true) / sigma)
                    of_truth.append(true)
                    groups.append(truth.groups[target])
    nothing = np.zeros(0, bool)
    return Pulls(np.array(found), nothing, nothing, np.array(of_truth), np.array(groups))


@pytest.mark.parametrize("level", ["obsid", "stack", "master"])
def test_pulls_have_mean_0_and_width_1_once_errors_of_mean_energies_count(mock, measured, level):
    """Energies of photons scatter by some 60 % of their mean: without their errors, 1.1 to 1.2."""
    truth = truth_of(mock, level)
    plain, widened = exported(measured, level), exported(measured, level, "--energy-errors")
    photons = pulls(plain, truth, level, "photflux")
    without, with_errors = (pulls(t, truth, level, "flux") for t in (plain, widened))
    for found in (photons, with_errors):
        assert len(found.pulls) > 40
        mean, of_mean = found.mean
        spread, of_spread = found.spread
        assert abs(mean) < 4 * of_mean
        assert abs(spread - 1) < 4 * of_spread
    assert without.spread[0] > with_errors.spread[0] + 0.05
    for name in plain.colnames:
        if not (name.startswith("flux_") and ("lolim" in name or "hilim" in name)):
            assert str(plain[name].tolist()) == str(widened[name].tolist())
