"""Products partitioned by position."""

import numpy as np
import pyarrow.parquet
import pytest
from astropy.table import MaskedColumn, Table

from mpiapp.catalog.fault import InputError
from mpiapp.products.export import write_table

ROWS = {"name": ["a", "b", "c"], "ra": [10.0, 20.0, 200.0], "flux_aper_b": [1e-15, 0.0, 2e-15]}


def product(**more):
    table = Table(masked=True, meta={"level": "master"})
    for name, values in (ROWS | more).items():
        table[name] = MaskedColumn(values, mask=[False] * 3, description=name, meta={"ucd": ""})
    return table


def test_a_hats_catalog_has_the_rows_of_the_product(tmp_path):
    hats = pytest.importorskip("hats")
    pytest.importorskip("hats_import")
    table = product(dec=[1.0, -2.0, 30.0])
    table["flux_aper_b"].mask[1] = True
    path = write_table(table, tmp_path / "catalog.hats")
    assert hats.read_hats(path).catalog_info.total_rows == 3
    parts = [pyarrow.parquet.read_table(p).to_pylist() for p in path.rglob("Npix=*.parquet")]
    found = {row["name"]: row["flux_aper_b"] for part in parts for row in part}
    assert found == {"a": 1e-15, "b": None, "c": 2e-15}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (product(), "--carry ra,dec"),
        (product(dec=[1.0, np.nan, 2.0]), "column dec is NULL in 1 rows, row 2 the first"),
    ],
)
def test_a_product_without_positions_is_refused(tmp_path, table, said):
    with pytest.raises(InputError, match=said):
        write_table(table, tmp_path / "catalog.hats")


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "catalog.hats").mkdir()
    with pytest.raises(InputError, match="is there already"):
        write_table(product(dec=[1.0, 2.0, 3.0]), tmp_path / "catalog.hats")
