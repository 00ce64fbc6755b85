"""The cache of compiled code is filled once for each engine, code and processor."""

from __future__ import annotations

import subprocess

from mpiapp.engines import create
from mpiapp.parallel import numba_cache
from mpiapp.parallel.warmup import warm_up
from mpiapp.parallel.world import World


def test_a_job_fills_the_cache_only_if_no_job_has(tmp_path, monkeypatch):
    started = []

    def run(command, check):
        started.append(command[-1])
        numba_cache.stamp(command[-1]).touch()

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", run)
    for name in ("gibbs", "gibbs", "exact", "gibbs"):
        warm_up(create(name), World(), None)
    assert started == ["gibbs", "exact"]


def test_an_engine_whose_code_is_all_there_is_not_warmed_up(tmp_path, monkeypatch):
    """Each rank loads what its runs need when they need it."""
    warmed = []
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: None)
    engine = create("gibbs")
    monkeypatch.setattr(type(engine), "warm", lambda self: warmed.append(type(self).__name__))

    class Mine(type(engine)):
        """It may have more to compile."""

    for filled in (False, True):
        if filled:
            numba_cache.stamp("gibbs").touch()
        for one in (engine, Mine()):
            warm_up(one, World(), None)
    assert warmed == ["GibbsEngine", "Mine", "Mine"]


def test_changed_code_is_compiled_anew(tmp_path, monkeypatch):
    code = tmp_path / "code.py"
    code.write_text("a = 1\n")
    monkeypatch.setattr(numba_cache, "_PACKAGE", tmp_path)
    before = numba_cache.stamp("gibbs")
    assert numba_cache.stamp("gibbs") == before
    code.write_text("a = 1.0\n")
    assert numba_cache.stamp("gibbs") != before
