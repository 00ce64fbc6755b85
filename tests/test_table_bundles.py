"""`measure_table` of bundles: sources in each other's apertures, a row each."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.table import QTable, Table
from jobs import mpiapp, photometry

from mpiapp import InputError, Outcome, measure_table
from mpiapp.catalog.quantities import QUANTITIES
from mpiapp.files.flat_tables import import_table

SIZES = [1, 2, 3, 1, 2, 9]
WIDTH = max(SIZES)


def crowd() -> Table:
    """Bundles b0, b1, … of SIZES sources, their rows mixed."""
    rng = np.random.default_rng(5)
    rows = []
    for b, n in enumerate(SIZES):
        own = {"cnts_bkg": rng.poisson(60), "area_bkg": 900.0, "exposure_rate_bkg": 21e3}
        exposure = rng.uniform(1.9e4, 2.1e4)
        for i in range(n):
            fractions = np.full(WIDTH, np.nan)
            fractions[:n] = rng.uniform(0.02, 0.05, n)
            fractions[i] = rng.uniform(0.85, 0.95)
            rows.append(
                {"bundle": f"b{b}", "component": f"c{b}{i}", "cnts": rng.poisson(9.0 + 20.0 * i)}
                | {"psf_frac": fractions, "psf_frac_bkg": rng.uniform(0.01, 0.03)}
                | {"area": rng.uniform(20.0, 40.0), "exposure_rate": exposure}
                | {"exposure_flux": exposure * 1e7}
                | own
            )
    table = Table(rows)
    return table[rng.permutation(len(table))]


def lines(table: Table) -> str:
    """The same as `mpiapp import` takes it, each matrix written out (Eq. 1)."""
    found = []
    for name in dict.fromkeys(table["bundle"]):
        rows = table[table["bundle"] == name]
        n, F = len(rows), {}
        plainly = [[*row["psf_frac"][:n].tolist(), float(row["area"])] for row in rows]
        plainly.append([*rows["psf_frac_bkg"].tolist(), float(rows["area_bkg"][0])])
        for quantity, ends in (("cnts", None), ("rate", "_bkg"), ("flux", "")):
            exposures = [1.0] * (n + 1)
            if ends is not None:
                column = f"exposure_{quantity}"
                exposures = [*rows[column].tolist(), float(rows[column + ends][0])]
            F[quantity] = [[f * e for f in row] for row, e in zip(plainly, exposures)]
        found.append(
            {"obsid": "1", "stack": "S", "bundle": str(name), "instrument": "ACIS", "band": "b"}
            | {"aperture": "aper", "components": list(map(str, rows["component"]))}
            | {"counts": [*rows["cnts"].tolist(), int(rows["cnts_bkg"][0])], "F": F}
        )
    return "\n".join(map(json.dumps, found))


@pytest.mark.mpi
def test_the_numbers_are_bit_for_bit_those_of_a_job(tmp_path):
    table = crowd()
    (tmp_path / "crowd.jsonl").write_text(lines(table))
    import_table(tmp_path / "crowd.jsonl", tmp_path / "prep3")
    (tmp_path / "job.toml").write_text(
        f"[[input]]\nprep3 = '{tmp_path}/prep3'\nlevels = ['obsid']\n"
        f"[output]\nresults = '{tmp_path}/results.h5'\n[engine]\nname = 'exact'\n"
    )
    assert mpiapp("run", tmp_path / "job.toml").returncode == 0
    found = measure_table(table, processes=2, progress=False)
    assert found["component"].tolist() == table["component"].tolist()
    place = {name: i for i, name in enumerate(table["component"])}
    rows = photometry(tmp_path / "results.h5")
    assert len(rows) == 3 * len(table)
    for row in rows:
        mine = found[place[row["component"].decode()]]
        column = QUANTITIES[row["quantity"].decode()].column
        assert mine[f"{column}_outcome"] == row["outcome"]
        assert mine[f"{column}_flags"] == row["flags"]
        for end, name in (("", "value"), ("_lolim", "lolim"), ("_hilim", "hilim")):
            assert mine[column + end].value == row[name]
        for name in ("mode", "mean", "rms"):
            assert mine[f"{column}_{name}"].value == row[name]


def test_rows_of_another_place_are_another_bundle():
    one = crowd()
    one = one[np.isin(one["bundle"], ["b1", "b2"])]
    one["band"], one["obsid"] = "s", 7
    two, three = one.copy(), one.copy()
    two["band"], three["obsid"] = "h", 8
    alone = measure_table(one, ["cnts"], progress=False)
    both = Table(np.concatenate([t.as_array() for t in (one, two, three)]))
    found = measure_table(both, ["cnts"], progress=False)
    for end in ("", "_hilim", "_rms"):
        expected = np.tile(alone[f"src_cnts{end}"].value, 3)
        assert np.array_equal(found[f"src_cnts{end}"].value, expected)


def test_fractions_may_be_lists_of_each_bundles_own_length():
    table = crowd()
    expected = measure_table(table, ["rate"], progress=False)
    ragged = np.empty(len(table), object)
    for i, row in enumerate(table):
        ragged[i] = row["psf_frac"][~np.isnan(row["psf_frac"])].tolist()
    table["psf_frac"] = ragged
    found = measure_table(table, ["rate"], progress=False)
    assert np.array_equal(found["src_rate_hilim"], expected["src_rate_hilim"])


def test_single_sources_need_no_vectors():
    table = crowd()
    table = table[np.isin(table["bundle"], ["b0", "b3"])]
    expected = measure_table(table, progress=False)
    table["psf_frac"] = table["psf_frac"][:, 0]
    with_bundle = measure_table(table, progress=False)
    del table["bundle"]
    without = measure_table(table, progress=False)
    for found in (with_bundle, without):
        assert np.array_equal(found["flux_hilim"], expected["flux_hilim"])


def changed(column: str, value) -> Table:
    """The crowd with another value in one row of bundle b2."""
    table = crowd()
    row = int(np.flatnonzero(table["bundle"] == "b2")[1])
    table[column][row] = value
    return table


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cnts", -1),
        ("cnts_bkg", 1),
        ("area_bkg", 901.0),
        ("exposure_rate_bkg", 1.0),
        ("psf_frac", [0.03, 0.9, 0.03, 0.01, *[np.nan] * 5]),
    ],
)
def test_what_makes_no_sense_costs_its_bundle_alone(column, value):
    whole = measure_table(crowd(), ["rate"], progress=False)
    found = measure_table(changed(column, value), ["rate"], progress=False)
    bad = np.array(found["bundle"] == "b2")
    assert (found["src_rate_outcome"][bad] == Outcome.NULL_BAD_INPUT).all()
    assert np.isnan(found["src_rate"][bad]).all()
    assert np.array_equal(found["src_rate_hilim"][~bad], whole["src_rate_hilim"][~bad])


def scalar() -> Table:
    table = crowd()
    table.replace_column("psf_frac", np.full(len(table), 0.9))
    return table


def masked() -> Table:
    table = Table(crowd(), masked=True)
    table["bundle"].mask[4] = True
    return table


def without_bundle() -> Table:
    table = crowd()
    del table["bundle"]
    return table


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            scalar(),
            "column psf_frac, row .*: of 2 sources in a bundle each needs 2 numbers, .* not 1",
        ),
        (without_bundle(), "column bundle is missing"),
        (masked(), "column bundle, row 4: no value"),
    ],
)
def test_a_table_that_does_not_tell_its_bundles_is_refused(table, said):
    with pytest.raises(InputError, match=said):
        measure_table(QTable(table), progress=False)
