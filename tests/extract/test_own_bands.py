"""Bands and conversion factors of one's own, from events to the product, held against hand work."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import mpiapp

from mpiapp.extract.find import find_field
from mpiapp.files.prep3 import read_prep3

CIRCLES = {"A": (500.0, 500.0, 20.0), "B": (620.0, 480.0, 25.0)}
FIELD = """
[energies]
soft2 = [0.5, 2.0]
"2-8" = [2.0, 8.0]

[files]
events = "{obsid}_evt2.fits"
aper = "src.reg"
background = "bkg.reg"
psf_fraction = { soft2 = 0.9, "2-8" = 0.8 }
conversion.powlaw = { soft2 = 2e-11, "2-8" = 5e-11 }

[[observation]]
obsid = 7
conversion.powlaw = { soft2 = 1.5e-11, "2-8" = 4e-11 }
stack = "S"

[[observation]]
obsid = 8
stack = "S"
conversion.bb = 1e-11
"""
SECONDS = {"7": 20_000.0, "8": 30_000.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two event lists on one sky plane, circles of two sources, an annulus for the background."""
    folder = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(5)
    for obsid, seconds in SECONDS.items():
        x, y = rng.uniform(300, 800, (2, 6000))
        for cx, cy, r in CIRCLES.values():
            x = np.append(x, rng.normal(cx, r / 3, 80))
            y = np.append(y, rng.normal(cy, r / 3, 80))
        table = Table({"x": x, "y": y, "energy": rng.uniform(300, 9000, len(x)).astype(">f4")})
        table["status"] = (rng.uniform(size=len(x)) < 0.1).astype("i4")
        table.meta |= {"EXTNAME": "EVENTS", "INSTRUME": "ACIS", "EXPOSURE": seconds}
        table.write(folder / f"{obsid}_evt2.fits")
    shapes = [f"circle({x},{y},{r}) # text={{{name}}}" for name, (x, y, r) in CIRCLES.items()]
    (folder / "src.reg").write_text("physical\n" + "\n".join(shapes) + "\n")
    (folder / "bkg.reg").write_text("physical\nannulus(550,500,120,240)\n")
    (folder / "field.toml").write_text(FIELD)
    assert mpiapp("extract", folder / "field.toml", folder / "out").returncode == 0
    return folder


def by_hand(folder, obsid, low, high):
    """Counts of A, B and the background: events without status, of [low, high) keV, by distance."""
    events = Table.read(folder / f"{obsid}_evt2.fits")
    kev = np.asarray(events["energy"], float) / 1000
    keep = (events["status"] == 0) & (kev >= low) & (kev < high)
    x, y = np.asarray(events["x"])[keep], np.asarray(events["y"])[keep]
    inside = [np.hypot(x - cx, y - cy) < r for cx, cy, r in CIRCLES.values()]
    away = np.hypot(x - 550, y - 500)
    annulus = (away > 120) & (away < 240) & ~np.any(inside, axis=0)
    return [int(mask.sum()) for mask in (*inside, annulus)]


@pytest.mark.parametrize(("band", "low", "high"), [("soft2", 0.5, 2.0), ("2-8", 2.0, 8.0)])
def test_counts_of_a_band_are_those_of_the_event_list_by_hand(folder, band, low, high):
    for obsid in SECONDS:
        bundles = read_prep3(folder / "out" / f"S_{obsid}_prep3.fits").bundles.values()
        counts = {b.components[0]: b.counts[band, "aper"].tolist() for b in bundles}
        a, b, background = by_hand(folder, obsid, low, high)
        assert counts == {"A": [a, background], "B": [b, background]}


def test_bands_of_the_catalog_are_extracted_beside_ones_own_if_they_have_a_psf(folder, tmp_path):
    text = FIELD.replace("soft2 = 0.9", "b = 0.9, soft2 = 0.9")
    (folder / "both.toml").write_text(text)
    assert mpiapp("extract", folder / "both.toml", tmp_path).returncode == 0
    (bundle, *_) = read_prep3(tmp_path / "S_7_prep3.fits").bundles.values()
    assert {band for band, _ in bundle.counts} == {"b", "soft2", "2-8"}


