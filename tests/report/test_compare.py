"""Comparisons: f by hand, rows matched in any order, Table 3 against numpy."""

import numpy as np
import pytest
from astropy.table import Table
from jobs import mpiapp, write_job
from results_files import publish

from mpiapp.catalog.bundle import InputError
from mpiapp.catalog.outcome import Flag, Outcome
from mpiapp.catalog.runs import RunKey
from mpiapp.files.results import open_results
from mpiapp.files.schema import PHOTOMETRY_DTYPE
from mpiapp.report import compare as comparing
from mpiapp.report import matching, references
from mpiapp.report.matching import REFERENCE_DTYPE, distance, open_side, row_keys
from mpiapp.report.references import published_rows

KEY = RunKey("obsid", "S/1/b1", "b", "aper", "flux")


def rows(n=1, **columns):
    """Measured rows of one component in n runs."""
    out = np.zeros(n, PHOTOMETRY_DTYPE)
    out["run_id"] = 1000 + np.arange(n)
    out["level"], out["target"], out["component"] = b"obsid", b"S/1/b1", b"r1"
    out["band"], out["aperture"], out["quantity"] = b"b", b"aper", b"flux"
    for name, values in columns.items():
        out[name] = values
    return out


def as_reference(of):
    reference = np.zeros(len(of), REFERENCE_DTYPE)
    for name in REFERENCE_DTYPE.names[1:]:
        reference[name] = of[name]
    return reference


def compared(a, b, **options):
    with open_side(a) as side, open_side(b) as reference:
        return comparing.compare(side, reference, **options)


def compare_rows(folder, a, b, **options):
    paths = (publish(folder / f"{name}.h5", rows) for name, rows in (("a", a), ("b", b)))
    return compared(*paths, **options)


@pytest.mark.parametrize(
    ("ours", "theirs", "f"),
    [
        # Eq. 9: 2 |5 - 6| / (8 - 4)
        (
            {"value": 6, "mode": 6, "lolim": 5, "hilim": 9},
            {"value": 5, "lolim": 4, "hilim": 8},
            0.5,
        ),
        # Eq. 9 with our upper limit: its unforced mode counts
        (
            {"value": 0, "mode": 4, "hilim": 8, "outcome": Outcome.UPPER_LIMIT},
            {"value": 5, "lolim": 4, "hilim": 8},
            0.5,
        ),
        # Eq. 10: 2 |10 - 7| / 10
        (
            {"value": 3, "mode": 3, "lolim": 1, "hilim": 7},
            {"value": 0, "lolim": 0, "hilim": 10, "outcome": Outcome.UPPER_LIMIT},
            0.6,
        ),
        # the same of a table that gives limits no lower bound, as srcflux's
        (
            {"value": 3, "mode": 3, "lolim": 1, "hilim": 7},
            {"value": 0, "lolim": np.nan, "hilim": 10, "outcome": Outcome.UPPER_LIMIT},
            0.6,
        ),
        # Eq. 9 for a value whose interval begins at 0, which is no limit
        (
            {"value": 0, "mode": 4, "hilim": 8, "outcome": Outcome.UPPER_LIMIT},
            {"value": 5, "lolim": 0, "hilim": 10},
            0.2,
        ),
        (
            {"value": np.nan, "mode": np.nan, "outcome": Outcome.NULL_FAILED},
            {"value": 5, "lolim": 4, "hilim": 8},
            np.nan,
        ),
        (
            {"value": 6, "mode": 6, "lolim": 5, "hilim": 7},
            {"value": np.nan, "lolim": np.nan, "hilim": np.nan, "outcome": Outcome.NULL_FAILED},
            np.nan,
        ),
    ],
)
def test_f_follows_equations_9_and_10(ours, theirs, f):
    np.testing.assert_allclose(distance(rows(**ours), as_reference(rows(**theirs))), f)


def scattered(n, seed):
    rng = np.random.default_rng(seed)
    value = rng.uniform(5, 10, n)
    found = rows(n, value=value, mode=value, lolim=value - 1, hilim=value + 1)
    found["band"] = np.array([b"b", b"s"])[np.arange(n) % 2]
    found["quantity"] = np.array([b"flux", b"rate", b"cnts"])[np.arange(n) % 3]
    return found


