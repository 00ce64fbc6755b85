"""A folder of prep3 files of any kind is measured as one with a file for each obsid."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
from scripted_engines import GammaEngine

from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.files.mst3 import read_mst3
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.files.prep3_write import write_prep3
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.photometer import Photometer
from mpiapp.simulate import simulate


def split(path, folder, parts_of) -> None:
    """Write a file's bundles to several files: `parts_of` gives each band and aperture's."""
    file = read_prep3(path)
    parts: dict[str, list] = {}
    for bundle in file.bundles.values():
        names = {pair: parts_of(bundle.key.bundle, *pair) for pair in bundle.counts}
        for name in dict.fromkeys(names.values()):
            counts = {pair: c for pair, c in bundle.counts.items() if names[pair] == name}
            F = {m: f for m, f in bundle.F.items() if m[:2] in counts}
            parts.setdefault(name, []).append(replace(bundle, counts=counts, F=F))
    _, stack, obsid, instrument, exposure, _ = file.header
    for name, bundles in parts.items():
        to = folder / f"acisf{obsid}_{stack}_{name}_prep3.fits"
        write_prep3(to, stack, obsid, instrument, bundles, exposure)


def measured(folder, mst3):
    scans = [scan_prep3(path)[0] for path in sorted(folder.iterdir())]
    selection = Selection(bands=("b", "s"), quantities=("flux", "cnts"))
    worklist = WorkList(scans, selection, read_mst3(mst3).associations)
    assert worklist.faults == []
    targets = [target for unit in worklist.units for target in unit.targets()]
    batch = Photometer(GammaEngine(), Policy(), job_seed=3).measure(targets)
    assert batch.failures == []
    return np.sort(batch.photometry, order=("run_id", "component"))


def test_files_of_any_kind_give_the_runs_and_numbers_of_one_file_for_each_obsid(tmp_path):
    catalog = simulate(tmp_path / "catalog", 30, seed=4)
    paths = sorted(catalog.prep3.iterdir())
    assert len(paths) >= 4
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(paths[0], mixed)
    split(paths[1], mixed, lambda *names: "_".join(names))  # as the catalog's own
    split(paths[2], mixed, lambda bundle, band, aperture: f"{aperture}")
    split(paths[3], mixed, lambda bundle, band, aperture: f"{band if bundle > 'b0002' else 'all'}")
    for path in paths[4:]:
        split(path, mixed, lambda bundle, band, aperture: bundle)
    whole, of_parts = measured(catalog.prep3, catalog.mst3), measured(mixed, catalog.mst3)
    assert len(list(mixed.iterdir())) > 3 * len(paths)
    assert {b"obsid", b"stack", b"master"} == set(whole["level"])
    for name in whole.dtype.names:
        np.testing.assert_array_equal(of_parts[name], whole[name], err_msg=name)
