"""`mpiapp report`: one page that stands alone, from any results file."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mpiapp.cli import main
from mpiapp.files.results import open_results, work_path
from mpiapp.files.schema import PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch, row
from mpiapp.files.writer import Writer
from mpiapp.report import page_figures
from mpiapp.report.sample import of_targets

pytest.importorskip("matplotlib")
N = 400
VOID = {"meta", "img"}
QUANTITIES = (("cnts", 1.0), ("photflux", 1e-7), ("rate", 1e-4))


def made() -> tuple[np.ndarray, np.ndarray]:
    """N sources in three quantities, whose values are proportional to their counts."""
    rng = np.random.default_rng(5)
    photometry = np.zeros(3 * N, PHOTOMETRY_DTYPE)
    runs = np.zeros(3 * N, RUNS_DTYPE)
    place = np.repeat(np.arange(N), 3)
    for rows in (photometry, runs):
        rows["level"], rows["aperture"] = "obsid", "aper"
        rows["band"] = np.array(["b", "h"], "S")[place % 2]
        rows["target"] = [f"S<&>/{i // 4}/r{i}" for i in place]
        rows["quantity"] = [q for q, _ in QUANTITIES] * N
        rows["run_id"] = np.arange(1, 3 * N + 1)
        rows["outcome"] = (place % 5 == 0).astype(int)
    counts = rng.gamma(1.0, 200.0, N)[place]
    unit = np.tile([u for _, u in QUANTITIES], N)
    photometry["value"] = np.where(place % 5 == 0, 0, counts * unit)
    photometry["lolim"] = (counts - np.sqrt(counts)) * unit
    photometry["hilim"] = (counts + np.sqrt(counts)) * unit
    photometry["noise"] = 0.06 * rng.lognormal(0, 0.2, 3 * N)
    photometry["n_draws"] = 1000
    photometry["rhat"], photometry["ess"] = 1 + 0.01 * rng.random(3 * N), 1200
    runs["attempts"] = runs["n_rows"] = runs["n_obsids"] = 1
    runs["n_sources"] = 1 + place % 4
    runs["seconds"] = 0.01 * rng.lognormal(0, 1, 3 * N)
    runs["rank"] = 1 + place % 3
    runs["finished"] = 1.7e9 + 0.1 * np.arange(3 * N)
    return photometry, runs


def write(path, empty=False):
    writer = Writer(work_path(path))
    if not empty:
        photometry, runs = made()
        failed = [(1, "obsid S/1/r1 b aper flux", "SamplingError", "<b>no</b> & none", "")]
        writer.append(Batch(photometry, runs, [], failed))
        config = json.dumps({"engine": {"name": "gibbs"}})
        rest = {
            "started": "2026-01-01T00:00:00+00:00", "ended": "", "exit_reason": "complete",
            "wall_seconds": 120.0, "config_hash": "", "revision": "", "scheduler": "{}",
            "versions": '{"numpy": "2"}', "command": "mpiapp run x.toml", "shard": "",
            "ranks": '[{"host": "n1"}]', "planned": 3 * N,
        }  # fmt: skip
        writer.add("jobs", [row("jobs", job=0, config=config, **rest)])
        spent = {"startup": 3.0, "scan": 1.0, "write": 0.5, "dispatch": 0.1, "idle": 2.0}
        spent |= {"rss": 200.0, "host": "n1"}
        own = [row("ranks", job=0, rank=r, runs=N, measure=100.0 + r, **spent) for r in range(4)]
        writer.add("ranks", own)
    writer.publish(path)
    return path


class Checker(HTMLParser):
    """Every tag is closed in order; collects what the page would load, and its texts."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.pictures, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [v for k, v in attrs.items() if k in ("src", "href", "data", "action")]
        if tag == "img":
            assert attrs["alt"]
            self.pictures.append(attrs["src"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(path) -> tuple[Checker, str]:
    text = path.read_text()
    page = Checker()
    page.feed(text)
    page.close()
    assert page.open == []
    return page, text


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A results file and its page."""
    folder = tmp_path_factory.mktemp("page")
    path, out = write(folder / "r.h5"), folder / "new" / "report.html"
    assert main(["report", str(path), str(out)]) == 0
    return path, out


def test_the_page_stands_alone_and_shows_every_figure(written):
    page, text = parsed(written[1])
    assert text.startswith("<!DOCTYPE html>")
    assert page.links == page.pictures and len(page.pictures) == 7
    for picture in page.pictures:
        head, data = picture.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert not re.search(r"https?://|@import|url\(|<script", text)


def test_names_and_messages_are_text_and_never_markup(written):
    page, text = parsed(written[1])
    said = "".join(page.texts)
    assert "<b>no</b> & none" in said and "S<&>/" in said
    assert "<b>" not in text


def test_an_engine_without_draws_has_no_figure_of_convergence():
    photometry, _ = made()
    photometry["n_draws"] = 0
    assert page_figures.convergence(photometry) is None


def test_a_file_without_runs_makes_a_page_too(tmp_path):
    assert (
        main(["report", str(write(tmp_path / "r.h5", empty=True)), str(tmp_path / "o.html")]) == 0
    )
    page, _ = parsed(tmp_path / "o.html")
    assert page.pictures == []


def test_each_value_is_drawn_against_the_counts_of_its_own_source(tmp_path):
    photometry, _ = made()
    photometry = photometry[np.random.default_rng(0).permutation(len(photometry))]
    pairs = page_figures._with_counts(photometry)
    assert set(pairs) == {"photflux", "rate"}
    for quantity, unit in QUANTITIES[1:]:
        value, counts = pairs[quantity]
        assert len(value) == N
        np.testing.assert_allclose(value["hilim"], counts["hilim"] * unit)


def test_a_sample_has_all_rows_of_its_targets_and_is_of_the_size_asked_for(written):
    with open_results(written[0]) as results:
        rows, share = of_targets(results, "photometry", 600)
        runs, _ = of_targets(results, "runs", 600)
        everything, all_of_it = of_targets(results, "photometry")
    assert (share, all_of_it, len(everything)) == (0.5, 1.0, 3 * N)
    assert set(runs["target"]) == set(rows["target"])
    n = {target: (everything["target"] == target).sum() for target in set(rows["target"])}
    assert len(rows) == sum(n.values())
    # N targets, each taken with probability 1/2: 5 sigma are 50 of them, of 3 rows each
    assert abs(len(rows) - 600) < 150
