"""The suite itself: what its files must not do, and what nothing else runs."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest


def test_no_test_runs_a_job_in_its_own_process():
    """Under mpiexec it would wait for ranks that have other tests."""
    here = Path(__file__)
    in_process = 'main(["' + 'run"'
    assert not [p for p in here.parent.rglob("test_*.py") if in_process in p.read_text()]


BENCHMARKS = sorted((Path(__file__).parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmarks_import_what_is_there(path):
    """Which nothing else runs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mpiapp"):
            module = importlib.import_module(node.module)
            for name in node.names:
                assert hasattr(module, name.name) or find_spec(f"{node.module}.{name.name}")
