"""Runs in batches give the rows that they give one by one, and cost each other nothing."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from results_files import density_rows
from scripted_engines import OneByOneEngine

from mpiapp.catalog.outcome import Outcome
from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.engines import create
from mpiapp.files.mst3 import read_mst3
from mpiapp.files.prep3 import read_prep3, scan_prep3
from mpiapp.files.prep3_arrays import GOOD
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.measuring import BatchEngine
from mpiapp.photometry.photometer import Photometer
from mpiapp.simulate import simulate

# What tells when and how a run was done, not what came out.
ABOUT_THE_RUN = {"method", "read", "assemble", "sample", "summarise", "seconds", "finished", "rss"}


class Counting(type(create("exact"))):
    """The engine `exact`; knows how many problems it did together."""

    n_together = 0

    def summarise(self, problems, *args):
        self.n_together += len(problems)
        return super().summarise(problems, *args)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("catalog"), 40, seed=9)


def spoil(path):
    """Counts, a matrix and a quantity of an obsid that cannot be used."""
    with fits.open(path, mode="update") as hdus:
        hdus["SRCPROP"].data["counts"][4] = -1
        hdus["PSF_FLUX"].data["F"][0, 0] = np.nan
        hdus["PSF_CNTS"].header["EXTNAME"] = "PSF_NONSENSE"


def targets_of(catalog, levels=("obsid", "stack", "master")):
    scans = [scan_prep3(path)[0] for path in sorted(catalog.prep3.glob("*.fits"))]
    found = read_mst3(catalog.mst3)
    wanted = Selection(levels, ("b", "u"), ("aper",), ("flux", "cnts"))
    worklist = WorkList(scans, wanted, found.associations)
    return [t for unit in worklist.units for t in unit.targets()]


def rows(batch):
    """/photometry and /runs in the order of run ids; rows are those of their runs."""
    whose = np.repeat(batch.runs["run_id"], batch.runs["n_rows"])
    assert np.array_equal(batch.photometry["run_id"], whose)
    kept = [name for name in batch.runs.dtype.names if name not in ABOUT_THE_RUN]
    of = batch.photometry[density_rows(batch.runs, batch.mpdf)]
    assert (of["run_id"] == batch.mpdf["run_id"]).all()
    densities = batch.mpdf[np.lexsort((of["component"], of["run_id"]))]
    return (
        np.sort(batch.photometry, order=("run_id", "component")),
        np.sort(batch.runs, order="run_id")[kept],
        densities[["run_id", "low", "high", "kernel", "density"]],
    )


def assert_same_rows(batch, other):
    for found, expected in zip(rows(batch), rows(other), strict=True):
        for name in found.dtype.names:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize("spoiled", [False, True])
def test_batches_give_the_rows_and_densities_that_runs_give_one_by_one(tmp_path, spoiled):
    catalog = simulate(tmp_path, 40, seed=4)
    if spoiled:
        # Without their checksums, which would refuse the file as a whole.
        for path in sorted(catalog.prep3.glob("*.fits"))[:2]:
            with fits.open(path) as hdus:
                for hdu in hdus:
                    for keyword in ("CHECKSUM", "DATASUM"):
                        hdu.header.remove(keyword, ignore_missing=True)
                hdus.writeto(path, overwrite=True)
            spoil(path)
    targets = targets_of(catalog)
    # A floor and priors that some of the sources meet.
    policy = Policy(energy_floor=2e-15, prior_factor=3.0)
    engine = Counting()
    assert isinstance(engine, BatchEngine)
    wanted = ["* flux", "master *"]
    together = Photometer(engine, policy, job_seed=3, mpdf=wanted).measure(targets)
    alone = Photometer(OneByOneEngine(), policy, job_seed=3, mpdf=wanted).measure(targets)
    assert 0 < len(together.mpdf) < len(together.photometry)
    assert engine.n_together > 0.9 * len(alone.runs)
    assert (together.runs["n_sources"] > 1).any()
    assert_same_rows(together, alone)
    assert (together.runs["method"] == b"scaled").any()
    assert sorted(together.failures) == sorted(alone.failures)
    seen = {Outcome(code) for code in together.runs["outcome"]}
    assert {Outcome.MEASURED, Outcome.UPPER_LIMIT, Outcome.NULL_ENERGY_FLOOR} <= seen
    assert (Outcome.NULL_BAD_INPUT in seen) == spoiled


def test_what_a_batch_cannot_do_is_done_run_by_run(catalog):
    class Failing(Counting):
        def summarise(self, problems, *args):
            raise MemoryError("no room")

    targets = targets_of(catalog, ("obsid",))[:20]
    expected = Photometer(Counting(), Policy(), job_seed=3).measure(targets)
    found = Photometer(Failing(), Policy(), job_seed=3).measure(targets)
    assert_same_rows(found, expected)
    assert not found.failures


def test_a_file_says_which_of_its_matrices_are_good(catalog):
    files = [read_prep3(path) for path in sorted(catalog.prep3.glob("*.fits"))]
    file = max(files, key=lambda file: max(len(b.components) for b in file.bundles.values()))
    sizes = {len(bundle.components) for bundle in file.bundles.values()}
    assert len(sizes) > 1
    for arrays in map(file.arrays, sizes):
        for name, row in arrays.row.items():
            bundle = file.bundles[name]
            matrices = tuple(bundle.F)
            assert (arrays.state(name, matrices) == GOOD).all()
            for place, matrix in zip(arrays.places(matrices), matrices):
                np.testing.assert_array_equal(arrays.F[place, row], bundle.F[matrix])
                counts = bundle.counts[matrix.band, matrix.aperture]
                np.testing.assert_array_equal(arrays.counts[place, row], counts)
    assert sum(len(file.arrays(n).row) for n in sizes) == len(file.bundles)
