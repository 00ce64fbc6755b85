"""Which targets there are at each level, and how they are cut into units."""

from dataclasses import replace

import numpy as np
import pytest

from mpiapp.catalog.masters import Blocks, Links, associate
from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.scan import BundleScan, FileScan
from mpiapp.catalog.worklist import Part, Selection, WorkList

B = frozenset({Matrix("b", "aper", "rate"), Matrix("b", "aper", "cnts")})
W = frozenset({Matrix("w", "aper", "rate")})


def scan(stack, obsid, bundles, exposure=1000.0, matrices=B):
    bundles = {name: BundleScan(tuple(c), matrices) for name, c in bundles.items()}
    return FileScan(f"{stack}_{obsid}.fits", stack, obsid, exposure, bundles)


def part(path, bundle):
    return Part(((path, ""),), bundle)


def targets(worklist):
    return {t.name: t for unit in worklist.units for t in unit.targets()}


def n_runs(worklist):
    return sum(unit.n_runs for unit in worklist.units)


def names(*values):
    return np.array([v.encode() for v in values])


def masters(links, blocks=(), times=None):
    columns = list(zip(*links))
    b = list(zip(*blocks)) or [()] * 5
    times = times or [0] * len(b[0])
    found, conflicts = associate(
        Links(*(names(*c) for c in columns)),
        Blocks(
            names(*b[0]) if b[0] else np.zeros(0, "S1"),
            np.array(b[1], np.int64),
            names(*b[2]) if b[2] else np.zeros(0, "S1"),
            names(*b[3]) if b[3] else np.zeros(0, "S1"),
            np.array(b[4], float),
            np.array(times, np.int64),
        ),
    )
    assert not conflicts
    return found


def test_an_obsid_target_is_a_bundle_and_reports_all_its_components():
    found = targets(WorkList([scan("S", "1", {"x": "ab", "y": "c"})], Selection(("obsid",))))
    assert set(found) == {"S/1/x", "S/1/y"}
    assert found["S/1/x"].reported == ("a", "b")
    assert found["S/1/x"].matrices == (("b", "aper", "cnts"), ("b", "aper", "rate"))


def test_a_stack_target_joins_the_obsids_that_see_the_bundle():
    """Eq. 3: a source that one obsid does not see is still a result."""
    scans = [scan("S", "1", {"x": "b"}), scan("S", "2", {"x": "ab", "y": "c"}), scan("T", "3", {})]
    found = targets(WorkList(scans, Selection(("stack",))))
    assert set(found) == {"S/x", "S/y"}
    assert found["S/x"].parts == (part("S_1.fits", "x"), part("S_2.fits", "x"))
    assert found["S/x"].reported == ("a", "b")
    assert found["S/y"].parts == (part("S_2.fits", "y"),)


def test_a_master_target_brings_the_neighbours_and_reports_itself():
    """Eqs. 4 and 5; the blocks take their own obsids, the best has the largest exposure."""
    scans = [
        scan("S1", "1", {"x": ["r1", "r2"]}, 500),
        scan("S1", "2", {"x": ["r1", "r2"]}, 300),
        scan("S2", "3", {"z": ["r3"], "other": ["r9"]}, 600),
    ]
    links = [("M1", "u", "S1", "r1"), ("M1", "u", "S2", "r3"), ("M2", "u", "S1", "r2")]
    blocks = [
        ("M1", 1, "S1", "1", np.nan),
        ("M1", 1, "S1", "2", np.nan),
        ("M1", 2, "S2", "3", np.nan),
    ]
    worklist = WorkList(scans, Selection(("master",)), masters(links, blocks))
    found = targets(worklist)
    assert set(found) == {"M1/avg", "M1/block1", "M1/block2", "M2/avg"}
    average = found["M1/avg"]
    assert average.parts == (
        part("S1_1.fits", "x"),
        part("S1_2.fits", "x"),
        part("S2_3.fits", "z"),
    )
    assert average.labels == {("S1", "r1"): "M1", ("S1", "r2"): "M2", ("S2", "r3"): "M1"}
    assert average.reported == ("M1",)
    assert [t.is_best_block for t in map(found.get, ("M1/avg", "M1/block1", "M1/block2"))] == [
        False,
        True,
        False,
    ]
    assert found["M1/block2"].parts == (part("S2_3.fits", "z"),)


