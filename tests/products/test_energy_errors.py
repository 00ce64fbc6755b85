"""Bounds of energy fluxes with the error of mean photon energies, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gammas import Gamma, write_results

from mpiapp.catalog.fault import InputError
from mpiapp.catalog.masters import Blocks, Links, associate, names_array
from mpiapp.files.results import open_results
from mpiapp.products.beside import level_fields
from mpiapp.products.energy_errors import every_block, relative_errors, widened
from mpiapp.products.export import catalog_table


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


def test_a_block_has_the_errors_of_its_observations(tmp_path):
    paths = [
        write(tmp_path, "1", "S", [(2.0, 0.2, 0.0, 1.0, 3.0)]),
        write(tmp_path, "2", "S", [(2.0, 0.4, 1.0, 5.0, 7.0)]),
    ]
    links = Links(*(names_array([name]) for name in ("M", "u", "S", "r1")))
    # a block by flux each, and one by time
    master, stack, obsid = (names_array(names) for names in ("MM", "SS", "12"))
    blocks = Blocks(master, np.array([1, 2]), stack, obsid, np.ones(2), np.array([1, 1]))
    associations = associate(links, blocks)[0]
    rows_of = {("M", name): i for i, name in enumerate(("block1", "block2", "time1"))}
    errors = relative_errors(
        paths, "block", rows_of, associations, every_block(rows_of, associations)
    )
    both = np.hypot(2 * 0.1, 6 * 0.2) / 8
    assert errors["b", "aper"] == pytest.approx([0.1, 0.2, both])


def test_bounds_at_other_levels_are_widened_as_those_of_a_gaussian(tmp_path):
    path = write(tmp_path, "1", "S", [(2.0, 0.6, 0.0, 1.0, 3.0)])
    found = [("obsid", "S/1/b1", "r1", 0, "b", Gamma(400, 1e7))]
    levels = level_fields([0.9]) + level_fields([0.9], highest=True)
    with open_results(write_results(tmp_path, found, "flux")) as results:
        (plain,) = catalog_table(results, "obsid", levels=levels)
        with_errors = catalog_table(
            results, "obsid", prep3=[path], levels=levels, energy_errors=True
        )
    (row,) = with_errors
    value = plain["flux_aper_b"]
    # 90 % of a Gaussian are within 1.64485 standard deviations, 68 % within 0.99446
    for ends, times in ((("lolim", "hilim"), 1.0), (("lo90", "hi90"), 1.64485 / 0.99446),
                        (("hdi_lo90", "hdi_hi90"), 1.64485 / 0.99446)):  # fmt: skip
        for end, sign in zip(ends, (-1, 1)):
            name = f"flux_aper_{end}_b"
            half = np.hypot(plain[name] - value, times * 0.3 * value)
            assert row[name] == pytest.approx(value + sign * half, rel=1e-5, abs=0)
    assert row["flux_aper_b"] == value
