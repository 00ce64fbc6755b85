"""Light curves: from starts in a table, through results and blocks, to a table and a picture."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from jobs import mpiapp

from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3, write_mst3
from mpiapp.files.prep3 import read_prep3, read_prep3_header

HEADER = (
    "obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,"
    "area_bkg,exposure_photflux,exposure_s,mjd\n"
)
# In the order of names; by time a, b, c, d, e: quiet, quiet, high, high, limit.
OBSERVED = {
    "100": (60, 55_000.0),  # b
    "101": (52, 54_000.5),  # a
    "102": (420, 55_900.25),  # d
    "103": (400, 55_500.0),  # c
    "104": (4, 56_000.0),  # e
}
IN_TIME = ["101", "100", "103", "102", "104"]
SECONDS = 8640.0  # a tenth of a day


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of the observations and, with blocks by flux and time, of the master source."""
    folder = tmp_path_factory.mktemp("time")
    rows = [
        f"{obsid},S,r1,ACIS,{band},aper,{net // (1 + (band == 'h'))},1000,0.9,0.05,20,5000,1e7,"
        f"{SECONDS},{mjd}"
        for obsid, (net, mjd) in OBSERVED.items()
        for band in "bh"
    ]
    (folder / "table.csv").write_text(HEADER + "\n".join(rows) + "\n")
    import_table(folder / "table.csv", folder / "prep3")
    write_mst3(folder / "mst3.fits", [("M", "u", "S", "r1")])
    for name, mst3, level in (("obsids", "mst3", "obsid"), ("masters", "blocks", "master")):
        (folder / f"{name}.toml").write_text(
            f"[[input]]\nprep3 = 'prep3'\nmst3 = '{mst3}.fits'\nlevels = ['{level}']\n"
            f"[select]\nquantities = 'photflux'\n".replace("'photflux'", "['photflux']")
            + f"[output]\nresults = '{name}.h5'\n[engine]\nname = 'exact'\n"
        )
    commands = (
        ["run", "obsids.toml"],
        ["blocks", "obsids.h5", "mst3.fits", "blocks.fits", "--time"],
        ["run", "masters.toml"],
    )
    for words in commands:
        done = mpiapp(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_starts_come_along_from_a_table_and_contradictions_are_refused(folder, tmp_path):
    path = folder / "prep3" / "S_100_prep3.fits"
    assert read_prep3_header(path).mjd == read_prep3(path).header.mjd == 55_000.0
    good = "100,S,r1,ACIS,b,aper,9,90,0.9,0.05,20,5000,1e7,10,55000\n"
    bad = good.replace(",b,", ",h,").replace("55000", "55001")
    (tmp_path / "t.csv").write_text(HEADER + good + bad)
    (fault,) = import_table(tmp_path / "t.csv", tmp_path / "prep3").faults
    assert "column mjd: 55001.0, but 55000.0 in earlier rows" in fault.message


def test_blocks_by_time_are_neighbours_in_time_and_those_by_flux_need_not_be(folder):
    associations = read_mst3(folder / "blocks.fits").associations
    by_time = [[o for _, o in pairs] for pairs in associations.time_blocks_of("M").values()]
    assert by_time == [["100", "101"], ["102", "103"], ["104"]]
    by_flux = [[o for _, o in pairs] for pairs in associations.blocks_of("M").values()]
    assert by_flux == [["104"], ["100", "101"], ["102", "103"]]


def test_the_table_has_observations_by_time_and_then_average_and_blocks(folder):
    done = mpiapp(
        "lightcurve", "obsids.h5", "M", "--masters", "masters.h5", "--out", "curve.ecsv",
        "--bands", "b", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = Table.read(folder / "curve.ecsv")
    single = table[table["interval"] == "obsid"]
    assert single["obsid"].tolist() == IN_TIME
    assert single["mjd"].tolist() == sorted(mjd for _, mjd in OBSERVED.values())
    assert np.allclose(single["mjd_end"] - single["mjd"], 0.1)
    assert single["outcome"].tolist() == [0, 0, 0, 0, 1]
    assert single["value"][-1] == 0 < single["hilim"][-1]
    others = table[len(single) :]
    assert others["interval"].tolist() == [
        "avg", "block1", "block2", "block3", "time1", "time2", "time3",
    ]  # fmt: skip
    average, high = others[0], others[others["interval"] == "time2"][0]
    assert (average["mjd"], average["mjd_end"]) == (54_000.5, 56_000.1)
    assert average["exposure"] == 5 * SECONDS
    assert (high["mjd"], high["mjd_end"]) == (55_500.0, 55_900.35)
    # 800 counts on 4 of background, of 0.9 of the source, in two times 1e7 cm2 s
    net = (820 - 2 * 4) / 0.9 / 2e7
    assert high["value"] == pytest.approx(net, rel=0.01)
    assert str(table["value"].unit) == "ph / (s cm2)"


def test_a_detection_of_a_stack_has_a_light_curve_without_associations(folder):
    done = mpiapp("lightcurve", "obsids.h5", "S/r1", "--bands", "h", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [line.split()[2] for line in done.stdout.splitlines() if " S " in line] == IN_TIME


def test_the_picture_has_every_observation_with_limits_as_arrows(folder):
    pytest.importorskip("matplotlib")
    from mpiapp.report import light_curve_figure

    done = mpiapp(
        "lightcurve", "obsids.h5", "M", "--masters", "masters.h5", "--out", "all.ecsv", "--plot",
        "curve.png", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    table = Table.read(folder / "all.ecsv")
    drawn = []
    light_curve_figure.save, keep = (
        (lambda figure, path: drawn.append(figure)),
        (light_curve_figure.save),
    )
    try:
        light_curve_figure.plot_light_curve(table, "x.png")
    finally:
        light_curve_figure.save = keep
    broad, hard = drawn[0].axes
    measured, limits = broad.containers[:2]
    assert len(measured.lines[0].get_xdata()) == 4
    assert limits.has_yerr and limits.lines[1]  # the caps of an upper limit are its arrow heads
    labels = {text.get_text() for text in drawn[0].legends[0].get_texts()}
    assert {"average", "blocks by time", "block1, by flux"} <= labels
    assert hard.get_xlabel() == "MJD"


def test_a_source_that_is_not_there_is_said_with_the_way_out(folder):
    done = mpiapp("lightcurve", "obsids.h5", "N", cwd=folder)
    assert done.returncode == 2
    assert "no photflux of N in an observation" in done.stderr


def test_blocks_by_time_need_starts(tmp_path, folder):
    (tmp_path / "prep3").mkdir()
    (tmp_path / "mst3.fits").write_bytes((folder / "mst3.fits").read_bytes())
    for path in (folder / "prep3").iterdir():
        with fits.open(path) as hdus:
            del hdus[0].header["MJD-OBS"]
            hdus.writeto(tmp_path / "prep3" / path.name, checksum=True)
    done = mpiapp(
        "blocks", folder / "obsids.h5", folder / "mst3.fits", tmp_path / "b.fits", "--time",
        "--inputs", tmp_path, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "MJD-OBS" in done.stderr
