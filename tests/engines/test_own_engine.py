"""The engine that the documentation shows: it runs as shown, and is right where counts are many."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
from documents import ROOT, blocks
from jobs import environment, photometry, table, write_job


def test_the_engine_of_the_documentation_measures_what_gibbs_measures(tmp_path):
    """A mode of 1000 draws is known to 0.05 half-widths, its bounds likewise."""
    page = [ROOT / "docs" / "own-engine.md"]
    (code,) = (b.text for b in blocks("python", page) if "class GaussEngine" in b.text)
    (tmp_path / "mine.py").write_text(code)
    env = environment()
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    bright = table(1, 2).replace(",5,30,", ",900,300,").replace(",12,31,", ",2500,300,")
    rows = {}
    for engine in ("mine:GaussEngine", "gibbs"):
        config = write_job(tmp_path, engine, text=bright)
        results = tmp_path / f"{engine.partition(':')[0]}.h5"
        command = [sys.executable, "-m", "mpiapp", "run", config, "--output", results]
        subprocess.run(command, env=env, check=True)
        rows[engine] = photometry(results)
    ours, theirs = rows.values()
    assert len(ours) == len(theirs) > 0
    half = (theirs["hilim"] - theirs["lolim"]) / 2
    for name in ("value", "lolim", "hilim"):
        assert np.abs((ours[name] - theirs[name]) / half).max() < 0.3
