"""Regions of FITS and text files: which points lie inside, and their areas."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from mpiapp.catalog.fault import InputError
from mpiapp.extract.region import Bounds
from mpiapp.extract.region_files import RegionFile, labels, read_region, read_regions
from mpiapp.extract.sky import Frame, Grid, make_wcs

PIXEL = 0.492 / 3600
WCS = make_wcs((150.0, 2.0), (4096.5, 4096.5), (-PIXEL, PIXEL))
BOUNDS = Bounds(0.5, 8192.5, 0.5, 8192.5)
FRAME = Frame(WCS, BOUNDS, Grid((4000.5, 4000.5), 2.0, (100, 100)))


def fits_region(path, rows, component=None, wcs=None):
    """A FITS region of (shape, x, y, r, rotang) rows, as CIAO's dmmakereg writes them."""
    width = max(len(np.atleast_1d(row[1])) for row in rows)

    def column(k, n):
        values = np.full((len(rows), n), np.nan if k == 4 else 0.0)
        for i, row in enumerate(rows):
            values[i, : len(np.atleast_1d(row[k]))] = np.atleast_1d(row[k])
        return values if n > 1 else values[:, 0]

    columns = [
        fits.Column("X", f"{width}D", array=column(1, width)),
        fits.Column("Y", f"{width}D", array=column(2, width)),
        fits.Column("SHAPE", "16A", array=[row[0] for row in rows]),
        fits.Column("R", "4D", array=column(3, 4)),
        fits.Column("ROTANG", "2D", array=column(4, 2)),
    ]
    if component is not None:
        columns.append(fits.Column("COMPONENT", "I", array=component))
    hdu = fits.BinTableHDU.from_columns(columns, name="REGION")
    if wcs:
        for n, (value, pixel, step) in enumerate(zip(*wcs), 1):
            cards = {"TCTYP": "RA---TAN", "TCRVL": value, "TCRPX": pixel, "TCDLT": step}
            for key, content in cards.items():
                hdu.header[f"{key}{n}"] = content
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return RegionFile(str(path))


def text_region(path, text, label=""):
    path.write_text(text)
    return RegionFile(str(path), (), label)


def turned(x, y, angle):
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return x * c + y * s, y * c - x * s


@pytest.mark.parametrize(
    ("row", "area", "inside"),
    [
        (("Circle", 100, 90, 20, 0), np.pi * 400, lambda x, y: np.hypot(x, y) < 20),
        (
            ("Ellipse", 100, 90, (30, 10), 25),
            np.pi * 300,
            lambda x, y: np.hypot(*(np.array(turned(x, y, 25)) / [[30], [10]])) < 1,
        ),
        (
            ("Rotbox", 100, 90, (30, 10), 25),
            300,
            lambda x, y: (np.abs(turned(x, y, 25)) < [[15], [5]]).all(axis=0),
        ),
        (
            ("Annulus", 100, 90, (10, 20), 0),
            np.pi * 300,
            lambda x, y: (np.hypot(x, y) > 10) & (np.hypot(x, y) < 20),
        ),
        (
            ("Pie", 100, 90, (10, 20), (300, 60)),
            np.pi * 100,
            lambda x, y: (np.abs(np.hypot(x, y) - 15) < 5) & (np.abs(np.arctan2(y, x)) < np.pi / 3),
        ),
        (
            ("Rectangle", (90, 110), (85, 95), 0, 0),
            200,
            lambda x, y: (np.abs(x) < 10) & (np.abs(y) < 5),
        ),
        (
            ("Polygon", (80, 120, 100), (70, 70, 110), 0, 0),
            800,
            lambda x, y: (y > -20) & (y < 20 - 2 * np.abs(x)),
        ),
    ],
    ids=lambda row: row[0] if isinstance(row, tuple) else "",
)  # fmt: skip
def test_every_shape_of_ciao_holds_its_points_and_has_its_area(tmp_path, row, area, inside):
    region = read_region(fits_region(tmp_path / "a.fits", [row], [1]), FRAME)
    x, y = np.random.default_rng(1).uniform(-40, 40, (2, 20_000))
    assert np.array_equal(region.contains(100 + x, 90 + y), inside(x, y))
    assert region.area == pytest.approx(area, rel=1e-3)
    low_high = region.bounds
    assert low_high.x_low <= 100 + x[inside(x, y)].min()
    assert low_high.y_high >= 90 + y[inside(x, y)].max()


def lens(r, s, d):
    """Area that two circles with distance d share."""
    a = r**2 * np.arccos((d**2 + r**2 - s**2) / (2 * d * r))
    b = s**2 * np.arccos((d**2 + s**2 - r**2) / (2 * d * s))
    c = np.sqrt((-d + r + s) * (d + r - s) * (d - r + s) * (d + r + s)) / 2
    return a + b - c


def test_holes_that_overlap_are_cut_once_and_so_are_those_that_reach_out(tmp_path):
    rows = [
        ("Circle", 200, 200, 60, 0),
        ("!Circle", 190, 200, 20, 0),
        ("!Circle", 215, 200, 15, 0),
        ("!Circle", 200, 265, 12, 0),
    ]
    region = read_region(fits_region(tmp_path / "a.fits", rows, [1] * 4), FRAME)
    holes = np.pi * (400 + 225) - lens(20, 15, 25) + lens(60, 12, 65)
    assert region.area == pytest.approx(np.pi * 3600 - holes, rel=1e-3)
    assert region.outline.area == pytest.approx(np.pi * 3600)


