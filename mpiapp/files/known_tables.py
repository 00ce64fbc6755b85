"""Tables of missions and services whose names of columns are known (known_tables.toml)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ..toml import tomllib

RECIPROCAL = "1/"
_PLACEHOLDER = re.compile(r"\{(band|aperture)\}")
Place = dict[str, str]  # of an aperture pair in a wide table: its band, and its aperture


@dataclass(frozen=True)
class KnownTable:
    """The names of a table's columns, as known_tables.toml explains them.

    Attributes
    ----------
    columns : own column -> the names that it may have, with placeholders; 1/NAME for a reciprocal
    values, why : own column -> what it is in all rows where no column has it, and why
    band, aperture : regular expressions of what the placeholders stand for
    header : own column -> keywords
    is_band_in_name : whether the file's name ends with the band (_broad, _0.5-2.0)
    area_unit : of areas without a unit
    """

    title: str
    source: str
    columns: Mapping[str, list[str]] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    known_by: tuple[str, ...] = ()
    band: str = r"\w+"
    aperture: str = r"\w+"
    header: Mapping[str, list[str]] = field(default_factory=dict)
    is_band_in_name: bool = False
    area_unit: str = "pix"
    advice: str = "add them"
    refused: str = ""

    @property
    def is_wide(self) -> bool:
        """Whether bands are in the names of columns."""
        return any(map(_PLACEHOLDER.search, self.known_by))

    def places(self, names: Collection[str]) -> list[Place]:
        """The bands and apertures that names of columns tell, in their order."""
        first, *others = self.known_by
        found: dict[tuple, Place] = {}
        lower = {name.lower() for name in names}
        pattern = self._pattern(first)
        for match in filter(None, map(pattern.fullmatch, names)):
            place = {
                kind: _spelled(text, getattr(self, kind))
                for kind, text in match.groupdict().items()
            }
            if all(fill(other, place).lower() in lower for other in others):
                found.setdefault(tuple(place.values()), place)
        return list(found.values())

    def find(self, own: str, place: Place, has: Callable[[str], bool]) -> tuple[str | None, bool]:
        """The name in the table of an own column, None for none; and whether it is a reciprocal."""
        for name in self.columns.get(own, ()):
            bare = fill(name, place).removeprefix(RECIPROCAL)
            if has(bare):
                return bare, name.startswith(RECIPROCAL)
        return None, False

    def _pattern(self, name: str) -> re.Pattern:
        """What matches the names that a name with placeholders stands for."""
        parts = _PLACEHOLDER.split(name)
        parts[::2] = map(re.escape, parts[::2])
        parts[1::2] = [f"(?P<{kind}>{getattr(self, kind)})" for kind in parts[1::2]]
        return re.compile("".join(parts), re.IGNORECASE)


def fill(name: str, place: Place) -> str:
    """A name of a column with its placeholders filled."""
    return _PLACEHOLDER.sub(lambda match: place.get(match[1], match[0]), name)


def with_placeholders(columns: Mapping[str, str]) -> KnownTable | None:
    """The wide table that a user's map tells of by {band} in the name of the counts."""
    if not _PLACEHOLDER.search(columns.get("cnts", "")):
        return None
    told = {"cnts": columns["cnts"]} | columns  # the counts first
    names = (name.removeprefix(RECIPROCAL) for name in told.values())
    return KnownTable("as --map tells", "", known_by=tuple(filter(_PLACEHOLDER.search, names)))


@lru_cache(maxsize=1)
def known_tables() -> tuple[KnownTable, ...]:
    """All of known_tables.toml, in its order."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return tuple(_tables(tomllib.loads(text)))


def _tables(content: Mapping[str, dict]) -> Iterator[KnownTable]:
    for entry in content.values():
        columns = {
            own: names if isinstance(names, list) else [names]
            for own, names in entry.get("columns", {}).items()
        }
        known_by = tuple(entry.get("known_by", columns.get("cnts", ())))
        yield KnownTable(**(entry | {"columns": columns, "known_by": known_by}))


def _spelled(text: str, pattern: str) -> str:
    """A band or aperture in the capitals of its pattern."""
    spellings = (text, text.lower(), text.upper(), text.capitalize())
    return next((t for t in spellings if re.fullmatch(pattern, t)), text)