def test_a_block_whose_obsids_do_not_see_the_bundle_has_a_target_without_parts():
    scans = [scan("S1", "1", {"x": ["r1", "r2"]}), scan("S1", "2", {"other": ["r9"]})]
    blocks = [("M1", 1, "S1", "1", np.nan), ("M1", 2, "S1", "2", np.nan)]
    worklist = WorkList(scans, Selection(("master",)), masters([("M1", "u", "S1", "r1")], blocks))
    found = targets(worklist)
    assert set(found) == {"M1/avg", "M1/block1", "M1/block2"}
    assert found["M1/block2"].parts == ()
    assert found["M1/block2"].fault == ""
    assert found["M1/block2"].matrices == found["M1/block1"].matrices


def test_ambiguous_components_are_neighbours_and_nondetections_nothing():
    scans = [scan("S1", "1", {"x": ["r1", "r2"]}), scan("S2", "2", {"z": ["r3"]})]
    links = [
        ("M1", "u", "S1", "r1"),
        ("M1", "a", "S2", "r3"),
        ("M2", "a", "S2", "r3"),
        ("M2", "n", "S1", ""),
    ]
    found = targets(WorkList(scans, Selection(("master",)), masters(links)))
    assert set(found) == {"M1/avg"}
    assert found["M1/avg"].parts == (part("S1_1.fits", "x"),)
    assert found["M1/avg"].labels[("S1", "r2")] == "S1/r2"


def test_a_master_of_an_unknown_component_is_a_fault_of_its_own():
    scans = [scan("S1", "1", {"x": ["r1", "r2"]})]
    links = [("M1", "u", "S1", "r1"), ("M1", "u", "S9", "r7"), ("M2", "u", "S1", "r2")]
    found = targets(WorkList(scans, Selection(("master",)), masters(links)))
    assert "component r7 of stack S9 is in no prep3 file" in found["M1/avg"].fault
    assert found["M2/avg"].fault == ""


def test_what_a_master_names_and_no_file_has_is_told_and_costs_only_what_needs_it():
    scans = [scan("S1", "1", {"x": ["r1", "r2"]}), scan("S1", "2", {"x": ["r1", "r2"]})]
    links = [
        ("M1", "u", "S1", "r1"),
        ("M1", "a", "S9", "r5"),
        ("M2", "u", "S1", "r2"),
        ("M3", "u", "S9", "r6"),  # with no component that there is, it has no runs to fail
    ]
    blocks = [("M2", 1, "S1", "1", 5.0), ("M2", 2, "S1", "2", 5.0), ("M2", 2, "S1", "7", 5.0)]
    worklist = WorkList(scans, Selection(("master",)), masters(links, blocks))
    assert [(f.master, f.message.partition(":")[2][:36]) for f in worklist.faults] == [
        ("M1", " component r5 of stack S9 is in no p"),
        ("M2", " no prep3 file of this job is of obs"),
        ("M3", " component r6 of stack S9 is in no p"),
    ]
    found = targets(worklist)
    assert {name for name, target in found.items() if target.fault} == {"M2/block2"}
    assert found["M2/block2"].fault == worklist.faults[1].message
    assert set(found) == {"M1/avg", "M2/avg", "M2/block1", "M2/block2"}


def test_targets_that_may_lack_an_obsid_that_cannot_be_read_are_faulty_and_others_are_not():
    scans = [
        scan("S", "1", {"x": "a", "y": "b"}),
        scan("S", "2", {"x": "a"}),
        scan("T", "3", {"z": "c"}),
    ]
    links = [("M1", "u", "S", "b"), ("M2", "u", "T", "c"), ("M3", "u", "S", "a")]
    blocks = [("M1", 1, "S", "1", 5.0), ("M3", 1, "S", "1", 5.0)]
    unreadable = {("S", "2", ""): "part.fits: cut", ("U", "4", ""): "u.fits: cut"}
    selection = Selection(("obsid", "stack", "master"))
    found = targets(WorkList(scans, selection, masters(links, blocks), unreadable=unreadable))
    # Of obsid 2 the other file has all that there is of x, and nothing of y.
    faults = {name: target.fault for name, target in found.items() if target.fault}
    assert faults == dict.fromkeys(
        ("S/y", "M1/avg"), "obsid 2 of stack S may be missing: part.fits: cut"
    )
    assert len(found) == 12
    worklist = WorkList(
        scans, Selection(("stack",)), unreadable={("S", "2", "z"): "", ("T", "1", "z"): "cut"}
    )
    assert {name for name, target in targets(worklist).items() if target.fault} == {"T/z"}


