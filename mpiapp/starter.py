"""A configuration for a folder of files: what `init` writes, and `run` takes for the folder."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from pydantic import BaseModel

from .config import Config, ConfigError, Input

_PATTERN = "*prep3.fits"


def folder_config(folder: str | Path, engine: str | None = None) -> dict:
    """What `Config` takes to measure all files of a folder into its results.h5.

    The prep3 files are those of the folder or of its folder `prep3`, the mst3 file is
    `mst3.fits` beside either.  Raises ConfigError if there is no prep3 file.
    """
    folder = Path(folder)
    places = [place for place in (folder, folder / "prep3") if any(place.glob(_PATTERN))]
    if not places:
        raise ConfigError(
            f"{folder}: neither here nor in its folder prep3 is a file {_PATTERN}; name the folder "
            "of the files, or make some with `mpiapp import`"
        )
    found: dict = {"prep3": str(places[0])}
    masters = [place / "mst3.fits" for place in (places[0], folder)]
    for path in masters:
        if path.exists():
            found["mst3"] = str(path)
    config = {"input": [found], "output": {"results": str(folder / "results.h5")}}
    return config | ({"engine": {"name": engine}} if engine else {})


def starter(folder: str | Path, engine: str | None = None) -> str:
    """The text of a configuration for a folder, with every other setting in a comment."""
    config = Config.model_validate(folder_config(folder, engine))
    chosen = config.engine.name
    lines = [
        "# What to measure and how.  Lines that begin with `#` show the defaults.",
        *_keys(Config, {}),
        "",
        "[[input]]",
        *_keys(Input, config.input[0].model_dump(exclude_none=True)),
    ]
    for name in Config.model_fields:
        if name in ("seed", "input"):
            continue
        section = getattr(config, name)
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
            lines.append(f"{key} = {json.dumps(given[key], ensure_ascii=False)}")
        elif isinstance(default, (str, int, float, list)):
            lines.append(f"# {key} = {json.dumps(default, ensure_ascii=False)}")
        else:
            lines.append(f"# {key} =")
    return lines


def _first_line(section: type[BaseModel]) -> str:
    return section.__doc__.split("\n")[0]
