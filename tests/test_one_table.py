"""One table of counts, at every door and in every format: the same numbers, or the same refusal."""

from __future__ import annotations

import csv
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable, Table

from mpiapp import InputError, measure_table
from mpiapp.cli import main
from mpiapp.files.flat_tables import import_table
from mpiapp.files.prep3 import read_prep3

FORMATS = ["csv", "csv with units", "ecsv", "fits", "vot", "parquet", "QTable"]
WORDS = {"stack": "S", "obsid": "7", "instrument": "ACIS", "band": "b", "aperture": "aper"}


def sources(**units: str) -> Table:
    """40 sources, in the units of tables of others."""
    rng = np.random.default_rng(22)
    n = 40
    table = Table(
        {
            "component": [f"X{i}" for i in range(n)],
            "cnts": rng.poisson(rng.gamma(1.0, 15.0, n)),
            "cnts_bkg": rng.poisson(40.0, n),
            "psf_frac": rng.uniform(80.0, 95.0, n),
            "psf_frac_bkg": np.full(n, 3.0),
            "area": rng.uniform(20.0, 60.0, n),
            "area_bkg": np.full(n, 1000.0),
            "exposure_rate": rng.uniform(10.0, 30.0, n),
            "exposure_photflux": rng.uniform(0.03, 0.06, n),
            "photon_energy_kev": rng.uniform(1500.0, 2000.0, n),
        }
    )
    own = {"cnts": "count", "psf_frac": "%", "psf_frac_bkg": "%", "area": "arcsec2",
           "area_bkg": "arcsec2", "exposure_rate": "ks", "exposure_photflux": "m2",
           "photon_energy_kev": "eV"}  # fmt: skip
    for name, unit in (own | units).items():
        table[name].unit = unit
    for name, word in WORDS.items():
        table[name] = word
    return table


def in_our_units(table: Table) -> Table:
    """The same by hand, in the units of the documentation."""
    plain = Table({name: np.asarray(table[name]) for name in table.colnames})
    for name in ("psf_frac", "psf_frac_bkg"):
        plain[name] = plain[name] * 0.01
    for name in ("area", "area_bkg"):
        plain[name] = plain[name] * (1 / 0.492**2)
    plain["exposure_rate"] = plain["exposure_rate"] * 1e3
    plain["exposure_photflux"] = plain["exposure_photflux"] * 1e4 * plain["exposure_rate"]
    plain["photon_energy_kev"] = plain["photon_energy_kev"] * 1e-3
    return plain


def written(folder, table: Table, kind: str):
    """The table in a format, as a path or as Python's."""
    if kind == "QTable":
        return QTable(table)
    path = folder / f"t.{kind.partition(' ')[0]}"
    if path.suffix == ".csv":
        has_units = kind != "csv"
        table = table if has_units else in_our_units(table)
        head = [f"{c.name} ({c.unit})" if has_units and c.unit else c.name
                for c in table.itercols()]  # fmt: skip
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([head, *(list(map(repr_of, row)) for row in table)])
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        fields = [pyarrow.field(c.name, pyarrow.array(c.tolist()).type,
                                metadata={"unit": str(c.unit)} if c.unit else {})
                  for c in table.itercols()]  # fmt: skip
        arrays = [pyarrow.array(c.tolist()) for c in table.itercols()]
        parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields)), path)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table.write(path, format={"vot": "votable", "ecsv": "ascii.ecsv"}.get(kind, kind))
    return path


def repr_of(value: object) -> str:
    return repr(value.item()) if isinstance(value, (np.integer, np.floating)) else str(value)


COLUMNS = [f"{q}{end}" for q in ("src_cnts", "src_rate", "photflux", "flux")
           for end in ("", "_lolim", "_hilim", "_mean", "_outcome")]  # fmt: skip


@pytest.fixture(scope="module")
def expected() -> Table:
    return measure_table(in_our_units(sources()), progress=False)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_numbers_in_python(tmp_path, kind, expected):
    found = measure_table(written(tmp_path, sources(), kind), progress=False)
    reference = measure_table(sources(), progress=False)
    for name in COLUMNS:
        mine = np.asarray(found[name])
        # Units by hand round otherwise than by astropy.
        assert mine == pytest.approx(np.asarray(expected[name]), rel=1e-12)
        if kind != "csv":
            assert np.array_equal(mine, np.asarray(reference[name]))


@pytest.mark.parametrize("kind", FORMATS[:-1])
def test_every_format_gives_the_same_numbers_on_the_command_line(tmp_path, kind, expected):
    path, out = written(tmp_path, sources(), kind), tmp_path / "photometry.ecsv"
    assert main(["measure", str(path), str(out)]) == 0
    found = Table.read(out)
    mine = measure_table(path, progress=False)
    for name in COLUMNS:
        assert np.array_equal(np.asarray(found[name]), np.asarray(mine[name]))


@pytest.mark.parametrize("kind", FORMATS[:-1])
def test_every_format_is_imported_to_the_same_matrices(tmp_path, kind):
    path = written(tmp_path, sources(), kind)
    bundles = read_prep3(import_table(path, tmp_path / "out").files[0]).bundles
    table = in_our_units(sources())
    for row in table:
        F = bundles[row["component"]].F
        plainly = np.array([[row["psf_frac"], row["area"]], [row["psf_frac_bkg"], row["area_bkg"]]])
        assert F["b", "aper", "rate"] == pytest.approx(plainly * row["exposure_rate"], rel=1e-12)
        erg = (row["photon_energy_kev"] * u.keV).to_value(u.erg)
        ergs = plainly * row["exposure_photflux"] / erg
        assert F["b", "aper", "flux"] == pytest.approx(ergs, rel=1e-9)


REFUSALS = [
    ("exposure_rate", "cm", "exposure_rate: unit cm, expected s"),
    ("area", "arcsec", "area: unit arcsec, expected pix"),
    ("photon_energy_kev", "Angstrom", "photon_energy_kev: unit Angstrom, expected keV"),
    ("exposure_photflux", "cm2 / s", "exposure_photflux: unit cm2 / s, expected count photon-1"),
    ("cnts", "ct / s", "cnts: unit ct / s, expected count"),
]


@pytest.mark.parametrize(("column", "unit", "said"), REFUSALS, ids=[r[0] for r in REFUSALS])
@pytest.mark.parametrize("kind", [k for k in FORMATS if k not in ("csv", "parquet")])
def test_a_unit_that_cannot_be_converted_is_refused_at_every_door(
    tmp_path, capsys, kind, column, unit, said
):
    table = written(tmp_path, sources(**{column: unit}), kind)
    with pytest.raises(InputError, match=said):
        measure_table(table, progress=False)
    if kind != "QTable":
        with pytest.raises(InputError, match=said):
            import_table(table, tmp_path / "out")
        assert main(["measure", str(table), str(tmp_path / "o.vot")]) == 2
        assert said in capsys.readouterr().err
