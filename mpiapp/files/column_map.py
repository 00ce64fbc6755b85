"""The user's map of a table of counts: which of its columns is which, and what all rows share."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..catalog.fault import InputError
from ..toml import tomllib
from .own_columns import OWN
from .regular import open_regular


@dataclass(frozen=True)
class Given:
    """The user's map of a table: own column -> its column, own column -> value of all rows."""

    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        for name in (*self.columns, *self.values):
            if name not in OWN:
                raise InputError(
                    f"{name} is no column of a table of counts{did_you_mean(name, OWN)}; expected "
                    f"one of {', '.join(OWN)}"
                )

    @classmethod
    def of(
        cls, file: str | os.PathLike | None, columns: Iterable[str], values: Iterable[str]
    ) -> Given:
        """From a TOML file with tables `columns` and `values`, and texts like "cnts=COUNTS"."""
        found: dict[str, dict] = {"columns": {}, "values": {}}
        if file is not None:
            found |= _mapping_file(file)
        for name, texts in (("columns", columns), ("values", values)):
            found[name] = dict(found[name]) | dict(_pair(text) for text in texts)
        return cls(found["columns"], found["values"])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one, as a question; empty if none is."""
    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower, 1, 0.7)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InputError(f"{text!r}: expected NAME=VALUE, for example cnts=COUNTS")
    return name.strip(), value.strip()


def _mapping_file(path: str | os.PathLike) -> dict[str, dict]:
    with open_regular(path) as file:
        try:
            content = tomllib.loads(file.read().decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not valid TOML ({error})") from error
    for name, table in content.items():
        kinds = (str,) if name == "columns" else (str, int, float)
        if name not in ("columns", "values") or not isinstance(table, dict):
            raise InputError(f"{path}: {name}: expected the tables [columns] and [values]")
        for key, value in table.items():
            if not isinstance(value, kinds):
                raise InputError(f"{path}: {name}.{key} is {value!r}, expected one value")
    return content
