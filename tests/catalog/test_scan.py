"""Where the files of one stack contradict each other."""

from mpiapp.catalog.scan import BundleScan, FileScan, contradictions


def scan(path, obsid, bundles):
    bundles = {name: BundleScan(tuple(c), frozenset()) for name, c in bundles.items()}
    return FileScan(path, "S1", obsid, None, bundles)


def test_obsids_that_put_a_component_into_different_bundles_contradict_each_other():
    both = ["r1", "r2"]
    scans = [
        scan(f"{obsid}.fits", obsid, {bundle: both, "b9": ["r9"]})
        for obsid, bundle in (("O1", "b1"), ("O2", "b2"), ("O3", "b1"))
    ]
    found = contradictions(scans)
    assert [(f.stack, f.bundle) for f in found] == [("S1", "b1"), ("S1", "b2")] * 2
    assert ["component r1 " in f.message for f in found] == [True, True, False, False]
    assert "b1 in O1.fits; b2 in O2.fits" in found[0].message
    assert contradictions([scans[0], scans[2]]) == []


def test_a_second_file_of_an_obsid_is_named_whatever_its_path():
    """A path with a colon too, which a message cannot be cut at."""
    paths = ("a: b/1.fits", "c: d/2.fits")
    (found,) = contradictions([scan(path, "O1", {"b1": ["r1"]}) for path in paths])
    assert found.path == paths[1]
    assert all(path in found.message for path in paths)
