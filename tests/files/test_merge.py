"""Shards of a job, and one file made of them."""

import numpy as np
import pytest
from astropy.io import fits
from jobs import LOGGED_RUNS, mpiapp, photometry, table, write_job

from mpiapp.catalog.outcome import unplanned
from mpiapp.files.merge import merge
from mpiapp.files.results import ResultsError, open_results, work_path

N_RUNS = LOGGED_RUNS
N = 3

pytestmark = pytest.mark.slow


def shard_path(folder, number):
    return folder / f"results.shard{number}of{N}.h5"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A job in three shards, each done by itself."""
    folder = tmp_path_factory.mktemp("shards")
    config = write_job(folder, text=table(4, 5))
    for number in range(1, N + 1):
        done = mpiapp("run", config, "--shard", f"{number}/{N}")
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert mpiapp("run", write_job(folder, text=table(4, 5))).returncode == 0
    return photometry(folder / "results.h5")


def all_shards(folder):
    return [shard_path(folder, number) for number in range(1, N + 1)]


def test_merged_shards_are_the_whole_job(shards, whole, tmp_path):
    done = mpiapp("merge", tmp_path / "all.h5", *all_shards(shards))
    assert done.returncode == 0, done.stderr
    assert photometry(tmp_path / "all.h5").tobytes() == whole.tobytes()
    with open_results(tmp_path / "all.h5") as results:
        runs, rows, jobs = (results.table(name) for name in ("runs", "photometry", "jobs"))
        inputs = results.table("inputs")
    assert jobs["job"].tolist() == [0, 1, 2]
    assert jobs["shard"].tolist() == ["1/3", "2/3", "3/3"]
    assert np.bincount(runs["job"]).tolist() == jobs["planned"].tolist()
    assert (np.diff(inputs["path"].argsort()) == 1).all() and len(inputs) == 4
    assert np.array_equal(rows["run_id"], np.repeat(runs["run_id"], runs["n_rows"]))


def test_the_parts_are_disjoint_and_about_equal(shards):
    sizes = []
    for path in all_shards(shards):
        with open_results(path) as results:
            sizes.append(len(results))
    assert sum(sizes) == N_RUNS
    # five files or stacks of 20 runs each cannot be shared more evenly among three
    assert sorted(sizes) == [20, 40, 40]


def test_gaps_are_listed_and_can_be_filled(shards, whole, tmp_path):
    path = tmp_path / "results.h5"
    done = mpiapp("merge", path, shard_path(shards, 1), shard_path(shards, 3))
    assert done.returncode == 3
    assert "shard 2/3 is missing" in done.stderr
    assert not path.exists()
    done = mpiapp("run", shards / "job.toml", "--output", path, "--resume")
    assert done.returncode == 0, done.stderr
    assert photometry(path).tobytes() == whole.tobytes()


def test_runs_in_two_files_are_refused(shards, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(shard_path(shards, 2).read_bytes())
    with pytest.raises(ResultsError, match="runs are in two files"):
        merge(tmp_path / "all.h5", [*all_shards(shards), copy])
    assert not work_path(tmp_path / "all.h5").exists()


def test_another_configuration_is_refused_unless_forced(shards, tmp_path):
    config = write_job(tmp_path, text=table(4, 5))
    config.write_text(config.read_text().replace("seed = 7", "seed = 8"))
    assert mpiapp("run", config, "--shard", f"3/{N}").returncode == 0
    mixed = [shard_path(shards, 1), shard_path(shards, 2), shard_path(tmp_path, 3)]
    with pytest.raises(ResultsError, match="another configuration"):
        merge(tmp_path / "all.h5", mixed)
    assert merge(tmp_path / "all.h5", mixed, force=True).n_runs == N_RUNS


@pytest.mark.parametrize("shard", ["0/3", "4/3", "x", "1/", f"1/{10**30}"])
def test_a_shard_that_is_none_is_a_usage_error(tmp_path, shard):
    done = mpiapp("run", "job.toml", "--shard", shard)
    assert done.returncode == 2
    assert "expected K/N" in done.stderr


def test_merging_again_says_that_it_is_done_and_ends_with_0(shards, tmp_path):
    command = ("merge", tmp_path / "all.h5", *all_shards(shards))
    assert mpiapp(*command).returncode == 0
    before = (tmp_path / "all.h5").read_bytes()
    done = mpiapp(*command)
    assert done.returncode == 0, done.stderr
    assert "merged already; nothing to do" in done.stdout
    assert (tmp_path / "all.h5").read_bytes() == before


def test_a_file_that_lacks_a_run_is_not_taken_for_the_merged_one(shards, tmp_path):
    assert mpiapp("merge", tmp_path / "all.h5", *all_shards(shards)[:2]).returncode == 3
    work_path(tmp_path / "all.h5").rename(tmp_path / "all.h5")
    done = mpiapp("merge", tmp_path / "all.h5", *all_shards(shards))
    assert done.returncode == 2
    assert "exists already" in done.stderr


def test_what_failed_is_left_out_of_a_retry_and_measured_again(whole, tmp_path):
    config = write_job(tmp_path, text=table(4, 5))
    damaged = sorted((tmp_path / "prep3").glob("*.fits"))[1]
    content = damaged.read_bytes()
    damaged.write_bytes(b"for a moment no FITS file")
    assert mpiapp("run", config).returncode == 4
    results, retried = tmp_path / "results.h5", tmp_path / "retried.h5"
    done = mpiapp("run", config, "--resume")
    assert done.returncode == 4
    assert "0 failed runs and 1 bad inputs" in done.stderr and "--retry" in done.stderr
    damaged.write_bytes(content)
    done = mpiapp("merge", retried, results, "--retry")
    assert done.returncode == 3 and "1 inputs were mended" in done.stderr
    done = mpiapp("run", config, "--resume", "--output", retried)
    assert done.returncode == 0, done.stderr
    assert photometry(retried).tobytes() == whole.tobytes()


def test_a_retry_keeps_the_rows_and_densities_of_what_did_not_fail(tmp_path):
    config = write_job(tmp_path, output="mpdf = ['*']")
    with fits.open(next((tmp_path / "prep3").glob("*.fits")), mode="update") as hdus:
        hdus["SRCPROP"].data["counts"][0] = -1
    assert mpiapp("run", config).returncode == 4
    found = merge(tmp_path / "retried.h5", [tmp_path / "results.h5"], retry=True)
    assert found.path == work_path(tmp_path / "retried.h5")
    with open_results(tmp_path / "results.h5") as results, open_results(found.path) as kept:
        runs, rows, mpdf = (results.table(name) for name in ("runs", "photometry", "mpdf"))
        good = runs["run_id"][~unplanned(runs["outcome"])]
        assert 0 < len(good) < len(runs)
        assert np.array_equal(kept.table("runs")["run_id"], good)
        expected = rows[np.isin(rows["run_id"], good)]
        assert kept.table("photometry").tobytes() == expected.tobytes()
        own = mpdf[np.isin(mpdf["run_id"], good)]
        assert len(own) and np.array_equal(kept.table("mpdf")["run_id"], own["run_id"])
        where = kept.mpdf_rows()
        assert (kept.table("photometry")["run_id"][where] == own["run_id"]).all()
        assert not len(kept.table("failures"))
