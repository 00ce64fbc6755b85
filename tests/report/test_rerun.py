"""Runs of a results file again: only with engines that the caller trusts."""

from __future__ import annotations

import pytest
from jobs import mpiapp, write_job

from mpiapp import engines
from mpiapp.catalog.fault import InputError
from mpiapp.files.results import open_results
from mpiapp.report.rerun import find_key, rerun

pytestmark = pytest.mark.slow


def test_an_engine_that_a_file_names_is_built_only_if_it_is_trusted_by_name(tmp_path, monkeypatch):
    assert mpiapp("run", write_job(tmp_path, "gamma")).returncode == 0
    built = []
    create = engines.create
    monkeypatch.setattr(engines, "create", lambda *a, **k: (built.append(a), create(*a, **k))[1])
    with open_results(tmp_path / "results.h5") as results:
        row = results.table("photometry")[0]
        key = find_key(results, str(row["run_id"]))
        for trusted in ("", "scripted_engines:LoggedEngine"):
            with pytest.raises(InputError, match="--engine scripted_engines:GammaEngine"):
                rerun(results, key, trusted)
        assert not built
        run, _ = rerun(results, key, "scripted_engines:GammaEngine")
    again = run.numbers[run.sources.index(row["component"].decode())]
    for name in ("value", "lolim", "hilim"):
        assert again[name] == row[name]
