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


def test_a_hats_catalog_has_the_rows_and_the_provenance_of_the_product_in_the_right_pixels(
    tmp_path,
):
    hats = pytest.importorskip("hats")
    pytest.importorskip("hats_import")
    # the centres of base pixels 0, 6 and 11 (Gorski et al. 2005, figure 3), but for half a degree
    table = product(ra=[45.0, 180.0, 315.0], dec=[42.0, 0.0, -42.0], outcome_b=[0, 13, 1])
    table["flux_aper_b"].mask[1] = table["outcome_b"].mask[2] = True
    table["flux_aper_b"].unit = "erg / (s cm2)"
    path = write_table(table, tmp_path / "catalog.hats")
    assert list(tmp_path.iterdir()) == [path]

    about = hats.read_hats(path).catalog_info
    assert (about.total_rows, about.catalog_type, about.ra_column) == (3, "object", "ra")
    assert about.extra_dict()["mpiapp_level"] == "master"
    listed = Table.read(path / "partition_info.csv")
    found = {}
    for order, pixel in listed.iterrows("Norder", "Npix"):
        (file,) = path.rglob(f"Norder={order}/*/Npix={pixel}.parquet")
        of = pyarrow.parquet.read_table(file)
        assert of.schema.field("flux_aper_b").metadata[b"unit"] == b"erg / (s cm2)"
        for row in of.to_pylist():
            assert row["_healpix_29"] >> 2 * (29 - order) == pixel
            found[row["name"]] = (pixel >> 2 * order, row["flux_aper_b"], row["outcome_b"])
    assert found == {"a": (0, 1e-15, 0), "b": (6, None, 13), "c": (11, 2e-15, None)}


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
