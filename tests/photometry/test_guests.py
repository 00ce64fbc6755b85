"""Whoever measures a problem gets the same numbers, to the last bit, in any order."""

from __future__ import annotations

import random

import numpy as np
import pytest
from astropy.table import Table
from problems import matrix

import mpiapp
from mpiapp.catalog.bundle import Bundle, ObsidBundle
from mpiapp.catalog.problems import Problems
from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.worklist import Selection, WorkList
from mpiapp.engines import create
from mpiapp.files.prep3 import scan_prep3
from mpiapp.files.prep3_write import write_prep3
from mpiapp.photometry.ladder import Ladder, Policy
from mpiapp.photometry.measuring import measure
from mpiapp.photometry.photometer import Photometer

NAMES = ("value", "lolim", "hilim", "mode", "mean", "rms", "outcome", "flags")
QUANTITIES = ("rate", "cnts")
EXPOSURES = {"rate": 3e4, "cnts": 1.0}
SEED = 7
COUNTS = {  # of the sources, and of the background
    "alone": [12, 60],
    "limit": [0, 80],
    "pegged": [4_000_000, 300],
    "pair": [40, 9, 200],
    "three": [5, 300, 0, 90],
}


def F(name, quantity):
    return matrix(len(COUNTS[name]) - 1, 1, blend=0.2) * EXPOSURES[quantity]


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    bundles = []
    for name, counts in COUNTS.items():
        own = {Matrix("b", "aper", q): F(name, q) for q in QUANTITIES}
        components = tuple(f"{name}{i}" for i in range(len(counts) - 1))
        key = ObsidBundle("S", "1", name)
        bundles.append(Bundle(key, "ACIS", components, {("b", "aper"): np.array(counts)}, own))
    path = tmp_path_factory.mktemp("guests") / "1_prep3.fits"
    write_prep3(path, "S", "1", "ACIS", bundles, 3e4)
    worklist = WorkList([scan_prep3(path)[0]], Selection(("obsid",)))
    return [t for unit in worklist.units for t in unit.targets()]


def keys(targets):
    return {(t.name.split("/")[-1], k.quantity): k for t in targets for k in t.run_keys()}


def by_job(targets, engine):
    rows = Photometer(create(engine), Policy(), SEED).measure(targets).photometry
    found = {}
    for row in rows:
        name = row["target"].decode().split("/")[-1], row["quantity"].decode()
        found.setdefault(name, []).append(tuple(row[list(NAMES)].item()))
    return found


def by_rerun(targets, engine):
    photometer = Photometer(create(engine), Policy(), SEED)
    runs = {
        (t.name.split("/")[-1], key.quantity): photometer.run(t, key)
        for t in targets
        for key in t.run_keys()
    }
    return {name: run.numbers[list(NAMES)].tolist() for name, run in runs.items()}


def by_measure(targets, engine):
    found = {}
    for (name, quantity), key in keys(targets).items():
        sources = mpiapp.measure(
            COUNTS[name], F(name, quantity), len(COUNTS[name]) - 1, quantity, engine=engine,
            seed=key.seed(SEED),
        )  # fmt: skip
        found[name, quantity] = [tuple(getattr(s, n) for n in NAMES) for s in sources]
    return found


def by_batch_of_one(targets, engine):
    photometer = Photometer(create(engine), Policy(), SEED)
    found = {}
    for target in targets:
        for key in target.run_keys():
            problems = Problems.of([photometer.problem(target, key)])
            args = create(engine), Policy(), [key.seed(SEED)], [key.quantity]
            numbers = measure(problems, *args).numbers[0]
            found[target.name.split("/")[-1], key.quantity] = numbers[list(NAMES)].tolist()
    return found


def by_table(targets, engine):
    rows = []
    for name, counts in COUNTS.items():
        plain, n = F(name, "cnts"), len(counts) - 1
        for i in range(n):
            inside = np.full(3, np.nan)
            inside[:n] = plain[i, :n]
            rows.append(
                (name, counts[i], counts[-1], inside, plain[-1, i], plain[i, -1], plain[-1, -1])
            )
    names = ["bundle", "cnts", "cnts_bkg", "psf_frac", "psf_frac_bkg", "area", "area_bkg"]
    table = Table(rows=rows, names=names)
    table["exposure_rate"] = EXPOSURES["rate"]
    result = mpiapp.measure_table(table, QUANTITIES, engine=engine, progress=False)
    stems = {"rate": "src_rate", "cnts": "src_cnts"}
    columns = {n: "" if n == "value" else f"_{n}" for n in NAMES}
    found = {}
    for row in result:
        for quantity, stem in stems.items():
            numbers = (
                getattr(row[stem + end], "value", row[stem + end]) for end in columns.values()
            )
            found.setdefault((row["bundle"], quantity), []).append(tuple(map(float, numbers)))
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, numbers in expected.items():
        np.testing.assert_array_equal(np.array(found[name], float), np.array(numbers, float), name)


@pytest.mark.parametrize("order", [0, 1])
def test_every_guest_of_the_exact_engine_gets_the_same_bits(targets, order):
    guests = [by_job, by_rerun, by_measure, by_batch_of_one, by_table]
    random.Random(order).shuffle(guests)
    found = {guest.__name__: guest(targets, "exact") for guest in guests}
    assert len(found["by_job"]) == len(COUNTS) * len(QUANTITIES)
    for numbers in found.values():
        assert_same(numbers, found["by_job"])
    outcomes = {sources[0][6] for sources in found["by_job"].values()}
    flags = {sources[0][7] for sources in found["by_job"].values()}
    assert len(outcomes) > 1 and len(flags) > 1


def test_every_guest_of_an_engine_that_draws_gets_the_same_bits(targets):
    """Those that can say the seed of a run."""
    expected = by_job(targets, "gibbs")
    for guest in (by_batch_of_one, by_measure, by_rerun):
        assert_same(guest(targets, "gibbs"), expected)


def test_a_problem_in_a_batch_has_the_numbers_that_the_ladder_gives_it_alone(targets):
    photometer = Photometer(create("exact"), Policy(), SEED)
    pairs = [(photometer.problem(t, k), k) for t in targets for k in t.run_keys()]
    pairs = [(p, k) for p, k in pairs if p.n_sources == 1]
    seeds, quantities = zip(*((k.seed(SEED), k.quantity) for _, k in pairs))
    together = measure(
        Problems.of([p for p, _ in pairs]), create("exact"), Policy(), seeds, quantities, points=64
    )
    assert 0 < len(together.runs) < len(pairs)
    for i, (p, k) in enumerate(pairs):
        run = Ladder(p, create("exact"), Policy(), k.seed(SEED), k.quantity).measure()
        assert run.numbers.tobytes() == together.numbers[i].tobytes()
        low, high, density, _ = run.posterior.tabulated(0, 64, Policy().smoothing)
        if np.isfinite(run.numbers["mode"][0]):
            np.testing.assert_array_equal(together.tabulated.density[i, 0], density)
            assert (together.tabulated.low[i, 0], together.tabulated.high[i, 0]) == (low, high)
