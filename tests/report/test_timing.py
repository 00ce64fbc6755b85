"""`mpiapp timing` and the scaling figures, against numbers made up by hand."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from jobs import mpiapp, needs_mpiexec, table, write_job

from mpiapp.catalog.fault import InputError
from mpiapp.cli import main
from mpiapp.files.results import open_results
from mpiapp.files.schema import RANKS
from mpiapp.files.schema import dtype as table_dtype
from mpiapp.report import scaling as scaling_module
from mpiapp.report.scaling import (
    Scaling,
    efficiency,
    kind,
    no_scaling,
    plot_scaling,
    scaling_table,
)
from mpiapp.report.timing import timing_tables


def ranks(*rows):
    """Rows of /ranks from (rank, runs, startup, measure, idle)."""
    out = np.zeros(len(rows), table_dtype(RANKS))
    for row, (rank, runs, startup, measure, idle) in zip(out, rows):
        row["rank"], row["runs"], row["startup"] = rank, runs, startup
        row["measure"], row["idle"] = measure, idle
    return out


def scaling(workers, runs, seconds):
    return Scaling(f"{workers}.h5", workers, runs, seconds, 1.0, 1.0)


def test_scaling_counts_from_the_end_of_the_start_up():
    (s,) = Scaling.of("a", ranks((0, 0, 3, 0, 20), (1, 60, 2, 18, 2), (2, 40, 4, 6, 14)))
    assert (s.workers, s.runs, s.seconds, s.startup) == (2, 100, 20, 4)
    assert s.throughput == 5
    assert s.imbalance == pytest.approx(18 / 12)


def test_a_serial_job_is_one_worker():
    (s,) = Scaling.of("a", ranks((0, 50, 1, 10, 0)))
    assert (s.workers, s.seconds) == (1, 10)


def test_efficiency_is_throughput_per_worker():
    strong = [scaling(1, 100, 100), scaling(2, 100, 50), scaling(4, 100, 50)]
    assert kind(strong) == "strong"
    assert efficiency(strong) == [1.0, 1.0, 0.5]
    weak = [scaling(1, 100, 100), scaling(2, 200, 125), scaling(4, 400, 200)]
    assert kind(weak) == "weak"
    assert efficiency(weak) == pytest.approx([1.0, 0.8, 0.5])
    assert "80" in scaling_table(weak)
    assert kind([scaling(1, 100, 1), scaling(2, 150, 1)]) == "mixed"


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        ([scaling(1, 100, 100), scaling(2, 100, 50)], ""),
        ([scaling(1, 100, 100), scaling(2, 200, 110), scaling(2, 200, 120)], ""),
        ([scaling(1, 100, 100), scaling(1, 100, 70)], "different numbers of workers"),
        ([scaling(1, 100, 100)], "different numbers of workers"),
        ([], "different numbers of workers"),
        ([scaling(1, 100, 100), scaling(2, 150, 70)], "different work"),
        ([scaling(1, 9, 9), replace(scaling(2, 9, 5), engine="exact")], "different engines"),
    ],
)
def test_only_jobs_that_tell_of_their_workers_are_called_scaling(jobs, reason):
    assert (reason in no_scaling(jobs)) if reason else no_scaling(jobs) == ""


def test_two_jobs_of_one_size_have_no_scaling_and_no_figure(tmp_path, capsys):
    assert mpiapp("run", write_job(tmp_path)).returncode == 0
    paths = [str(tmp_path / "results.h5"), str(tmp_path / "again.h5")]
    shutil.copy(*paths)
    assert main(["timing", *paths, "--plot", str(tmp_path / "plots")]) == 0
    said = capsys.readouterr()
    assert "Speed-up" not in said.out
    assert "nothing to plot: scaling needs" in said.err
    assert not (tmp_path / "plots").exists()


def test_the_figure_says_what_was_measured_and_numbers_both_axes(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr(scaling_module, "save", lambda figure, path: figures.append(figure))
    found = [scaling(n, 480, 480 / n**0.9) for n in (1, 2, 4, 8, 60, 64)]
    plot_scaling([replace(s, engine="exact", machine="a CPU") for s in found], tmp_path)
    (figure,) = figures
    assert figure.get_suptitle() == (
        "Strong scaling: the same 480 runs by more workers, engine exact\na CPU"
    )
    left, right = figure.axes
    for labels in (left.get_xticklabels(), left.get_yticklabels(), right.get_xticklabels()):
        assert [label.get_text() for label in labels] == ["1", "2", "4", "8", "60"]
    assert left.get_ylabel() == "speed-up over 1 worker"


def test_a_killed_job_has_no_scaling():
    assert Scaling.of("a", ranks()) == []


@needs_mpiexec
@pytest.mark.slow
def test_timing_says_where_the_time_went_and_draws_scaling(tmp_path):
    pytest.importorskip("matplotlib")
    config = write_job(tmp_path, text=table(4, 5))
    files = []
    for size in (2, 3):
        files.append(tmp_path / f"{size}.h5")
        assert mpiapp("run", config, "--output", files[-1], ranks=size).returncode == 0
    with open_results(files[1]) as results:
        runs, own = results.table("runs"), results.table("ranks")
    # every run's time is part of its rank's, and no rank spends more than there is
    for row in own[own["rank"] > 0]:
        mine = runs[runs["rank"] == row["rank"]]
        assert len(mine) == row["runs"]
        assert mine["seconds"].sum() <= row["measure"] * 1.001 + 1e-3
        assert row["idle"] >= 0
        assert row["startup"] > 0
    done = mpiapp("timing", *files, "--plot", tmp_path / "plots")
    assert done.returncode == 0, done.stderr
    for word in ("Type of Stack", "Start-up (s)", "idle", "Efficiency (%)", "strong", "rank 0"):
        assert word in done.stdout
    png = (tmp_path / "plots" / "scaling.png").read_bytes()
    assert png.startswith(b"\x89PNG") and len(png) > 5000


def test_quartiles_are_those_of_the_runs(tmp_path):
    assert mpiapp("run", write_job(tmp_path)).returncode == 0
    with open_results(tmp_path / "results.h5") as results:
        runs = results.table("runs")
    single = runs["seconds"][runs["n_obsids"] == 1]
    text = timing_tables([tmp_path / "results.h5"])
    row = next(line.split() for line in text.splitlines() if "single-obsid" in line)
    assert int(row[3]) == len(single)
    shown = [float(value) for value in row[4:8]]
    expected = [single.mean(), *np.percentile(single, [25, 50, 75])]
    assert shown == pytest.approx(expected, rel=0.01)  # three digits are shown


def test_scaling_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="pip install 'mpiapp"):
        plot_scaling([scaling(1, 100, 100), scaling(2, 100, 50)], tmp_path)
