"""Master sources by position."""

from __future__ import annotations

import pytest

from mpiapp.catalog.fault import InputError
from mpiapp.extract.overlaps import StackSources
from mpiapp.extract.positions import masters_by_position, write_masters
from mpiapp.files.mst3 import read_mst3

ARCSEC = 1 / 3600


def stack(name, **positions):
    return StackSources(
        name, {}, {c: (30 + x * ARCSEC, y * ARCSEC) for c, (x, y) in positions.items()}
    )


def test_the_nearest_is_the_unique_match_and_rivals_are_ambiguous():
    first = stack("S1", r1=(0, 0), r2=(20, 0), r3=(23, 0), r4=(60, 0))
    second = stack("S2", r1=(0.5, 0.5), r2=(21.5, 0), r9=(100, 0))
    third = stack("S3", r1=(59.5, 0), r2=(60.5, 0))
    found = masters_by_position([first, second, third], 2.0)
    kinds = {(s, c): (kind, name) for name, kind, s, c in found.links}
    assert kinds["S2", "r1"] == ("u", kinds["S1", "r1"][1])
    assert kinds["S2", "r9"][1] not in {name for (s, _), (_, name) in kinds.items() if s != "S2"}
    ambiguous = {(s, c): set() for _, kind, s, c in found.links if kind == "a"}
    for name, kind, s, c in found.links:
        if kind == "a":
            ambiguous[s, c].add(name)
    assert ambiguous["S2", "r2"] == {kinds["S1", "r2"][1], kinds["S1", "r3"][1]}
    assert ambiguous["S3", "r1"] == ambiguous["S3", "r2"] == {kinds["S1", "r4"][1]}
    assert len(found.notes) == 3 and all("ambiguous" in note for note in found.notes)


def test_the_file_holds_the_associations_and_names_are_positions(tmp_path):
    lines = write_masters("1.5", [stack("S1", a=(0, 0)), stack("S2", b=(1, 0))], tmp_path)
    assert "1 master sources, 2 associations" in lines[0]
    found = read_mst3(tmp_path / "mst3.fits")
    assert not found.faults
    assert (
        found.associations.label("S1", "a")
        == found.associations.label("S2", "b")
        == "J020000.0+000000"
    )


@pytest.mark.parametrize("given", ["0", "-3", "inf"])
def test_a_radius_that_is_none_is_refused(tmp_path, given):
    with pytest.raises(InputError, match="expected a radius"):
        write_masters(given, [stack("S1", a=(0, 0))], tmp_path)