def test_rows_of_a_component_are_its_common_part_and_components_are_joined(tmp_path):
    rows = [
        ("Circle", 100, 100, 20, 0),
        ("Circle", 120, 100, 20, 0),
        ("Circle", 200, 100, 10, 0),
        ("!Circle", 200, 100, 5, 0),
    ]
    region = read_region(fits_region(tmp_path / "a.fits", rows, [1, 1, 2, 2]), FRAME)
    assert region.area == pytest.approx(lens(20, 20, 20) + np.pi * 75, rel=2e-3)
    joined = read_region(fits_region(tmp_path / "b.fits", rows), FRAME)
    expected = 2 * np.pi * 400 - lens(20, 20, 20) + np.pi * 75
    assert joined.area == pytest.approx(expected, rel=2e-3)


def test_a_region_of_another_tangent_point_lies_where_it_is_on_the_sky(tmp_path):
    other = ((150.05, 2.02), (4096.5, 4096.5), (-PIXEL, PIXEL))
    file = fits_region(tmp_path / "a.fits", [("Circle", 4096.5, 4096.5, 20, 0)], [1], other)
    region = read_region(file, FRAME)
    x, y = WCS.world_to_pixel_values(150.05, 2.02)
    assert np.allclose(region.centre, (x, y), atol=0.5)
    assert not region.contains(np.array([4096.5]), np.array([4096.5]))[0]


def test_ds9_coordinates_of_all_kinds_name_the_same_place(tmp_path):
    ra, dec = WCS.pixel_to_world_values(4060.5, 4090.5)
    texts = {
        "physical": "physical\nellipse(4060.5,4090.5,10,5,30)",
        "image": "image\nellipse(31,46,5,2.5,30)",
        "fk5": f'fk5\nellipse({ra:.8f},{dec:.8f},4.92",2.46",30)',
        "ciao": "ellipse(4060.5,4090.5,10,5,30)",
        "seconds": 'physical\nellipse(4060.5,4090.5,4.92",2.46",30)',
    }
    x, y = np.random.default_rng(2).uniform(-12, 12, (2, 4000))
    wanted = np.hypot(*(np.array(turned(x, y, 30)) / [[10], [5]]))
    clear = np.abs(wanted - 1) > 0.02  # what the rounding of the celestial position decides
    for name, text in texts.items():
        region = read_region(text_region(tmp_path / f"{name}.reg", text), FRAME)
        inside = region.contains(4060.5 + x, 4090.5 + y)
        assert np.array_equal(inside[clear], wanted[clear] < 1), name
        assert region.area == pytest.approx(np.pi * 50, rel=1e-3)


def test_shapes_of_a_ds9_file_have_names_and_its_exclusions_hold_for_all(tmp_path):
    text = (
        "# Region file format: DS9 version 4.1\nglobal color=green\nphysical\n"
        "circle(100,100,10) # text={A} color=red\n"
        "circle(200,100,10)\n"
        "-circle(100,100,5)\n"
        "circle(120,100,10) # text={A}\n"
    )
    file = text_region(tmp_path / "a.reg", text)
    assert labels(file.path) == ["A", "r0002"]
    found = dict(read_regions(file, FRAME))
    assert found["r0002"].area == pytest.approx(np.pi * 100, rel=1e-3)
    assert found["A"].area == pytest.approx(np.pi * 175, rel=2e-3)
    only = read_region(RegionFile(file.path, (), "r0002"), FRAME)
    assert only.area == found["r0002"].area


def test_signs_join_shapes_of_a_line_as_ciao_reads_them(tmp_path):
    file = text_region(
        tmp_path / "a.reg", "circle(100,100,20)-circle(100,100,10)*box(100,100,80,20)"
    )
    region = read_region(file, FRAME)
    x, y = np.random.default_rng(3).uniform(-30, 30, (2, 4000))
    r = np.hypot(x, y)
    expected = (r < 20) & (r > 10) & (np.abs(y) < 10)
    assert np.array_equal(region.contains(100 + x, 100 + y), expected)


def test_a_region_with_others_cut_out_loses_what_they_cover(tmp_path):
    big = read_region(text_region(tmp_path / "a.reg", "circle(100,100,30)"), FRAME)
    small = read_region(text_region(tmp_path / "b.reg", "circle(120,100,20)"), FRAME)
    far = read_region(text_region(tmp_path / "c.reg", "circle(300,100,20)"), FRAME)
    left = big.minus([small, far])
    assert left.area == pytest.approx(np.pi * 900 - lens(30, 20, 20), rel=1e-3)
    assert big.overlaps(small) and not big.overlaps(far) and not left.overlaps(small)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no shape in it"),
        ("physical\ncircle(100,100)", "line 2: circle"),
        ("circle(100,nan,5)", "expected finite numbers"),
        ("circle(100,100,-5)", "circle of 1 positions"),
        ("point(100,100)", "has no area"),
        ("what is this", "no shape and no system"),
        ("-circle(100,100,5)", "no shape in it"),
        ('fk5\ncircle(12:00:00,95:00:00,5")', "circle"),
        ("polygon(1,1,2)", "polygon"),
    ],
)
def test_what_is_no_region_is_named_with_its_file_and_line(tmp_path, text, said):
    file = text_region(tmp_path / "a.reg", text)
    with pytest.raises(InputError, match=r"a\.reg") as raised:
        read_region(file, FRAME)
    assert said in str(raised.value)


def test_a_fits_region_names_its_row(tmp_path):
    file = fits_region(tmp_path / "a.fits", [("Circle", 1, 1, 5, 0), ("Blob", 1, 1, 5, 0)], [1, 1])
    with pytest.raises(InputError, match=r"a\.fits, REGION, row 2: shape 'blob'"):
        read_region(file, FRAME)
