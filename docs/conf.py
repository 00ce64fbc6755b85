"""Settings of the documentation; `make docs` builds it, warnings being errors."""

import inspect
import re
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from mpiapp import __version__, cli, config
from mpiapp.catalog.outcome import Flag, Outcome
from mpiapp.catalog.quantities import HARDNESS, TABLE_1, Matrix
from mpiapp.exit_code import ExitCode
from mpiapp.files import schema
from mpiapp.files.known_tables import known_tables
from mpiapp.products import columns
from mpiapp.starter import toml_value

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
html_static_path = ["static"]
html_css_files = ["site.css"]

# MathJax comes with the pages, so that equations need no network; this file needs no others.
mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax/tex-svg-full.js"
html_static_path.append(str(mathjax))
mathjax_path = mathjax.name

cli.EXAMPLES_HEADING = "examples::\n"  # a literal block: what is shown is to be copied

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the changelog's headings are Keep a Changelog's

autodoc_member_order = "bysource"
autodoc_mock_imports = ["mpi4py", "pymc3", "theano", "sherpa"]
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True


def setup(app) -> None:
    """Leave out what Python itself says of the fields of a NamedTuple."""
    app.connect(
        "autodoc-skip-member",
        lambda app, what, name, obj, skip, options: (
            True if str(getattr(obj, "__doc__", "")).startswith("Alias for field") else None
        ),
    )


def _columns(table: str) -> str:
    """The columns of a table of the results file, as a Markdown table."""
    columns, description = schema.TABLES[table]
    rows = [
        f"| `{c.name}` | {'text' if c.dtype == 'text' else c.dtype} | {_typeset(c.unit)} "
        f"| {c.description} |"
        for c in columns
    ]
    head = [f"{description}.", "", "| column | type | unit | what it is |", "|---|---|---|---|"]
    return "\n".join(head + rows)


def _catalog_columns() -> str:
    """The columns of the products, with the band and aperture as placeholders."""
    rows = ["| column and UCD | unit | what it is | option |", "|---|---|---|---|"]

    def add(c: columns.CatalogColumn, what: str, option: str = "") -> None:
        name, ucd = c.name, c.ucd.replace("em.X-ray", "em.X-ray…")
        name = name.removesuffix("_b") + "_x" if name.endswith("_b") else name
        rows.append(f"| `{name}` <br> `{ucd}` | {_typeset(c.unit)} | {what} | {option} |")

    options = {field: f"`{name}`" for name, field in columns.EXTRAS.items()}
    for quantity in (*TABLE_1, "powlaw", "powlaw_u"):  # for all models
        matrix = Matrix("b", "aper", quantity)
        for _, field, c in columns.columns([matrix], columns.fields(list(columns.EXTRAS))):
            add(c, c.description.split(",")[0], options.get(field, ""))
    for _, _, c in columns.significance_columns([Matrix("b", "aper", "photflux")]):
        add(c, c.description.split(", 0.5")[0])
    for pair in HARDNESS:
        for field in columns.HARDNESS_FIELDS:
            c = columns.hardness_column(pair, field)
            add(c, c.description)
    for c in columns.variability_columns("b"):
        add(c, c.description.split(":")[0], "`--mst3`")
    found = [c for pair in HARDNESS for c in columns.hardness_variability_columns(pair)]
    for c in (*found, columns.HARDNESS_FLAG):
        add(c, c.description, "`--mst3`")
    return "\n".join(rows)


def _typeset(unit: str | None) -> str:
    """A unit with its exponents raised."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return re.sub(r"-?\d+", lambda power: power[0].translate(raised), unit or "")


def _known_tables() -> str:
    """The tables that are read as they are, and which of their columns is which."""
    rows = ["| table | what is taken | in all rows |", "|---|---|---|"]
    for table in known_tables():
        if table.refused:
            continue
        taken = (
            f"{own}: {' or '.join(f'`{name}`' for name in names)}"
            for own, names in table.columns.items()
        )
        values = ", ".join(f"{own} {value}" for own, value in table.values.items())
        rows.append(f"| [{table.title}]({table.source}) | {'; '.join(taken)} | {values} |")
    return "\n".join(rows)


def _settings() -> str:
    """Every section of a configuration with its keys, from the model and its docstrings."""

    def section(name: str, model: type) -> list[str]:
        lines = ["", f"## {name}", "", inspect.getdoc(model), ""]
        lines += ["| key | values | default | what it is |", "|---|---|---|---|"]
        inner = []
        allowed = model.model_json_schema()["properties"]
        for key, field in model.model_fields.items():
            own = getattr(field.annotation, "__args__", [field.annotation])[0]
            if isinstance(own, type) and issubclass(own, BaseModel):
                place = f"{name[1:-1]}.{key}" if name.startswith("[") else key
                is_list = own is not field.annotation
                inner += section(f"[[{place}]]" if is_list else f"[{place}]", own)
                continue
            default = "required" if field.is_required() else f"`{toml_value(field.default)}`"
            default = "" if field.default is None else default
            row = (f"`{key}`", _values(allowed[key]), default, field.description.replace("\n", " "))
            lines.append(f"| {' | '.join(row)} |")
        return lines + inner

    return "\n".join(section("At the top", config.Config))


def _values(kind: dict) -> str:
    """What a key of the configuration may be, from its JSON schema."""
    if "anyOf" in kind:
        return _values(next(k for k in kind["anyOf"] if k.get("type") != "null"))
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if kind["type"] == "array":
        return "list of " + _values(kind["items"])
    words = {"string": "text", "integer": "whole number", "number": "number", "object": "table"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {kind[name]:.3g}" for name, sign in signs.items() if name in kind]
    return ", ".join([words[kind["type"]], *bounds])


myst_substitutions = {f"{name}_columns": _columns(name) for name in schema.TABLES}
myst_substitutions["settings"] = _settings()
myst_substitutions["known_tables"] = _known_tables()
myst_substitutions["catalog_columns"] = _catalog_columns()
myst_substitutions["exit_codes"] = "\n".join(
    ["| exit code | meaning |", "|---|---|"]
    + [f"| {code.value} | {code.description} |" for code in ExitCode]
)
myst_substitutions["outcomes"] = "\n".join(
    ["| code | outcome | the numbers | what to do |", "|---:|---|---|---|"]
    + [f"| {o.value} | {o.text} | {o.numbers} | {o.advice} |" for o in Outcome]
)
myst_substitutions["flags"] = "\n".join(
    ["| bit | flag | meaning | memo |", "|---:|---|---|---|"]
    + [f"| {flag.value} | {flag.text} | {flag.meaning} | {flag.memo} |" for flag in Flag]
)
