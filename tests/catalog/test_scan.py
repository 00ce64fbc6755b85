"""Which files hold an obsid together, and where the files of one stack contradict each other."""

from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.scan import BundleScan, FileScan, contradictions, obsid_scans

SOFT, HARD = (frozenset({Matrix(band, "aper", "cnts")}) for band in "sh")


def scan(path, obsid, bundles, matrices=SOFT, exposure=None, instrument="ACIS"):
    bundles = {name: BundleScan(tuple(c), matrices) for name, c in bundles.items()}
    return FileScan(path, "S1", obsid, exposure, bundles, f"digest of {path}", instrument)


def together(*scans):
    obsids, faults = obsid_scans(scans)
    assert len(obsids) == 1
    return obsids[0], faults


def test_obsids_that_put_a_component_into_different_bundles_contradict_each_other():
    both = ["r1", "r2"]
    scans, _ = obsid_scans(
        scan(f"{obsid}.fits", obsid, {bundle: both, "b9": ["r9"]})
        for obsid, bundle in (("O1", "b1"), ("O2", "b2"), ("O3", "b1"))
    )
    found = contradictions(scans)
    assert [(f.stack, f.bundle) for f in found] == [("S1", "b1"), ("S1", "b2")] * 2
    assert ["component r1 " in f.message for f in found] == [True, True, False, False]
    assert "b1 in O1.fits; b2 in O2.fits" in found[0].message
    assert contradictions([scans[0], scans[2]]) == []


def test_a_second_file_of_the_same_is_named_whatever_its_path():
    """A path with a colon too, which a message cannot be cut at."""
    paths = ("a: b/1.fits", "c: d/2.fits")
    obsid, (fault,) = together(*(scan(path, "O1", {"b1": ["r1"]}) for path in paths))
    assert fault.path == paths[1]
    assert all(path in fault.message for path in paths)
    assert obsid.files == ((paths[0], f"digest of {paths[0]}"),)


def test_files_of_an_obsid_complement_each_other():
    obsid, faults = together(
        scan("1.fits", "O1", {"b1": ["r1"], "b2": ["r2"]}, SOFT),
        scan("2.fits", "O1", {"b1": ["r1"], "b3": ["r3"]}, HARD, exposure=5.0),
    )
    assert faults == []
    assert obsid.exposure == 5.0
    assert obsid.n_hdus == 6
    assert {name: b.matrices for name, b in obsid.bundles.items()} == {
        "b1": SOFT | HARD,
        "b2": SOFT,
        "b3": HARD,
    }
    paths = {name: [path for path, _ in obsid.files_of(name)] for name in obsid.bundles}
    assert paths == {"b1": ["1.fits", "2.fits"], "b2": ["1.fits"], "b3": ["2.fits"]}


def test_of_a_file_that_repeats_a_part_the_rest_is_used():
    obsid, (fault,) = together(
        scan("1.fits", "O1", {"b1": ["r1"], "b2": ["r2"]}),
        scan("2.fits", "O1", {"b1": ["r1"], "b2": ["r2", "r3"], "b3": ["r4"]}),
    )
    assert "2 of 3 bundles not used, b1 the first" in fault.message
    assert obsid.bundles["b2"].components == ("r2",)
    assert obsid.files_of("b3") == (("2.fits", "digest of 2.fits"),)
    assert contradictions([obsid]) == []


def test_a_file_that_contradicts_another_of_its_obsid_is_not_used():
    first = scan("1.fits", "O1", {"b1": ["r1"]}, exposure=5.0)
    for other, message in (
        (scan("2.fits", "O1", {"b2": ["r2"]}, exposure=6.0), "exposure 6.0 s, but 5.0 s"),
        (scan("2.fits", "O1", {"b2": ["r2"]}, instrument="HRC"), "instrument HRC, but ACIS"),
    ):
        obsid, (fault,) = together(first, other)
        assert message in fault.message
        assert fault.path == "2.fits"
        assert list(obsid.bundles) == ["b1"]
