"""`measure_table`: many single sources, from a table to a table."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from mpiapp import InputError, Outcome, measure, measure_table, tables
from mpiapp.catalog.quantities import QUANTITIES
from mpiapp.photometry.measuring import measure as measure_batch

N = 40


def sources() -> Table:
    rng = np.random.default_rng(11)
    return Table(
        {
            "name": [f"X{i}" for i in range(N)],
            "cnts": rng.poisson(rng.gamma(1.0, 15.0, N) + 2.0),
            "cnts_bkg": rng.poisson(40.0, N),
            "psf_frac": rng.uniform(0.8, 0.95, N),
            "psf_frac_bkg": np.full(N, 0.03),
            "area": rng.uniform(20.0, 60.0, N),
            "area_bkg": np.full(N, 1000.0),
            "exposure_rate": rng.uniform(1e4, 3e4, N),
            "exposure_flux": rng.uniform(1e11, 3e11, N),
        }
    )


def matrix(row, quantity: str) -> np.ndarray:
    exposure = 1.0 if quantity == "cnts" else row[f"exposure_{quantity}"]
    return exposure * np.array(
        [[row["psf_frac"], row["area"]], [row["psf_frac_bkg"], row["area_bkg"]]]
    )


@pytest.mark.parametrize("engine", ["exact", "scripted_engines:GammaEngine"])
def test_every_row_is_what_measure_says_of_it(engine):
    """To a relative 1e-6, far below what any bound is quoted to.

    Draws of the other engine depend on the row's own seed, so its results are compared in outcome.
    """
    table = sources()
    found = measure_table(table, engine=engine, progress=False)
    assert list(found["name"]) == list(table["name"])
    for i in range(0, N, 7):
        for quantity in ("cnts", "rate", "flux"):
            counts = [table["cnts"][i], table["cnts_bkg"][i]]
            (alone,) = measure(counts, matrix(table[i], quantity), 1, quantity, engine=engine)
            column = QUANTITIES[quantity].column
            assert found[f"{column}_outcome"][i] == alone.outcome
            assert found[column].unit == alone.unit
            if engine == "exact":
                for end, name in (("", "value"), ("_lolim", "lolim"), ("_hilim", "hilim")):
                    assert found[column + end][i].value == pytest.approx(
                        getattr(alone, name), rel=1e-6
                    )


@pytest.mark.parametrize(
    ("engine", "processes"), [("exact", 1), ("scripted_engines:GammaEngine", 2)]
)
def test_rows_do_not_depend_on_parts_or_processes(engine, processes, monkeypatch):
    whole = measure_table(sources(), ["rate"], engine=engine, progress=False)
    monkeypatch.setattr("mpiapp.tables._ROWS", 9)
    parts = measure_table(sources(), ["rate"], engine=engine, progress=False, processes=processes)
    for name in ("src_rate", "src_rate_hilim", "src_rate_rms"):
        assert whole[name].value == pytest.approx(parts[name].value, rel=1e-9)


def test_proportional_quantities_of_a_row_are_solved_once_and_agree(monkeypatch):
    """Where exposures of source and background are the same, a rate is the counts over it."""
    scaled = []

    def spy(*args):
        found = measure_batch(*args)
        scaled.append(found.method == b"scaled")
        return found

    monkeypatch.setattr(tables, "measure", spy)
    table = sources()
    found = measure_table(table, ["cnts", "rate"], progress=False)
    assert np.concatenate(scaled).sum() == N
    assert list(found["src_rate_outcome"]) == list(found["src_cnts_outcome"])
    for end in ("", "_lolim", "_hilim", "_mean"):
        counts = found[f"src_cnts{end}"].value
        rate = found[f"src_rate{end}"].value * table["exposure_rate"]
        assert rate == pytest.approx(counts, rel=1e-9)


def test_a_row_that_makes_no_sense_costs_no_other_row():
    table = Table(sources(), masked=True)
    whole = measure_table(table, ["cnts"], progress=False)
    table["cnts"] = table["cnts"].astype(float)
    table["cnts"][3], table["psf_frac"][5], table["area_bkg"][7] = -1.0, 1.2, 0.0
    table["cnts_bkg"].mask[9] = True
    found = measure_table(table, ["cnts"], progress=False)
    bad = found["src_cnts_outcome"] == Outcome.NULL_BAD_INPUT
    assert list(np.flatnonzero(bad)) == [3, 5, 7, 9]
    assert np.isnan(found["src_cnts_hilim"][bad]).all()
    same = found["src_cnts_hilim"][~bad].value
    assert same == pytest.approx(whole["src_cnts_hilim"][~bad].value, rel=1e-12)


def test_a_source_beyond_its_prior_climbs_the_ladder():
    table = sources()[:3]
    found = measure_table(table, ["cnts"], prior_upper={"source": 5.0}, progress=False)
    for i, row in enumerate(table):
        counts = [row["cnts"], row["cnts_bkg"]]
        F = matrix(row, "cnts")
        (alone,) = measure(counts, F, 1, "cnts", engine="exact", prior_upper={"source": 5.0})
        assert found["src_cnts_outcome"][i] == alone.outcome
        assert found["src_cnts_flags"][i] == alone.flags
    assert found["src_cnts_flags"].max() > 0


def test_columns_may_have_other_names_and_units():
    table = sources()
    expected = measure_table(table, ["rate"], progress=False)["src_rate_hilim"]
    table["exposure_rate"] = (table["exposure_rate"] / 1000.0) * u.ks
    table.rename_column("cnts", "COUNTS")
    found = measure_table(table, ["rate"], columns={"cnts": "COUNTS"}, progress=False)
    assert found["src_rate_hilim"].value == pytest.approx(expected.value, rel=1e-9)
    arrays = {name: table[name] for name in table.colnames}
    again = measure_table(arrays, ["rate"], columns={"cnts": "COUNTS"}, progress=False)
    assert again["src_rate_hilim"].value == pytest.approx(expected.value, rel=1e-9)


def without(*names) -> Table:
    table = sources()
    table.remove_columns(names)
    return table


def with_unit(name: str, unit) -> Table:
    table = sources()
    table[name].unit = unit
    return table


def with_column(name: str) -> Table:
    table = sources()
    table[name] = 1.0
    return table


@pytest.mark.parametrize(
    ("table", "quantities", "said"),
    [
        (
            without("area", "psf_frac"),
            None,
            r"table: 2 columns are missing .*\n  psf_frac: .*\n  area: ",
        ),
        (
            without(),
            ["photflux"],
            "quantity photflux needs exposure_photflux: the mean exposure map",
        ),
        (without(), ["colour"], "quantity 'colour'"),
        (with_unit("area", "arcsec2"), None, "column area: unit arcsec2, expected pix"),
        (with_unit("exposure_rate", "cm"), None, "column exposure_rate: unit cm, expected s"),
        (with_column("flux_hilim"), None, "column flux_hilim: the result has one of that name"),
    ],
)
def test_a_table_that_cannot_be_measured_is_refused(table, quantities, said):
    with pytest.raises(InputError, match=said):
        measure_table(table, quantities, progress=False)


def test_a_table_may_be_a_path_a_data_frame_or_a_dict(tmp_path):
    pandas = pytest.importorskip("pandas")
    table = sources()
    expected = measure_table(table, "rate", progress=False)["src_rate_hilim"]
    table.write(tmp_path / "t.fits")
    frame = pandas.DataFrame({name: list(table[name]) for name in table.colnames})
    text = {name: [str(v) for v in table[name]] for name in table.colnames}
    for given in (tmp_path / "t.fits", frame, text):
        found = measure_table(given, "rate", progress=False)
        assert np.array_equal(found["src_rate_hilim"], expected)
        assert list(found["name"]) == list(table["name"])


def test_energy_fluxes_need_the_energy_of_a_photon_alone():
    table = sources()
    table["exposure_photflux"] = table["exposure_rate"] * 400
    table["photon_energy_kev"] = 1.7
    del table["exposure_flux"]
    found = measure_table(table, ["photflux", "flux"], progress=False)
    erg = (1.7 * u.keV).to_value(u.erg)
    is_measured = found["flux_outcome"] == Outcome.MEASURED
    ratio = found["flux"] / found["photflux"]
    assert ratio.value[is_measured] == pytest.approx(erg, rel=1e-6)


def test_rows_that_cannot_be_used_are_told_once_a_kind():
    table = sources()
    table["psf_frac"][3:30] = 90.0
    with pytest.warns(tables.InputWarning) as warned:
        measure_table(table, "cnts", progress=False)
    (said,) = [str(w.message) for w in warned]
    assert said.startswith("table, row 3: column psf_frac: 90, expected a fraction up to 1 (and 26")


def test_results_may_have_a_prefix_and_replace_no_column():
    table = sources()
    table.rename_column("cnts", "SRC_CNTS")
    columns = {"cnts": "SRC_CNTS"}
    with pytest.raises(InputError, match="column SRC_CNTS: the result has one of that name"):
        measure_table(table, "cnts", columns=columns, progress=False)
    found = measure_table(table, "cnts", columns=columns, prefix="m_", progress=False)
    assert list(found["SRC_CNTS"]) == list(table["SRC_CNTS"])
    assert "m_src_cnts_hilim" in found.colnames


def test_a_table_without_rows_has_results_without_rows():
    assert "src_rate_hilim" in measure_table(sources()[:0], "rate", progress=False).colnames


def test_a_notebook_shows_results_with_four_digits_and_the_users_columns_as_they_are():
    table = {"ra": [123.4567891], "cnts": [51], "cnts_bkg": [692], "psf_frac": [0.939]}
    table |= {"psf_frac_bkg": [0.049], "area": [1791.0], "area_bkg": [42634.0]}
    found = measure_table(table, "cnts", progress=False)
    html = found._repr_html_()
    assert f"<td>{found['src_cnts'][0].value:.4g}</td>" in html and "<td>123.4567891</td>" in html
    assert str(found["src_cnts"][0].value) not in html
    assert found["src_cnts"].info.format is None  # so that files keep all digits
