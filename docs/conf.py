"""Settings of the documentation; `make docs` builds it, warnings being errors."""

from mpiapp import __version__
from mpiapp.files import schema

project = "mpiapp"
author = "The mpiapp developers"
copyright = "2026, The mpiapp developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinxarg.ext",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mpiapp {__version__}"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the changelog's headings are Keep a Changelog's

autodoc_member_order = "bysource"
autodoc_mock_imports = ["mpi4py", "pymc3", "theano", "sherpa"]
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True


def _columns(table: str) -> str:
    """The columns of a table of the results file, as a Markdown table."""
    columns, description = schema.TABLES[table]
    rows = [
        f"| `{c.name}` | {'text' if c.dtype == 'text' else c.dtype} | {c.unit or ''} "
        f"| {c.description} |"
        for c in columns
    ]
    head = [f"{description}.", "", "| column | type | unit | what it is |", "|---|---|---|---|"]
    return "\n".join(head + rows)


myst_substitutions = {f"{name}_columns": _columns(name) for name in schema.TABLES}
