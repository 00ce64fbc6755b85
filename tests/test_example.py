"""The shipped example against what CSC 2.1 published and what obsid 1575 must give."""

import os
from pathlib import Path

import numpy as np
import pytest
from jobs import mpiapp, mpiexec

from mpiapp.files.results import open_results
from mpiapp.photometry.mpdf import LEVEL
from mpiapp.photometry.outcome import Outcome
from mpiapp.report.show import match_published

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "config" / "example"
PUBLISHED = EXAMPLE / "csc21_published.ecsv"
N_RUNS = 49 + 1 + 4 + 2 + 6

# 2873 u, C = 1 over B = 6: 68 % is enclosed just where the interval reaches zero, so the Monte
# Carlo error decides between a value with lolim = 0 (published) and an upper limit.
ON_THE_EDGE = ("csc21_2873/2873/2CXO J183328.3-102408", "u")


def run_example(folder: Path, engine: str, ranks: int) -> Path:
    """Import and run config/example.toml as `make run` does, in a folder of its own."""
    for name in ("obsid1575.jsonl", "csc21.ecsv", "cosmos_stack.ecsv", "cosmos_master.ecsv"):
        options = ()
        if name == "cosmos_master.ecsv":
            options = ("--masters", EXAMPLE / "cosmos_links.csv")
            options += ("--blocks", EXAMPLE / "cosmos_blocks.csv")
        out = folder / "out" / "example" / name.split(".")[0]
        done = mpiapp("import", EXAMPLE / name, out, *options)
        assert done.returncode == 0, done.stderr
    config = (ROOT / "config" / "example.toml").read_text()
    assert 'name = "pymc3"' in config
    (folder / "example.toml").write_text(config.replace('"pymc3"', f'"{engine}"'))
    done = mpiapp("run", "example.toml", ranks=ranks, timeout=600, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out" / "example" / "results.h5"


@pytest.fixture(
    scope="module",
    params=["gibbs", pytest.param("pymc3", marks=[pytest.mark.pymc3, pytest.mark.mpi])],
)
def results_path(request, tmp_path_factory):
    if request.param == "pymc3":
        pytest.importorskip("pymc3")
    ranks = 3 if request.param == "pymc3" and mpiexec() else 0
    return run_example(tmp_path_factory.mktemp(request.param), request.param, ranks)


def test_every_run_ends_as_planned(results_path):
    with open_results(results_path) as results:
        runs = results.table("runs")
    assert len(runs) == N_RUNS
    assert all(Outcome(o).is_planned for o in runs["outcome"])
    assert (runs["attempts"] == 1).all()


def test_published_csc_2_1_values_come_back(results_path):
    with open_results(results_path) as results:
        t = match_published(results, PUBLISHED)
    assert len(t) == 49
    measured = np.array(~t["is_upper_limit"], bool)
    # the bars of the project; both sides carry Monte Carlo errors of some 0.05 half-widths
    assert np.median(t["distance"][measured]) <= 0.08
    assert 0.95 <= np.median(t["width_ratio"][measured]) <= 1.05
    unlike = {(row["target"], row["band"]) for row in t if not row["alike"]}
    assert unlike <= {ON_THE_EDGE}


def test_the_edge_case_really_is_one():
    """Of the exact posterior, 68 % lies within twice the smoothed mode to the Monte Carlo error."""
    from mpiapp.sampling.gibbs import GibbsEngine

    p = edge_problem()
    draws = GibbsEngine(chains=16, draws=12_500).sample(p, np.random.SeedSequence(1)).of(0)
    enclosed = enclosed_up_to_zero(draws)
    # binomial standard error of an enclosed share from 1000 effective draws, three times
    assert abs(enclosed - LEVEL) < 3 * np.sqrt(LEVEL * (1 - LEVEL) / 1000)


def edge_problem():
    from mpiapp.catalog.problem import Problem

    return Problem(
        counts=np.array([1, 6]),
        F=np.array([[0.973, 0.041e4], [0.0, 1e4]]),
        upper=np.array([1e6, 10.0]),
        sources=("s",),
        backgrounds=("b",),
        row_obsid=np.zeros(2, int),
        offset=np.zeros(2),
    )


def enclosed_up_to_zero(draws):
    """Share of the smoothed density between zero and twice its mode, on a fine grid."""
    from mpiapp.photometry.mpdf import density

    x = np.linspace(draws.min(), draws.max(), 20_001)
    f = density(draws, x)
    mode = x[f.argmax()]
    return f[x <= 2 * mode].sum() / f.sum()


def test_the_crowded_bundle_of_obsid_1575_is_near_its_linear_solution(results_path):
    """Primini & Kashyap 2014: bright, well separated sources, so that the mode of the posterior is
    the solution of Eq. 8 but for a small share of its own interval."""
    with open_results(results_path) as results:
        rows = results.table("photometry")
    rows = rows[rows["target"] == b"obsid1575/1575/r0115-r0150"]
    problem = bundle_1575()
    solution = dict(zip(("r0115", "r0116", "r0123", "r0150"), np.linalg.solve(*problem)))
    assert len(rows) == 4
    for row in rows:
        half = (row["hilim"] - row["lolim"]) / 2
        # mode of the smoothed draws: 0.05 σ Monte Carlo, and a skew of at most 1/C of the width
        assert abs(row["value"] - solution[row["component"].decode()]) < 0.3 * half


def bundle_1575():
    import json

    record = json.loads((EXAMPLE / "obsid1575.jsonl").read_text())
    return np.array(record["F"]["photflux"]), np.array(record["counts"])


def test_stack_and_master_combine_the_obsids(results_path):
    """The same data as one stack and as two stacks of a master give the same posterior."""
    with open_results(results_path) as results:
        rows = results.table("photometry")
    for quantity in (b"rate", b"cnts"):
        of = {r["target"]: r for r in rows[rows["quantity"] == quantity]}
        stack, master = of[b"cosmos/r1"], of[b"COSMOS example/avg"]
        half = (stack["hilim"] - stack["lolim"]) / 2
        # two independent modes of ~1000 effective draws each: 0.05 √2 half-widths, four of those
        assert abs(stack["value"] - master["value"]) < 0.3 * half
        widest = max(
            of[key]["hilim"] - of[key]["lolim"] for key in (b"cosmos/7999/r1", b"cosmos/8478/r1")
        )
        assert 2 * half < widest


def test_make_run_uses_these_files():
    makefile = (ROOT / "Makefile").read_text()
    for name in os.listdir(EXAMPLE):
        assert name in makefile
