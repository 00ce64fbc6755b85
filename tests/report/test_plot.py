"""`mpiapp plot`: a corner of one posterior that can be read, whatever its size, from any folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jobs import mpiapp, write_job

from mpiapp.catalog.fault import InputError
from mpiapp.cli import main
from mpiapp.files.results import open_results
from mpiapp.posterior import Smoothing
from mpiapp.posterior.mpdf import summarise
from mpiapp.report import plot, rerun
from mpiapp.report.corner import Parameter, corner

pytest.importorskip("matplotlib")


def parameters(n: int, names: str = "2CXO J123456.7-12345{}", scale: float = 1e-15):
    rng = np.random.default_rng(2)
    found = []
    for i in range(n):
        draws = scale * rng.gamma(1.0 + 10 * (i % 3), 3.0, (2, 300))
        s = summarise(draws.ravel(), Smoothing())
        x = np.linspace(0, draws.max(), 50)
        curves = {"MPDF (catalog's kernel)": (x, np.full(50, 1 / draws.max()))}
        found.append(Parameter(names.format(i), "", draws, 1.0, 600.0, s, curves))
    return found


def overlaps(boxes) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i, a in enumerate(boxes)
        for j, b in enumerate(boxes[:i])
        if a.x0 < b.x1 - 1 and b.x0 < a.x1 - 1 and a.y0 < b.y1 - 1 and b.y0 < a.y1 - 1
    ]


def drawn(axis):
    """The numbers of an axis that are within its limits."""
    low, high = sorted(axis.get_view_interval())
    places = zip(axis.get_ticklocs(), axis.get_ticklabels())
    return [label for at, label in places if low <= at <= high and label.get_visible()]


def test_a_corner_of_many_long_names_has_every_pair_and_labels_that_touch_nothing():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    n = 7
    figure = corner(parameters(n), "a title")
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == n * (n - 1) // 2 + 2 * n  # pairs, and of each a marginal and a trace
    labels = [ax.xaxis.label for ax in figure.axes] + [ax.yaxis.label for ax in figure.axes]
    labels = [label for label in labels if label.get_text()]
    assert len(labels) == n + (n - 1) + 1
    ticks = [tick for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in drawn(axis)]
    # A name that climbs has a box around it that is larger than it: ticks and names by themselves.
    upright = [label for label in labels if label.get_rotation() == 0]
    assert overlaps([t.get_window_extent() for t in (*ticks, *upright)]) == []
    inside = figure.bbox
    for label in labels:
        box = label.get_window_extent()
        assert box.x0 >= inside.x0 - 1 and box.x1 <= inside.x1 + 1


@pytest.mark.parametrize("n", [2, 7])
def test_a_title_of_many_long_names_stays_inside_of_the_figure(n):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    title = "run\n" + ", ".join(f"2CXO J123456.7-12345{i}: measured" for i in range(9))
    figure = corner(parameters(n), title)
    FigureCanvasAgg(figure).draw()
    box, inside = figure._suptitle.get_window_extent(), figure.bbox
    assert box.x0 >= inside.x0 and box.x1 <= inside.x1 and box.y1 <= inside.y1
    assert figure._suptitle.get_text().replace("\n", " ") == title.replace("\n", " ")


def test_axes_are_in_plain_numbers_with_the_power_of_ten_in_the_label():
    found = [p._replace(unit="erg") for p in parameters(2, "r{}")]
    figure = corner(found, "")
    assert figure.axes[1].get_xlabel() == "" or "draw" in figure.axes[1].get_xlabel()
    xlabels = {ax.get_xlabel() for ax in figure.axes} - {"", "draw"}
    # gamma(1) and gamma(11), of mean 3e-15 and 33e-15
    assert xlabels == {"r0\n($10^{-15}$ erg)", "r1\n($10^{-14}$ erg)"}
    assert all(ax.get_xlim()[1] < 1000 for ax in figure.axes)
    words = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"draws", "68 % bounds", "below the upper limit", "mode"} <= words


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A job that named its inputs from the folder that it ran in."""
    folder = tmp_path_factory.mktemp("plot")
    config = write_job(folder, "gibbs")
    config.write_text(config.read_text().replace(f"{folder}/", ""))
    assert mpiapp("run", "job.toml", cwd=folder).returncode == 0
    return folder


def test_a_run_is_drawn_from_any_folder_with_what_is_left_out(done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plot, "PARAMETERS_SHOWN", 2)
    drawn = []
    monkeypatch.setattr(plot, "corner", lambda *a: drawn.append(a) or corner(*a))
    with open_results(done / "results.h5") as results:
        runs = results.table("runs")
        run_id = runs["run_id"][runs["level"] == b"stack"][0]
    assert main(["plot", str(done / "results.h5"), "--run", str(run_id)]) == 0
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    ((shown, title),) = drawn
    assert len(shown) == 2  # of a source and three backgrounds
    assert "2 of 4 parameters are not drawn: bkg 101, bkg 102" in title
    assert [p.label for p in shown] == ["r0", "bkg 100"]
    assert shown[1].unit.endswith("pixel$^{-1}$")


def test_inputs_that_are_nowhere_are_said_with_the_way_out(done, tmp_path, capsys):
    moved = tmp_path / "alone" / "results.h5"
    moved.parent.mkdir()
    moved.write_bytes((done / "results.h5").read_bytes())
    with open_results(moved) as results, pytest.raises(InputError, match="by --inputs"):
        rerun.found_config(results)
    with open_results(moved) as results:
        config, _ = rerun.found_config(results, str(done))
    assert config.input[0].prep3 == [str(done / "prep3")]
    with open_results(moved) as results:
        stored = json.loads(results.table("jobs")["config"][0])
    assert stored["input"][0]["prep3"] == ["prep3"]
