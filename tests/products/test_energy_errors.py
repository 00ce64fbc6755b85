"""Bounds of energy fluxes with the error of mean photon energies, against drawn photons."""

from __future__ import annotations

import numpy as np
import pytest

from mpiapp.catalog.fault import InputError
from mpiapp.products.energy_errors import relative_errors, widened

# A Gaussian's 68 % interval, widened by the smoothing, in standard deviations.
WIDE = 1.0917


def test_bounds_are_widened_in_quadrature_and_limits_as_values_that_just_reach_zero():
    value = np.array([10.0, 10.0, 4.0, 0.0, np.nan])
    low, high = np.array([6.0, 6.0, 0.0, 0.0, np.nan]), np.array([14.0, 14.0, 8.0, 8.0, np.nan])
    relative = np.array([0.3, np.nan, 0.75, 0.75, 0.1])
    lower, upper = widened(value, low, high, relative)
    assert lower[:4].tolist() == [5.0, 6.0, 0.0, 0.0]
    assert upper[:4].tolist() == [15.0, 14.0, 9.0, 9.0]
    assert np.isnan([lower[4], upper[4]]).all()


def write(folder, obsid, stack, rows):
    from mpiapp.catalog.bundle import Bundle, ObsidBundle
    from mpiapp.catalog.quantities import Matrix
    from mpiapp.files.prep3_write import write_prep3

    F = {Matrix("b", "aper", "flux"): np.eye(2)}
    bundle = Bundle(
        ObsidBundle(stack, obsid, "b1"), "ACIS", ("r1",), {("b", "aper"): np.ones(2)}, F
    )
    names = (
        "photon_energy",
        "photon_energy_err",
        "photon_energy_assumed",
        "expmap_min",
        "expmap_max",
    )
    info = [("b1", "r1", "b", "aper", dict(zip(names, row))) for row in rows]
    path = folder / f"{obsid}.fits"
    write_prep3(path, stack, obsid, "ACIS", [bundle], 1e4, info)
    return str(path)


def test_errors_of_observations_add_up_as_they_are_independent_or_common(tmp_path):
    paths = [
        write(tmp_path, "1", "S", [(2.0, 0.2, 0.0, 1.0, 3.0)]),
        write(tmp_path, "2", "S", [(2.0, 0.4, 1.0, 5.0, 7.0)]),
    ]
    of_obsid = relative_errors(
        paths, "obsid", {("S", "1", "b1", "r1"): 0, ("S", "2", "b1", "r1"): 1}
    )
    assert of_obsid["b", "aper"] == pytest.approx([0.1, 0.2])
    of_stack = relative_errors(paths, "stack", {("S", "b1", "r1"): 0})
    assert of_stack["b", "aper"] == pytest.approx([np.hypot(2 * 0.1, 6 * 0.2) / 8])
    with pytest.raises(InputError, match="extract them anew"):
        relative_errors(paths, "stack", {})


@pytest.mark.slow
def test_pulls_of_energy_fluxes_have_width_1_at_every_level(tmp_path):
    """Of simulated files: extract, run, export, against the truth that photons were drawn from."""
