"""What a worker makes of targets: rows with their outcomes, whatever the input."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_engines import GammaEngine

from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.outcome import Outcome
from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.worklist import Part, Selection, Target, WorkList
from mpiapp.files.mst3 import read_mst3, write_mst3
from mpiapp.files.prep3 import scan_prep3
from mpiapp.files.prep3_write import write_prep3
from mpiapp.photometry.ladder import Policy
from mpiapp.photometry.photometer import Photometer
from mpiapp.photometry.time_limit import RunTimeLimit
from mpiapp.posterior import SamplingError

B = Matrix("b", "aper", "cnts")


def write(path, obsid, bundles):
    """An obsid of stack S whose bundles {name: components} have 50 counts in each aperture."""
    made = []
    for name, components in bundles.items():
        n = len(components)
        F = np.full((n + 1, n + 1), 0.01)
        F[range(n), range(n)], F[:, -1] = 0.9, [20.0] * n + [4000.0]
        counts = np.array([50] * (n + 1))
        key = ObsidBundle("S", obsid, name)
        made.append(Bundle(key, "ACIS", components, {B[:2]: counts}, {B: F}))
    write_prep3(path, "S", obsid, "ACIS", made, 1000.0)
    return path


def outcomes(worklist):
    """Outcome of every (target, source)."""
    photometer = Photometer(GammaEngine(), Policy(), job_seed=3)
    targets = [t for unit in worklist.units for t in unit.targets()]
    rows = photometer.measure(targets).photometry
    return {
        (r["target"].decode(), r["component"].decode()): Outcome(r["outcome"]).name for r in rows
    }


def test_a_block_that_does_not_see_its_master_source_is_unseen_not_pegged(tmp_path):
    """M1's block 2 sees a neighbour of its bundle, block 3 not even that."""
    scans = [
        scan_prep3(write(tmp_path / f"{obsid}.fits", obsid, bundles))[0]
        for obsid, bundles in (
            ("1", {"x": ("r1", "r2")}),
            ("2", {"x": ("r2",)}),
            ("3", {"other": ("r9",)}),
        )
    ]
    blocks = [("M1", i, "S", str(i), None) for i in (1, 2, 3)]
    write_mst3(tmp_path / "mst3.fits", [("M1", "u", "S", "r1")], blocks)
    associations = read_mst3(tmp_path / "mst3.fits").associations
    assert outcomes(WorkList(scans, Selection(("master",)), associations)) == {
        ("M1/avg", "M1"): "MEASURED",
        ("M1/block1", "M1"): "MEASURED",
        ("M1/block2", "M1"): "NULL_UNSEEN",
        ("M1/block3", "M1"): "NULL_UNSEEN",
    }


def test_an_input_replaced_during_the_job_is_not_measured_and_costs_no_other(tmp_path):
    """The digest that the job has recorded is that of the file as it was scanned."""
    paths = [write(tmp_path / f"{obsid}.fits", obsid, {"x": ("r1",)}) for obsid in "12"]
    worklist = WorkList([scan_prep3(path)[0] for path in paths], Selection(("obsid",)))
    other = write(tmp_path / "other.fits", "1", {"x": ("r1",), "y": ("r2",)})
    other.replace(paths[0])
    targets = [t for unit in worklist.units for t in unit.targets()]
    batch = Photometer(GammaEngine(), Policy(), job_seed=3).measure(targets)
    found = {r["target"].decode(): Outcome(r["outcome"]).name for r in batch.photometry}
    assert found == {"S/1/x": "NULL_BAD_INPUT", "S/2/x": "MEASURED"}
    ((_, _, _, message, _),) = batch.failures
    assert message.startswith(f"{paths[0]}: changed since the job began")


