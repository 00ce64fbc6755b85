"""`mpiapp show`: what happened in a job on one screen, and rows on request."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from astropy.table import Table

from mpiapp.catalog.outcome import Flag, Outcome
from mpiapp.cli import main
from mpiapp.files.results import open_results
from mpiapp.files.schema import PHOTOMETRY_DTYPE, RUNS_DTYPE, Batch
from mpiapp.files.writer import Writer
from mpiapp.report import rows, show, summary

N = 3000


def made() -> tuple[np.ndarray, np.ndarray]:
    """A row each of /runs and /photometry for N runs with anything in them."""
    rng = np.random.default_rng(3)
    runs, photometry = np.zeros(N, RUNS_DTYPE), np.zeros(N, PHOTOMETRY_DTYPE)
    for name, words in (
        ("level", ["obsid", "stack", "master"]),
        ("target", [f"S/{obsid}/{bundle}" for obsid in (1, 10, 2) for bundle in ("r1", "r10")]),
        ("band", [*"usmh", "P1", "P2"]),  # of which two share a letter
        ("aperture", ["aper", "aper90"]),
        ("quantity", ["flux", "rate"]),
    ):
        runs[name] = photometry[name] = rng.choice(words, N).astype("S")
    runs["run_id"] = photometry["run_id"] = np.arange(1, N + 1)
    runs["outcome"] = photometry["outcome"] = rng.choice([0, 1, 10, 11], N)
    runs["flags"] = photometry["flags"] = rng.choice([0, 1, 33, 1024], N)
    runs["attempts"], runs["n_rows"] = 1, 1
    runs["seconds"] = rng.gamma(1.0, 2.0, N)
    photometry["component"] = [target.split(b"/")[-1] for target in photometry["target"]]
    photometry["n_draws"] = 1000
    photometry["rhat"] = 1 + 0.1 * rng.random(N)
    photometry["value"] = rng.random(N)
    return runs, photometry


FAILURES = [
    (i, f"obsid S/{i}/r1 b aper flux", "SamplingError", f"r-hat is {i / 7:.3f} after {i} draws", "")
    for i in range(1, 41)
] + [(0, "x.fits", "InputError", "x.fits: HDU 2: column counts is missing", "")]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    runs, photometry = made()
    writer = Writer(tmp_path_factory.mktemp("show") / "results.h5")
    writer.append(Batch(photometry, runs, [], FAILURES))
    writer.close()
    return writer.path, runs, photometry


def test_runs_are_counted_by_level_band_and_outcome(written):
    path, runs, _ = written
    with open_results(path) as results:
        done = summary.summarize(results)
        text = show.job_table(results)
    keys = zip(runs["level"].tolist(), runs["band"].tolist(), runs["outcome"].tolist())
    assert done.runs == Counter((level.decode(), band.decode(), o) for level, band, o in keys)
    expected = sum(n for (level, _, o), n in done.runs.items() if (level, o) == ("stack", 10))
    (line,) = [li for li in text.splitlines() if li.startswith("stack") and "pegged" in li]
    assert int(line.split()[-1]) == expected
    assert done.flags == {
        Flag.PRIOR_RAISED: np.isin(runs["flags"], [1, 33]).sum(),
        Flag.UNCONVERGED: (runs["flags"] == 33).sum(),
        Flag.NOISY: (runs["flags"] == 1024).sum(),
    }


def test_reading_in_pieces_changes_nothing(written, monkeypatch):
    path, runs, photometry = written
    with open_results(path) as results:
        whole = results.chunks
        monkeypatch.setattr(
            results, "chunks", lambda name, rows=0, columns=None: whole(name, 170, columns)
        )
        done = summary.summarize(results)
    assert done.n_runs == sum(done.runs.values()) == N
    assert list(done.slowest["seconds"]) == sorted(runs["seconds"], reverse=True)[:5]
    assert list(done.worst["rhat"]) == sorted(photometry["rhat"], reverse=True)[:5]
    # A bin of the histogram is 2.3 % wide, and between two of 3000 times lies much less.
    for q in (0.1, 0.5, 0.99):
        assert done.seconds_quantile(q) == pytest.approx(np.quantile(runs["seconds"], q), rel=0.03)


def test_failures_that_differ_in_numbers_only_are_one(written, capsys):
    path, *_ = written
    assert main(["show", str(path), "--failures"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "(and 39 more like it)" in first
    assert first.startswith("obsid S/1/r1")
    assert second.startswith("x.fits: InputError")


def test_a_job_fits_on_one_screen(written, capsys):
    path, *_ = written
    assert main(["show", str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) < 50


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--level", "stack"], lambda r: r["level"] == b"stack"),
        (["--band", "h", "--aperture", "aper90"],
         lambda r: (r["band"] == b"h") & (r["aperture"] == b"aper90")),
        (["--quantity", "flux"], lambda r: r["quantity"] == b"flux"),
        (["--outcome", "upper-limit"], lambda r: r["outcome"] == Outcome.UPPER_LIMIT),
        (["--outcome", "null"], lambda r: r["outcome"] >= 10),
        (["--flag", "unconverged"], lambda r: r["flags"] == 33),
        (["--target", "r1"], lambda r: r["component"] == b"r1"),
        (["--target", "S/1*"], lambda r: np.char.startswith(r["target"], b"S/1")),
        (["--target", "S/1/r10"], lambda r: r["target"] == b"S/1/r10"),
        (["--target", "/"], lambda r: np.zeros(len(r), bool)),
    ],
)  # fmt: skip
def test_rows_are_those_asked_for(written, capsys, tmp_path, options, chosen):
    path, _, photometry = written
    expected = photometry[chosen(photometry)]
    assert main(["show", str(path), *options, "--limit", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    if not len(expected):
        assert lines == [f"{path}: no such rows"]
        return
    assert len(lines) == 2 + 7 + 1
    assert f"of {len(expected)} rows" in lines[-1]
    out = tmp_path / "rows.fits"
    assert main(["show", str(path), *options, "--out", str(out)]) == 0
    assert list(Table.read(out)["run_id"]) == list(expected["run_id"])


def test_printed_rows_are_in_the_order_of_their_numbers(written):
    path, *_ = written
    with open_results(path) as results:
        text = rows.rows_table(results, rows.Filter(level="obsid"), N)
    obsids = [line.split()[1].split("/")[1] for line in text.splitlines()[2:-1]]
    assert list(dict.fromkeys(obsids)) == ["1", "2", "10"]


@pytest.mark.parametrize("option", ["--aperture", "--quantity", "--outcome", "--flag"])
def test_a_word_that_there_is_not_is_refused_with_those_there_are(written, capsys, option):
    path, *_ = written
    assert main(["show", str(path), option, "x"]) == 2
    assert f"{option[2:]} 'x': expected one of " in capsys.readouterr().err
