"""A commented configuration for a folder of files: what `init` writes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from .config import Config, Input, folder_config


def starter(
    folder: str | Path, engine: str | None = None, bands: Mapping[str, Sequence[float]] = {}
) -> str:
    """The text of a configuration for a folder, with every other setting in a comment.

    bands : energies in keV of bands that are not the catalog's
    """
    config = Config.model_validate(folder_config(folder, engine))
    chosen = config.engine.name
    lines = [
        "# What to measure and how.  Lines that begin with `#` show the defaults.",
        *_keys(Config, {"bands": dict(bands)} if bands else {}),
        "",
        "[[input]]",
        *_keys(Input, config.input[0].model_dump(exclude_none=True)),
    ]
    for name in Config.model_fields:
        section = getattr(config, name)
        if not isinstance(section, BaseModel):
            continue
        given = {"output": ("results",), "engine": ("name",)}.get(name, ())
        lines += ["", f"# {_first_line(type(section))}", f"[{name}]"]
        lines += _keys(type(section), {key: getattr(section, key) for key in given})
        if name == "engine" and chosen in type(section).model_fields:
            own = getattr(section, chosen)
            lines += [
                "",
                f"# {_first_line(type(own))}",
                f"[engine.{chosen}]",
                *_keys(type(own), {}),
            ]
    return "\n".join(lines) + "\n"


def _keys(section: type[BaseModel], given: dict) -> list[str]:
    """A line for every key that is no section, after what it means; those not given in comments."""
    lines = []
    for key, field in section.model_fields.items():
        default = field.default
        if isinstance(default, BaseModel) or (field.is_required() and key not in given):
            continue
        lines += textwrap.wrap(field.description, 96, initial_indent="# ", subsequent_indent="# ")
        if key in given:
            lines.append(f"{key} = {toml_value(given[key])}")
        elif isinstance(default, (str, int, float, list, dict)):
            lines.append(f"# {key} = {toml_value(default)}")
        else:
            lines.append(f"# {key} =")
    return lines


def toml_value(value: object) -> str:
    """A value in TOML, a table in a line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)} = {toml_value(v)}' for k, v in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _first_line(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").partition("\n")[0]  # none with python -OO