def test_factors_of_a_field_file_make_model_fluxes_in_two_commands(folder):
    out = folder / "out"
    assert "2-8" in (out / "job.toml").read_text()
    done = mpiapp("run", out / "job.toml", "--export", folder / "stacks.fits")
    assert done.returncode == 0, done.stderr
    assert mpiapp("export", out / "results.h5", folder / "obsids.fits", "--level", "obsid")
    rows = Table.read(folder / "obsids.fits")
    for row in rows:
        first = row["obsid"] == "7"
        for band, factor in {"soft2": (1.5e-11, 2e-11), "2-8": (4e-11, 5e-11)}.items():
            factor = factor[0 if first else 1]
            for end in ("_hilim_", "_"):
                flux, rate = (row[f"{q}_aper{end}{band}"] for q in ("flux_powlaw", "src_rate"))
                assert flux == pytest.approx(factor * rate, rel=1e-6, abs=0)
            assert np.ma.is_masked(row[f"flux_bb_aper_{band}"]) == first
    # net counts over fraction and exposure; the mode is that to a tenth of √n
    a, _, background = by_hand(folder, "7", 0.5, 2.0)
    ratio = 20.0**2 / (240**2 - 120**2 - overlap())
    net = a - background * ratio
    (row,) = rows[(rows["obsid"] == "7") & (rows["component"] == "A")]
    expected = 1.5e-11 * net / (0.9 * SECONDS["7"])
    assert row["flux_powlaw_aper_soft2"] == pytest.approx(expected, rel=0.1 / net**0.5 + 0.01)
    header = str(fits.getheader(folder / "stacks.fits", 1))
    assert "0.5-2 keV" in header and "2-8 keV" in header


def overlap():
    """Area over π of the sources' circles in the annulus: A lies in its hole, B across its edge."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-25, 25, (2, 1_000_000))
    x, y = x[np.hypot(x, y) < 25] + 620, y[np.hypot(x, y) < 25] + 480
    return 25.0**2 * (np.hypot(x - 550, y - 500) > 120).mean()


def test_a_table_has_factors_for_all_bands_or_for_one(folder):
    lines = [
        "obsid,source,events,aper,background,psf_fraction,conversion_powlaw_unabs,conversion_bb_b",
        "7,A,7_evt2.fits,src.reg,bkg.reg,0.9,3e-11,2e-11",
    ]
    (folder / "field.csv").write_text("\n".join(lines) + "\n")
    (source,) = find_field(folder / "field.csv").observations[0].sources
    assert source.conversion == {
        "conversion_powlaw_unabs": {"": 3e-11},
        "conversion_bb": {"b": 2e-11},
    }


def test_factors_of_srcflux_are_read_from_its_tables(folder):
    numbers = {"COMPONENT": [2, 1], "PSFFRAC": [0.8, 0.9], "BG_PSFFRAC": [0.0, 0.0]}
    numbers |= {"MFLUX_CNV": [2e-11, 1e-11], "UMFLUX_CNV": [4e-11, 3e-11]}
    Table(numbers).write(folder / "7_0.5-2.flux", format="fits", overwrite=True)
    shapes = (folder / "src.reg").read_text().replace("{A}", "{1}").replace("{B}", "{2}")
    (folder / "numbers.reg").write_text(shapes)
    text = FIELD[: FIELD.index("[[")].replace("src.reg", "numbers.reg")
    text = text.replace('conversion.powlaw = { soft2 = 2e-11, "2-8" = 5e-11 }', "")
    text += (
        'conversion = { powlaw = "{obsid}_{band}.flux", powlaw_unabs = "{obsid}_{band}.flux" }\n'
    )
    (folder / "srcflux.toml").write_text(text + "[[observation]]\nobsid = 7\n")
    first, second = find_field(folder / "srcflux.toml").observations[0].sources
    assert first.conversion["conversion_powlaw"] == {"soft2": 1e-11}
    assert second.conversion["conversion_powlaw_unabs"] == {"soft2": 4e-11}
