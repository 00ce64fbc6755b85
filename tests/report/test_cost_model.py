"""The estimate of a job from the times of measured runs."""

from __future__ import annotations

import numpy as np
import pytest
from jobs import mpiapp, write_job

from mpiapp.catalog.bundle import InputError
from mpiapp.cli import main
from mpiapp.config import load
from mpiapp.files.results import open_results
from mpiapp.parallel.planning import find_inputs, make_plan
from mpiapp.parallel.scanning import scan_here
from mpiapp.report.cost_model import CostModel


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A configuration and its results."""
    folder = tmp_path_factory.mktemp("job")
    config = write_job(folder)
    assert mpiapp("run", config).returncode == 0
    return config, folder / "results.h5"


def test_the_runs_of_the_file_themselves_are_predicted_to_take_what_they_took(job):
    path, results_path = job
    with open_results(results_path) as results:
        model = CostModel.fit(results, "gamma")
        runs = results.table("runs")
    config = load(path)
    plan = make_plan(config, find_inputs(config), scan_here)
    targets = [target for unit in plan.units for target in unit.targets()]
    measured = runs["seconds"].astype(float).sum()
    # the sum of the residuals of a line is zero, also where its slope is cut
    assert model.total(targets) == pytest.approx(measured, rel=1e-6)


def test_a_line_is_found_and_larger_bundles_cost_their_square():
    model = CostModel(np.array([1, 3]), np.array([0.1, 0.5]), np.array([0.01, 0.2]))
    assert model.seconds(1, 10) == pytest.approx(0.2)
    assert model.seconds(2, 5) == pytest.approx(1.5)  # as the next larger
    assert model.seconds(6, 5) == pytest.approx(4 * 1.5)


def test_results_of_another_engine_are_refused(job):
    with open_results(job[1]) as results, pytest.raises(InputError, match="no run of the engine"):
        CostModel.fit(results, "exact")


def test_plan_takes_the_timings(job, capsys):
    config, results = job
    text = config.read_text()
    assert main(["plan", str(config), "--timings", str(results), "--workers", "2"]) == 0
    assert "on 2 workers" in capsys.readouterr().out
    assert config.read_text() == text
