"""The notebook of the documentation: its cells run, and what they show is fit for a document."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "first-look.ipynb"


def shown(source: str, names: dict):
    """Run a cell; the value of its last expression, as a notebook shows it."""
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


@pytest.fixture(scope="module")
def cells():
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_its_cells_run_one_after_the_other_without_bars_of_progress(cells, capsys):
    pytest.importorskip("matplotlib")
    names: dict = {}
    values = [shown("".join(cell["source"]), names) for cell in cells]
    assert capsys.readouterr() == ("", "")
    pages = [page for value in values if (page := getattr(value, "_repr_html_", str)())]
    assert ["<svg" in page for page in pages] == [True, True, False]  # two results and a table
    # a corner of two sources and a background: pairs, marginals and traces
    (corner,) = (value for value in values if hasattr(value, "savefig"))
    assert len(corner.axes) == 9 and corner._repr_png_().startswith(b"\x89PNG")
    assert set(values[-1]) <= {"measured", "upper limit"}


def test_it_holds_no_results_of_another_version(cells):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