def test_unknown_exposures_leave_the_best_block_open_but_measure_all():
    scans = [scan("S", "1", {"x": "a"}, None), scan("S", "2", {"x": "a"}, 5.0)]
    blocks = [("M", 1, "S", "1", np.nan), ("M", 2, "S", "2", np.nan)]
    worklist = WorkList(scans, Selection(("master",)), masters([("M", "u", "S", "a")], blocks))
    assert len(targets(worklist)) == 3
    assert [(f.master, "no exposure for S/1" in f.message) for f in worklist.faults] == [
        ("M", True)
    ]


def test_bands_of_different_instruments_meet_only_where_they_exist():
    scans = [scan("S", "1", {"x": "a"}), scan("T", "2", {"x": "a"}, matrices=W)]
    links = [("M", "u", "S", "a"), ("M", "u", "T", "a")]
    found = targets(WorkList(scans, Selection(("master",)), masters(links)))
    assert {m.band for m in found["M/avg"].matrices} == {"b", "w"}


def test_of_two_files_of_one_obsid_the_first_is_used():
    scans = [scan("S", "1", {"x": "a"}), replace(scan("S", "1", {"x": "a"}), path="a: b/c.fits")]
    worklist = WorkList(scans, Selection(("obsid",)))
    assert [t.parts for t in targets(worklist).values()] == [(part("S_1.fits", "x"),)]
    assert [fault.path for fault in worklist.faults] == ["a: b/c.fits"]


def test_the_selection_limits_the_runs():
    everything = WorkList([scan("S", "1", {"x": "a"})], Selection())
    rates = WorkList([scan("S", "1", {"x": "a"})], Selection(quantities=("rate",)))
    assert n_runs(everything) == 2 * n_runs(rates) == 4


@pytest.mark.parametrize("unit_cost", [0.5, 7.0, 1e9])
def test_units_hold_every_target_once(unit_cost):
    scans = [scan("S", str(k), {f"x{i}": [f"a{i}", f"b{i}"] for i in range(20)}) for k in range(3)]
    worklist = WorkList(scans, Selection(("obsid", "stack")), unit_cost=unit_cost)
    every = [t.name for unit in worklist.units for t in unit.targets()]
    assert len(every) == len(set(every)) == 3 * 20 + 20
    assert n_runs(worklist) == 2 * len(every)


def test_reading_the_files_of_a_stack_is_in_its_cost_once():
    scans = [scan("S", str(i), {"x": "a", "y": "b"}) for i in range(1000)]
    free, paid = (
        sum(u.cost for u in WorkList(scans, Selection(("stack",)), None, 1.0, hdu_cost).units)
        for hdu_cost in (0.0, 2.0)
    )
    # a primary header, the source properties and two matrices
    assert paid - free == pytest.approx(1000 * 4 * 2.0)


def test_no_unit_is_without_runs():
    scans = [scan("S", "1", {"x": "a", "y": "b"})]
    selection = Selection(("obsid", "stack"), bands=("u",))
    assert WorkList(scans, selection, None, unit_cost=1.0, hdu_cost=5.0).units == []


def test_blocks_in_the_order_of_time_are_targets_of_their_own_and_never_the_best():
    scans = [scan("S", obsid, {"x": "a"}, float(obsid)) for obsid in "123"]
    blocks = [("M", n, "S", obsid, np.nan) for n, obsid in ((1, "1"), (1, "3"), (2, "2"))]
    found = targets(
        WorkList(
            scans,
            Selection(("master",)),
            masters([("M", "u", "S", "a")], blocks, times=[1, 3, 2]),
        )
    )
    assert list(found) == ["M/avg", "M/block1", "M/block2", "M/time1", "M/time2", "M/time3"]
    assert [len(target.parts) for target in found.values()] == [3, 2, 1, 1, 1, 1]
    assert [name for name, target in found.items() if target.is_best_block] == ["M/block1"]
