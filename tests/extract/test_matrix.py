"""Sums over PSF images and exposure maps, against a PSF whose fractions have a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from mpiapp.extract.matrix import Columns, ExposureMap
from mpiapp.extract.psf import Psf
from mpiapp.extract.region import Component, Region, make_shape
from mpiapp.extract.sky import Grid, Image
from mpiapp.simulate.instrument import enclosed_fraction

R90 = 8.0


def moffat(centre=(0.25, 0.1)) -> Psf:
    """The simulator's PSF in pixels of 1, each the mean of 8 x 8 points."""
    n, parts = 96, 8
    grid = Grid((-(n - 1) / 2, -(n - 1) / 2), 1.0, (n, n))
    along = (np.arange(n * parts) - (n * parts - 1) / 2) / parts
    squared = (along[:, None] - centre[1]) ** 2 + (along[None] - centre[0]) ** 2
    a = (R90 / 3) ** 2
    image = (a / np.pi / (squared + a) ** 2).reshape(n, parts, n, parts).sum(axis=(1, 3)) / parts**2
    middle = grid.origin[0] + np.arange(n)
    return Psf("", np.tile(middle, n), np.repeat(middle, n), image.ravel(), grid.bounds, grid, 1.0)


def circle(x: float, y: float, radius: float) -> Region:
    return Region((Component((make_shape("circle", [x], [y], [radius], []),)),))


def ramp(low: float) -> ExposureMap:
    """1 on the left, falling to `low` between x = -16 and 16, in pixels of 2."""
    grid = Grid((-63.0, -63.0), 2.0, (64, 64))
    x = grid.origin[0] + 2 * np.arange(64)
    values = np.interp(x, [-16, 16], [1, low])
    return ExposureMap((Image("", np.tile(values, (64, 1)), grid, fits.Header()),))


# Circles whose edge runs through the core, and beside it.
@pytest.mark.parametrize(("x", "radius"), [(6, 6.2), (10, 9), (3, 8)])
def test_parts_of_pixels_make_exact_fractions_and_say_what_whole_ones_lack(x, radius):
    """Within a pixel the PSF is taken as flat, which costs up to half a per cent."""
    psf, region = moffat(), circle(x, 0, radius)
    exact = enclosed_fraction(np.hypot(x - 0.25, 0.1), radius, R90)
    coarse, fine = Columns([psf], {}), Columns([psf], {}, fine=True)
    whole, parts = (columns.row(region, 0, None).whole[0] for columns in (coarse, fine))
    assert parts == pytest.approx(exact, rel=5e-3)
    assert abs(parts - exact) < abs(whole - exact) / 4
    assert coarse.edge_error(region, 0) == pytest.approx(abs(whole / exact - 1), abs=5e-3)
    assert fine.edge_error(region, 0) == 0


def test_an_uneven_exposure_counts_where_the_psf_is():
    """At the foot of a ramp, where the mean over the aperture is wrong by several per cent."""
    psf, region = moffat(), circle(0.25, 0.1, 8.0)
    for low, is_even in ((0.6, True), (0.05, False)):
        exposures = ramp(low)
        inside = region.contains(psf.x, psf.y)
        expected = (psf.weight * np.interp(2 * np.round((psf.x + 1) / 2) - 1, [-16, 16], [1, low]))[
            inside
        ].sum()
        row = Columns([psf], {}).row(region, 0, exposures)
        assert row.exposure.is_even == is_even
        assert row.exposed[0] == pytest.approx(
            row.whole[0] * row.exposure.mean if is_even else expected
        )
        fine = Columns([psf], {}, fine=True).row(region, 0, exposures)
        assert fine.exposed[0] == pytest.approx(expected, rel=3e-3)
