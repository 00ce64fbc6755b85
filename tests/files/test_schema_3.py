"""Results of schema 3 are read, merged and compared as those of the present one."""

from __future__ import annotations

import h5py
import numpy as np
from results_files import batch, values

from mpiapp.files.merge import merge
from mpiapp.files.results import open_results, work_path
from mpiapp.files.schema import TABLES
from mpiapp.files.writer import Writer


def as_schema_3(new, old) -> None:
    """The same results as schema 3 had them."""
    text = h5py.string_dtype("utf-8")
    with open_results(new) as results, h5py.File(old, "w") as file:
        file.attrs["schema_version"] = 3
        first = np.cumsum(results.table("runs")["n_rows"]) - results.table("runs")["n_rows"]
        for name, (columns, _) in TABLES.items():
            rows = results.table(name)
            kinds = [(c.name, text if c.dtype == "text" else c.dtype) for c in columns]
            if name == "runs":
                kinds.insert(-1, ("first_row", "u8"))
            elif name == "mpdf":
                kinds = [(n, "u8" if n == "row" else kind) for n, kind in kinds]
            out = np.empty(len(rows), np.dtype(kinds))
            for column in rows.dtype.names:
                out[column] = rows[column]
            if name == "runs":
                out["first_row"] = first
            elif name == "mpdf":
                out["row"] = results.mpdf_rows()
            file.create_dataset(
                name, data=out, maxshape=(None,), chunks=(64,), shuffle=True, compression="gzip"
            )


def test_results_of_schema_3_are_read_and_merged(tmp_path):
    new, old = tmp_path / "new.h5", tmp_path / "old.h5"
    writer = Writer(work_path(new))
    writer.add("jobs", [(0, "día", *[""] * 2, 0.0, *[""] * 7, "", 30)])
    one = batch(0, 30)
    writer.append(one._replace(failures=[(3, "where", "type", "message", "trace\nback")]))
    writer.publish(new)
    as_schema_3(new, old)
    for name in TABLES:
        with open_results(new) as a, open_results(old) as b:
            assert str(a.table(name).tolist()) == str(b.table(name).tolist())
            assert a.table(name).dtype == b.table(name).dtype
            pieces = [len(rows) for rows in b.chunks(name, 7)]
            assert sum(pieces) == a.n_rows(name)
    assert values(old) == values(new)
    assert merge(tmp_path / "all.h5", [old]).n_runs == 30
    assert values(tmp_path / "all.h5") == values(new)