@pytest.mark.parametrize("rows_kept", [10**6, 40])
def test_rows_find_each_other_in_any_order_and_number_of_passes(tmp_path, monkeypatch, rows_kept):
    monkeypatch.setattr(matching, "ROWS_KEPT", rows_kept)
    monkeypatch.setattr(matching, "CHUNK_ROWS", 30)
    a, b = scattered(100, 1), scattered(120, 2)
    a["run_id"] += 7  # 7 of ours are not there, and 27 of theirs
    in_b = b[7:107]
    expected = 2 * np.abs(a["mode"] - in_b["value"]) / 2
    order = np.random.default_rng(3).permutation(120)
    path_a, path_b = publish(tmp_path / "a.h5", a), publish(tmp_path / "b.h5", b[order])
    found = compared(path_a, path_b)
    np.testing.assert_allclose(
        np.sort(np.concatenate(list(found.f.values()))), np.sort(expected), rtol=1e-6
    )
    assert (found.n_unmatched, found.n_reference_unmatched) == (0, 20)
    assert compared(path_b, path_a).n_unmatched == 20
    assert found.worst["f"][0] == pytest.approx(expected.max())
    assert len(found.pairs) == 100


def test_table_3_has_the_statistics_of_each_group(tmp_path):
    a, b = scattered(600, 1), scattered(600, 2)
    a["outcome"][:5] = Outcome.NULL_FAILED
    b["outcome"][3:9] = Outcome.NULL_PEGGED
    found = compare_rows(tmp_path, a, b, sample="3")
    f = np.abs(a["mode"] - b["value"])
    f[:9] = np.nan
    table = comparing.table_3([found], by=("quantity",))
    assert list(table["quantity"]) == ["cnts", "flux", "rate"]
    assert set(table["band"]) == {"b,s"}
    for row in table:
        mine = a["quantity"] == row["quantity"].encode()
        of = f[mine]
        assert row["n_total"] == mine.sum() == 200
        assert row["n_success"] == 200 - np.sum(mine[:5])
        assert row["n_reference"] == 200 - np.sum(mine[3:9])
        assert row["n_f"] == np.isfinite(of).sum()
        assert row["f_mean"] == pytest.approx(np.nanmean(of), rel=1e-6)
        assert row["f_median"] == pytest.approx(np.nanmedian(of), rel=1e-6)
        assert row["f_99"] == pytest.approx(np.nanpercentile(of, 99), rel=1e-6)
        assert row["percent_f_below_1"] == pytest.approx(
            100 * np.mean(of[np.isfinite(of)] <= 1), rel=1e-9
        )
    assert len(comparing.table_3([found])) == 6
    with pytest.raises(InputError, match="cannot group by 'colour'"):
        comparing.table_3([found], by=("colour",))


def test_one_extreme_outlier_is_named(tmp_path):
    a = scattered(50, 1)
    b = a.copy()
    b["value"][13] += 1e6
    found = compare_rows(tmp_path, a, b, n_worst=3)
    worst = comparing.worst_table([found], above=1)
    assert len(worst) == 1
    assert (worst["component"][0], worst["f"][0]) == ("r1", "1e+06")


def test_two_rows_of_one_run_and_component_are_refused(tmp_path):
    a = scattered(4, 1)
    b = a[[0, 1, 1, 2]]
    with pytest.raises(InputError, match=r"b\.h5: two rows have the same run and component"):
        compare_rows(tmp_path, a, b)


def test_nothing_in_common_is_an_error(tmp_path):
    a, b = scattered(4, 1), scattered(4, 1)
    b["run_id"] += 100
    with pytest.raises(InputError, match=r"no row of it is in .*b\.h5"):
        compare_rows(tmp_path, a, b)


def test_keys_of_counted_runs_and_components_are_distinct():
    many = rows(200_000)
    many["run_id"] = np.arange(200_000) // 20
    many["component"] = np.char.add(b"r", (np.arange(200_000) % 20).astype("S4"))
    assert len(np.unique(row_keys(many))) == len(many)


