"""`mpiapp blocks`: from photometry of observations to an mst3 file that can be measured."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import mpiapp

from mpiapp.catalog.bundle import InputError
from mpiapp.catalog.outcome import Flag
from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.engines import create
from mpiapp.files.flat_tables import import_table
from mpiapp.files.mst3 import read_mst3, write_mst3
from mpiapp.files.prep3 import scan_prep3
from mpiapp.files.results import open_results
from mpiapp.files.writer import Writer
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.photometer import Photometer
from mpiapp.products.blocks import instruments, write_blocks

HEADER = """\
obsid,stack,component,instrument,band,aperture,cnts,cnts_bkg,psf_frac,psf_frac_bkg,area,area_bkg,\
exposure_photflux
"""
# Net counts of each source in obsids of equal exposure, ACIS but for W's; the background in a
# source aperture is 4 counts.
COUNTS = {
    "constant": {"A": {"b": (50, 60, 54), "h": (20, 25, 22)}},
    "step": {"A": {"b": (50, 400, 54), "h": (22, 180, 21)}},
    "hard": {"A": {"b": (200, 205, 200), "h": (20, 100, 25)}},
    "both": {"A": {"b": (50, 60, 54)}, "W": {"w": (10, 12, 90)}},
}
LINKS = [
    (name, "u", stack, name[0] + "1") for name, stacks in COUNTS.items() for stack in stacks
] + [("elsewhere", "u", "X", "r1")]
SECONDS = {100: 2000.0, 101: 3000.0, 102: 4000.0, 110: 500.0, 111: 600.0, 112: 700.0}
OLD = [
    *(("both", 1, "A" if obsid < 110 else "W", str(obsid), t) for obsid, t in SECONDS.items()),
    ("elsewhere", 7, "X", "5", 1000.0),
]


def measured(folder, engine, mpdf):
    rows = [
        f"{100 + k + 10 * (stack == 'W')},{stack},{name[0]}1,{'HRC' if stack == 'W' else 'ACIS'},"
        f"{band},aper,{net + 4},1000,0.9,0.05,20,5000,1e7"
        for name, stacks in COUNTS.items()
        for stack, bands in stacks.items()
        for band, counts in bands.items()
        for k, net in enumerate(counts)
    ]
    (folder / "table.csv").write_text(HEADER + "\n".join(rows) + "\n")
    import_table(folder / "table.csv", folder / "prep3")
    scans = [scan_prep3(path)[0] for path in sorted((folder / "prep3").glob("*.fits"))]
    photometer = Photometer(create(engine), Policy(), job_seed=3, mpdf=mpdf)
    writer = Writer(folder / "results.h5.parts")
    for unit in WorkList(scans, Selection(("obsid",))).units:
        writer.append(photometer.measure(unit.targets()))
    writer.publish(folder / "results.h5")
    write_mst3(folder / "mst3.fits", LINKS, OLD)
    return folder


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("exact"), "exact", ["* photflux"])


def blocks_of(path, master):
    found = read_mst3(path).associations.blocks_of(master)
    return {block: [obsid for _, obsid in obsids] for block, obsids in found.items()}


def check(path):
    assert blocks_of(path, "constant") == {1: ["100", "101", "102"]}
    assert blocks_of(path, "step") == {1: ["100", "102"], 2: ["101"]}
    # its broad band is constant
    assert blocks_of(path, "hard") == {1: ["100", "102"], 2: ["101"]}
    # ACIS and HRC share no block
    assert blocks_of(path, "both") == {1: ["100", "101", "102"], 2: ["110", "111"], 3: ["112"]}
    assert blocks_of(path, "elsewhere") == {7: ["5"]}


def test_blocks_are_those_of_the_counts_and_what_was_not_observed_stays(exact):
    with open_results(exact / "results.h5") as results:
        found = write_blocks(results, exact / "mst3.fits", exact / "new.fits")
    check(exact / "new.fits")
    assert (found.masters, found.split, found.unobserved) == (4, 3, 1)
    assert (found.tables, found.gammas) == (24, 0)
    assert read_mst3(exact / "new.fits").associations.components_of("both") == [
        ("A", "b1", "u"),
        ("W", "b1", "u"),
    ]
    blocks = read_mst3(exact / "new.fits").associations.blocks
    assert blocks.exposure.tolist() == [
        1000.0 if obsid == b"5" else SECONDS[int(obsid)] for obsid in blocks.obsid.tolist()
    ]


@pytest.mark.parametrize(("engine", "mpdf"), [("exact", ()), ("gibbs", ["* photflux"])])
def test_without_exact_posteriors_gamma_distributions_give_these_blocks(tmp_path, engine, mpdf):
    folder = measured(tmp_path, engine, mpdf)
    with open_results(folder / "results.h5") as results:
        found = write_blocks(results, folder / "mst3.fits", folder / "new.fits")
    check(folder / "new.fits")
    assert (found.tables, found.gammas) == (0, 24)


def test_the_penalty_decides(exact, tmp_path):
    with open_results(exact / "results.h5") as results:
        write_blocks(results, exact / "mst3.fits", tmp_path / "few.fits", penalty=1e6)
        write_blocks(results, exact / "mst3.fits", tmp_path / "many.fits", penalty=-1e6)
    assert len(blocks_of(tmp_path / "few.fits", "step")) == 1
    assert len(blocks_of(tmp_path / "many.fits", "constant")) == 3


def test_results_without_these_photon_fluxes_are_said_in_one_line(exact, tmp_path):
    with (
        open_results(exact / "results.h5") as results,
        pytest.raises(InputError, match="no photflux at level obsid, aperture aper90"),
    ):
        write_blocks(results, exact / "mst3.fits", tmp_path / "out.fits", aperture="aper90")
    done = mpiapp("blocks", exact / "results.h5", exact / "table.csv", tmp_path / "out.fits")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.fits").exists()


def test_photometry_to_blocks_to_photometry(exact, tmp_path):
    out = tmp_path / "new.fits"
    done = mpiapp("blocks", exact / "results.h5", exact / "mst3.fits", out)
    assert done.returncode == 0, done.stderr
    assert "4 master sources, 3 in several blocks" in done.stdout
    config = tmp_path / "job.toml"
    config.write_text(
        f"[[input]]\nprep3 = '{exact / 'prep3'}'\nmst3 = '{out}'\nlevels = ['master']\n"
        f"[select]\nbands = ['b']\n[output]\nresults = '{tmp_path / 'master.h5'}'\n"
        "[engine]\nname = 'exact'\n"
    )
    done = mpiapp("run", config)
    assert done.returncode in (0, 4), done.stderr
    with open_results(tmp_path / "master.h5") as results:
        rows = results.table("photometry")
    rows = rows[(rows["component"] == b"step") & (rows["quantity"] == b"photflux")]
    value = dict(zip(rows["target"].tolist(), rows["value"]))
    # net counts over psf_frac × exposure, summed over the obsids of the block
    unit = 1 / (0.9 * 1e7)
    assert value[b"step/block1"] == pytest.approx(52 * unit, rel=0.02)
    assert value[b"step/block2"] == pytest.approx(400 * unit, rel=0.02)
    # the best block is that of the largest exposure, 2000 + 4000 s
    assert rows["flags"][rows["target"] == b"step/block1"][0] & Flag.BEST_BLOCK
    assert value[b"step/avg"] == pytest.approx(168 * unit, rel=0.02)


def test_bands_that_an_observation_has_together_are_of_one_instrument():
    seen = [("P1", 0), ("P2", 0), ("P2", 1), ("x", 2), ("s", 3), ("h", 4), ("0.5-2", 4), ("w", 5)]
    bands, observation = zip(*seen)
    found = instruments(np.array(bands, "S8"), np.array(observation))
    named = [[band.decode() for band in own] for own in found]
    # ACIS has s and h together whatever is observed, and 0.5-2 beside h
    assert named == [["s", "h", "0.5-2"], ["w"], ["P1", "P2"], ["x"]]
