"""What is said of a part of an input file that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rejection:
    """A part of a file that cannot be used, and the runs that it concerns.

    `message` names file, HDU, column and row and says what to do.  The other
    attributes are None where the problem concerns all of them or is not known
    to belong to one.
    """

    message: str
    bundle: str | None = None
    band: str | None = None
    aperture: str | None = None
    quantity: str | None = None
    master: str | None = None

    def concerns(self, bundle: str, quantity: str, band: str, aperture: str) -> bool:
        """Whether a run of this bundle and matrix needs what was rejected."""
        asked = (bundle, quantity, band, aperture)
        mine = (self.bundle, self.quantity, self.band, self.aperture)
        return all(m is None or m == a for m, a in zip(mine, asked))
