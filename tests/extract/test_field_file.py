"""Field files: which files their patterns stand for, and what is said of mistakes."""

from __future__ import annotations

import pytest

from mpiapp.catalog.fault import InputError
from mpiapp.extract.field import of_band
from mpiapp.extract.field_file import read_field_file

FIELD = """
[files]
events = "{obsid}_evt2.fits"
exposure_map = "{obsid}_{band}.expmap"
aper = "{source}_src.fits[SRCREG]"
background = "bkg.reg"
psf = "{obsid}_{source}_{band}.fits"
[[observation]]
obsid = 7
stack = "S"
[[observation]]
obsid = 8
stack = "S"
"""


@pytest.fixture
def folder(tmp_path):
    names = [
        "7_evt2.fits",
        "8_evt2.fits",
        "7_broad.expmap",
        "7_s.expmap",
        "A_src.fits",
        "B_src.fits",
    ]
    names += ["7_A_b.fits", "7_A_soft.fits", "7_B_b.fits", "8_A_b.fits"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "bkg.reg").write_text("circle(1,1,9) # text={A}\ncircle(5,5,9)\n")
    return tmp_path


def test_patterns_stand_for_the_files_that_are_there(folder):
    (folder / "field.toml").write_text(FIELD)
    field = read_field_file(folder / "field.toml")
    first, second = field.observations
    assert [s.name for s in first.sources] == ["A", "B"]
    assert [s.name for s in second.sources] == ["A"] and "obsid 8" in field.notes[0]
    assert of_band(first.maps, "b").endswith("7_broad.expmap") and not second.maps
    a, b = first.sources
    assert a.psf.keys() == {"b", "s"} and a.psf["s"].endswith("7_A_soft.fits")
    assert a.aper.hdus == ("SRCREG",) and a.aper.path.endswith("A_src.fits")
    # Of a file of all sources each has the region with its name, or else all of it.
    assert (a.background.label, b.background.label) == ("A", "")


def test_shapes_of_a_text_file_are_the_sources(folder):
    text = FIELD.replace("{source}_src.fits[SRCREG]", "bkg.reg")
    text = text.replace(
        'psf = "{obsid}_{source}_{band}.fits"', "psf_fraction = { b = 0.9, s = 0.95 }"
    )
    (folder / "field.toml").write_text(text)
    first = read_field_file(folder / "field.toml").observations[0]
    assert [(s.name, s.aper.label) for s in first.sources] == [("A", "A"), ("r0002", "r0002")]
    assert of_band(first.sources[0].psf, "s") == (0.95, 0.0)


def test_a_table_says_the_same_of_each_source(folder):
    lines = [
        "obsid,stack,source,ra,dec,events,aper,background,psf,psf_fraction_s",
        "7,S,A,10.5,-3,{obsid}_evt2.fits,A_src.fits,bkg.reg,7_A_b.fits,",
        "7,S,B,,,{obsid}_evt2.fits,B_src.fits,bkg.reg,,0.8",
    ]
    (folder / "field.csv").write_text("\n".join(lines) + "\n")
    a, b = read_field_file(folder / "field.csv").observations[0].sources
    assert a.position == (10.5, -3.0) and b.position is None
    assert of_band(a.psf, "b").endswith("7_A_b.fits") and b.psf == {"s": (0.8, 0.0)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("events =", "event =", "unknown key files.event"),
        ("{obsid}_evt2", "{obsit}_evt2", "use {obsid}, {stack}, {source}, {band}"),
        ('"bkg.reg"', '"none.reg"', "none.reg: is not there"),
        ("{source}_src.fits", "{source}_none.fits", "no source whose files are there"),
        ("obsid = 7", 'exposure_s = "long"', "observation.0.exposure_s"),
        ("obsid = 7", "obsid = 7\nconversion.bb.x = 1e-11", "band 'x': expected one of u, s,"),
        ("[files]", "[files", "not valid TOML"),
    ],
)
def test_mistakes_are_named(folder, old, new, said):
    (folder / "field.toml").write_text(FIELD.replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        read_field_file(folder / "field.toml")
    assert said in str(raised.value)
