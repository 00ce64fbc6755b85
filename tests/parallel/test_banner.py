"""What a job says before it measures, and what it finds that it would measure twice."""

from __future__ import annotations

from collections import Counter

from jobs import mpiapp, table, write_job

from mpiapp._version import __version__
from mpiapp.catalog.quantities import Matrix
from mpiapp.catalog.scan import BundleScan, FileScan
from mpiapp.catalog.worklist import Selection
from mpiapp.parallel.banner import hints, work

ALL = Selection()


def scan(stack, obsid, quantities=("cnts",), bands="b"):
    matrices = frozenset(Matrix(band, "aper", q) for band in bands for q in quantities)
    return FileScan(f"{stack}{obsid}", stack, obsid, None, {"b1": BundleScan(("r1",), matrices)})


def test_a_stack_of_one_obsid_is_measured_twice_and_the_hint_counts_its_runs():
    scans = [scan("A", "1", bands="bh"), scan("B", "1"), scan("C", "1"), scan("C", "2")]
    (hint,) = hints(scans, ALL, "gibbs")
    assert hint.startswith("3 runs are done twice: 2 of 3 stacks have one obsid")


def test_nothing_is_measured_twice_where_one_level_is_left_out_or_stacks_have_several_obsids():
    one = [scan("A", "1")]
    assert hints(one, Selection(levels=("obsid",)), "gibbs") == []
    assert hints(one, Selection(levels=("stack", "master")), "gibbs") == []
    assert hints([scan("A", "1"), scan("A", "2")], ALL, "gibbs") == []
    assert hints([], ALL, "gibbs") == []


def test_quantities_of_the_same_counts_differ_by_noise_unless_they_are_measured_once():
    scans = [scan("A", "1", ("cnts", "rate")), scan("A", "2", ("cnts",))]
    (hint,) = hints(scans, ALL, "gibbs")
    assert hint.startswith("cnts, rate are of the same counts and engine gibbs samples each")
    assert hints(scans, ALL, "exact") == []
    assert hints(scans, Selection(quantities=("rate",)), "gibbs") == []


def test_the_work_list_is_told_by_level_with_what_is_done():
    runs = Counter(obsid=12, stack=3)
    assert work(4, runs, 0) == "4 prep3 files, 15 runs: obsid 12, stack 3"
    assert work(4, runs, 5).endswith("; 5 done already")


def test_a_job_says_what_it_is_and_does_in_a_few_lines(tmp_path):
    config = write_job(tmp_path, "gamma", text=table(1, 2))
    done = mpiapp("run", config)
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()[:2]
    assert first.startswith(
        f"mpiapp {__version__}: engine scripted_engines:GammaEngine, one process"
    )
    assert second == f"{config}: {tmp_path / 'prep3'} -> {tmp_path / 'results.h5'}"
    # 2 sources of one obsid, in 2 bands and 2 quantities, at 2 levels
    assert "\n1 prep3 files, 16 runs: obsid 8, stack 8\n" in done.stderr
    assert "\nhint: 8 runs are done twice: 1 of 1 stacks" in done.stderr
    assert len(done.stderr.splitlines()) < 12
    planned = mpiapp("plan", config)
    assert "\nhint: 8 runs are done twice" in planned.stdout
