"""What is wrong with an input: one noun for it, from the file to the row in /failures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .quantities import Matrix


class InputError(ValueError):
    """Input that cannot be used; the message names the place and says what to do."""


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file, the key and the value."""


@dataclass(frozen=True)
class Fault:
    """A part of the input that cannot be used, and the runs that it concerns.

    `message` names file, HDU, column and row and says what to do.  `path` and
    `stack` are empty, the other attributes None, where the fault concerns all
    of them or is not known to belong to one.  `place` is the line or row of a table, and `kind`
    is the mistake that such faults have in common, for `grouped`.
    """

    message: str
    path: str = ""
    stack: str = ""
    bundle: str | None = None
    band: str | None = None
    aperture: str | None = None
    quantity: str | None = None
    master: str | None = None
    place: str = ""
    kind: str = ""

    @property
    def where(self) -> str:
        """The master source, file or stack that it is about."""
        return self.master or self.path or self.stack

    def concerns(self, bundle: str, matrix: Matrix) -> bool:
        """Whether a run of this bundle and matrix needs what is at fault."""
        mine = (self.bundle, self.band, self.aperture, self.quantity)
        return all(m is None or m == a for m, a in zip(mine, (bundle, *matrix)))


def grouped(faults: Iterable[Fault]) -> Iterator[str]:
    """A line for each kind of fault: the first in full, how many there are, and where some are."""
    kinds: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        kinds.setdefault((fault.path, fault.kind or fault.message), []).append(fault)
    for first, *others in kinds.values():
        places = [fault.place for fault in others[:3]] + ["…"] * (len(others) > 3)
        more = f" (and {len(others)} more: {', '.join(places)})" if others else ""
        yield first.message + more