def test_two_components_of_a_bundle_that_are_one_source_are_bad_input(tmp_path):
    path = write(tmp_path / "1.fits", "1", {"x": ("r1", "r2"), "y": ("r3",)})
    files = ((str(path), ""),)
    labels = {("S", name): "M1" for name in ("r1", "r2")} | {("S", "r3"): "M2"}
    targets = [
        Target("master", f"{master}/avg", (part,), (B,), (master,), labels)
        for master, part in (("M1", Part(files, "x")), ("M2", Part(files, "y")))
    ]
    batch = Photometer(GammaEngine(), Policy(), job_seed=3).measure(targets)
    found = {r["target"].decode(): Outcome(r["outcome"]).name for r in batch.photometry}
    assert found == {"M1/avg": "NULL_BAD_INPUT", "M2/avg": "MEASURED"}
    ((_, _, _, message, _),) = batch.failures
    assert message.startswith("S/1/x: two components of the bundle belong to the same source M1")


def test_stopped_or_out_of_time_it_returns_the_runs_in_hand(tmp_path):
    path = write(tmp_path / "1.fits", "1", {name: (name,) for name in "xyz"})
    worklist = WorkList([scan_prep3(path)[0]], Selection(("obsid",)))
    targets = [t for unit in worklist.units for t in unit.targets()]
    photometer = Photometer(GammaEngine(), Policy(), job_seed=3)
    whole, first = photometer.measure(targets), photometer.measure(targets, seconds=0.0)
    assert first.n_runs == 1
    sampled = []

    class Engine(GammaEngine):
        def sample(self, problem, *args, **kwargs):
            sampled.append(problem)
            return super().sample(problem, *args, **kwargs)

    photometer = Photometer(Engine(), Policy(), job_seed=3, is_stopped=lambda: len(sampled) == 2)
    found = photometer.measure(targets)
    assert found.runs["run_id"].tolist() == whole.runs["run_id"][:2].tolist()
    np.testing.assert_array_equal(found.photometry, whole.photometry[:2])


def test_runs_that_are_waited_for_no_longer_are_rows(tmp_path):
    path = write(tmp_path / "1.fits", "1", {"x": ("r1", "r2")})
    worklist = WorkList([scan_prep3(path)[0]], Selection(("obsid",)))
    ((target,),) = (unit.targets() for unit in worklist.units)
    batch = Photometer(GammaEngine(), Policy(), job_seed=3).give_up(target, "no answer", 7.0)
    assert batch.photometry["outcome"].tolist() == [Outcome.NULL_TIME_LIMIT] * 2
    assert batch.runs["seconds"].tolist() == [7.0]
    assert batch.failures[0][2:4] == ("RunTimeLimit", "no answer")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RunTimeLimit("too long"), Outcome.NULL_TIME_LIMIT),
        (SamplingError("no"), Outcome.NULL_FAILED),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_a_run_that_takes_too_long_or_fails_costs_no_other(tmp_path, error, outcome, together):
    """Whether an engine does them one by one, or what it cannot do together alone."""

    class Engine(GammaEngine):
        def sample(self, problem, seed, *, tune_factor=1):
            if problem.sources == ("y",):
                raise error
            return super().sample(problem, seed, tune_factor=tune_factor)

    class Together(Engine):
        def summarise(self, problems, smoothing, points=0, seeds=()):
            raise error

    path = write(tmp_path / "1.fits", "1", {name: (name,) for name in "xyz"})
    worklist = WorkList([scan_prep3(path)[0]], Selection(("obsid",)))
    targets = [t for unit in worklist.units for t in unit.targets()]
    engine = Together() if together else Engine()
    batch = Photometer(engine, Policy(), job_seed=3).measure(targets)
    found = {r["component"].decode(): r["outcome"] for r in batch.photometry}
    assert found == {"x": Outcome.MEASURED, "y": outcome, "z": Outcome.MEASURED}
    ((_, where, kind, message, traceback),) = batch.failures
    assert where == "obsid S/1/y b aper cnts" and kind == type(error).__name__
    assert str(error) == message and "in sample" in traceback