def test_a_published_table_is_matched_by_its_keys(tmp_path):
    table = Table(
        rows=[(*("obsid", "S/1/b1", "r1", "b", "aper", "flux"), 5.0, 4.0, 8.0),
              (*("obsid", "S/1/b1", "r1", "s", "aper", "flux"), 0.0, 0.0, 10.0)],
        names=(*references.KEY, "value", "lolim", "hilim"),
    )  # fmt: skip
    table.write(tmp_path / "published.ecsv")
    published = published_rows(tmp_path / "published.ecsv")
    assert published["run_id"][0] == KEY.run_id
    assert list(published["outcome"]) == [Outcome.MEASURED, Outcome.UPPER_LIMIT]
    ours = rows(2, mode=[6, 3], value=[6, 3], lolim=[5, 1], hilim=[9, 7], band=[b"b", b"s"])
    ours["run_id"] = [KEY.run_id, KEY._replace(band="s").run_id]
    found = compared(publish(tmp_path / "a.h5", ours), tmp_path / "published.ecsv")
    assert {group[2]: f[0] for group, f in found.f.items()} == pytest.approx({"b": 0.5, "s": 0.6})


def csc_table(path, **columns):
    table = Table(
        {
            "name": ["2CXO A", "2CXO A", "2CXO B"],
            "detect_stack_id": ["S", "S", "S"],
            "obsid": [1, 2, 1],
            "region_id": [3, 3, 4],
            "photflux_aper_b": [5e-6, 6e-6, 0.0],
            "photflux_aper_lolim_b": [4e-6, 5e-6, np.nan],
            "photflux_aper_hilim_b": [8e-6, 9e-6, 2e-6],
            **columns,
        }
    )
    for name in table.colnames[4:7]:
        table[name].unit = "photon/s/cm**2"
    table.write(path)
    return path


def test_columns_of_csc_are_results_of_observations(tmp_path):
    published = published_rows(csc_table(tmp_path / "csc.ecsv"))
    assert [t.decode() for t in published["target"]] == ["S/1/3", "S/2/3", "S/1/4"]
    assert set(published["level"]) == {b"obsid"} and set(published["quantity"]) == {b"photflux"}
    assert list(published["component"]) == [b"3", b"3", b"4"]
    assert list(published["outcome"]) == [Outcome.MEASURED, Outcome.MEASURED, Outcome.UPPER_LIMIT]
    assert (published["value"][0], published["lolim"][2]) == (5e-6, 0)
    ours = rows(3, mode=[6e-6, 6e-6, 0], lolim=5e-6, hilim=[9e-6, 9e-6, 1e-6])
    ours["run_id"], ours["component"] = published["run_id"], published["component"]
    found = compared(publish(tmp_path / "a.h5", ours), tmp_path / "csc.ecsv")
    (f,) = found.f.values()
    assert sorted(map(float, f)) == pytest.approx([0, 0.5, 1])


def test_columns_of_a_master_source_are_those_of_its_best_block_and_average(tmp_path):
    path = csc_table(tmp_path / "csc.ecsv")
    table = Table.read(path)["name", "photflux_aper_b", "photflux_aper_lolim_b",
                             "photflux_aper_hilim_b"]  # fmt: skip
    for end in ("", "_lolim", "_hilim"):
        table[f"photflux_aper_avg{end}_b"] = table[f"photflux_aper{end}_b"] * 2
    table.write(path, overwrite=True)
    published = published_rows(path)
    assert set(published["level"]) == {b"master"}
    assert len(published) == 4  # a row for each observation says the same of a source
    ours = rows(2, level=b"master", component=b"2CXO A", quantity=b"photflux", band=b"b",
                aperture=b"aper", target=[b"2CXO A/7", b"2CXO A/avg"], mode=[6e-6, 1e-5],
                lolim=5e-6, hilim=9e-6, flags=[Flag.BEST_BLOCK, 0])  # fmt: skip
    ours["run_id"] = [1, RunKey("master", "2CXO A/avg", "b", "aper", "photflux").run_id]
    found = compared(publish(tmp_path / "a.h5", ours), path)
    assert sorted(float(f) for values in found.f.values() for f in values) == pytest.approx(
        [0, 0.5]
    )


