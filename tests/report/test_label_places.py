"""Names of neighbours in the picture of a source: beside their regions, none upon another."""

from __future__ import annotations

from itertools import combinations

from mpiapp.extract.region import Bounds, Component, Region, make_shape
from mpiapp.report.field_figures import label_places

PANEL = Bounds(0.0, 100.0, 0.0, 100.0)


def circle(x: float, y: float, radius: float = 3.0) -> Region:
    return Region((Component((make_shape("circle", [x], [y], [radius], [0.0]),)),))


def test_names_of_a_crowd_lie_apart_and_inside_and_those_of_loners_beside_their_regions():
    crowd = {f"r{i:04d}": circle(40 + 4 * (i % 5), 40 + 4 * (i // 5)) for i in range(15)}
    regions = crowd | {"r0100": circle(20, 80), "r0200": circle(97, 50)}
    found = label_places(regions, PANEL)
    assert 5 <= len(found) < len(regions)
    for (x, y), (a, b) in combinations(found.values(), 2):
        assert abs(x - a) >= 2 * 0.012 * 100 * 5 or abs(y - b) >= 5
    assert all(6 <= x <= 94 and 2.5 <= y <= 97.5 for x, y in found.values())
    assert found["r0100"][1] == 80 and 26 < found["r0100"][0] < 31
    assert found["r0200"][0] < 94  # on the left, where the panel goes on