def test_csc_columns_without_what_names_their_sources_are_refused(tmp_path):
    path = csc_table(tmp_path / "csc.ecsv")
    table = Table.read(path)
    table.remove_columns(["name", "region_id"])
    table.write(path, overwrite=True)
    with pytest.raises(InputError, match="columns name are missing, which name what is measured"):
        published_rows(path)


def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path):
    path = tmp_path / "results.h5"
    path.write_bytes(b"\x89HDf, one bit of its signature changed")
    with pytest.raises(InputError, match="cannot be read as a table") as refused:
        references.read_published(path)
    assert "\n" not in str(refused.value)


def test_tables_are_written_as_text_ecsv_and_latex(tmp_path):
    a, b = scattered(60, 1), scattered(60, 2)
    table = comparing.table_3([compare_rows(tmp_path, a, b)])
    for suffix in comparing.TABLE_SUFFIXES:
        comparing.write_table(table, tmp_path / f"t{suffix}")
    back = Table.read(tmp_path / "t.ecsv")
    np.testing.assert_array_equal(back["f_median"], table["f_median"])
    latex = (tmp_path / "t.tex").read_text()
    assert r"$N_\mathrm{success}/N_\mathrm{total}$" in latex
    assert "10/10" in latex and r"\%" in latex
    assert "10/10" in (tmp_path / "t.txt").read_text()
    with pytest.raises(InputError, match=r"t\.pdf: unknown kind of table"):
        comparing.write_table(table, tmp_path / "t.pdf")


@pytest.fixture(scope="module")
def two_jobs(tmp_path_factory):
    """The same input measured twice, with other seeds."""
    paths = []
    for seed in (7, 8):
        folder = tmp_path_factory.mktemp(f"seed{seed}")
        config = write_job(folder, "gibbs")
        config.write_text(config.read_text().replace("seed = 7", f"seed = {seed}"))
        assert mpiapp("run", config).returncode == 0
        paths.append(folder / "results.h5")
    return paths


def test_the_command_compares_two_jobs_and_draws(two_jobs, tmp_path):
    pytest.importorskip("matplotlib")
    done = mpiapp("compare", *two_jobs, "--out", tmp_path / "t.ecsv", "--figures", tmp_path / "f",
                  "--by", "level")  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = Table.read(tmp_path / "t.ecsv")
    assert list(table["level"]) == ["obsid", "stack"]
    assert (table["n_success"] == table["n_total"]).all()
    # 2000 effective draws a side: modes differ by about √2/√2000 × 1.5 σ = 0.05 half-widths,
    # and the median of several by less than three times that
    assert (table["f_median"] < 0.15).all()
    drawn = sorted(path.name for path in (tmp_path / "f").glob("*.png"))
    stems = [f"results_{quantity}" for quantity in ("cnts", "rate")]
    assert drawn == sorted(f"{s}{end}.png" for s in stems for end in ("", "_differences"))


def test_the_draws_of_a_run_are_saved_for_arviz(two_jobs, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("netCDF4")
    arviz = pytest.importorskip("arviz")
    with open_results(two_jobs[0]) as results:
        row = results.table("photometry")[3]
    drawn = ["--out", tmp_path / "run.png", "--draws", tmp_path / "run.nc"]
    done = mpiapp("plot", two_jobs[0], "--run", row["run_id"], *drawn)
    assert done.returncode == 0, done.stderr
    posterior = arviz.from_netcdf(tmp_path / "run.nc").posterior
    assert posterior.attrs["run"].split()[1] == row["target"].decode()
    draws = posterior.source.sel(component=row["component"].decode()).values.ravel()
    assert len(draws) == row["n_draws"]
    inside = np.mean((draws >= row["lolim"]) & (draws <= row["hilim"]))
    assert inside == pytest.approx(0.7, abs=0.1)  # 68 % of the smoothed density


def test_an_unknown_run_is_said_with_an_example(two_jobs):
    done = mpiapp("plot", two_jobs[0], "--run", "obsid nowhere b aper flux")
    assert done.returncode == 2
    assert "no run 'obsid nowhere b aper flux'" in done.stderr
    assert "for example" in done.stderr
