"""The key of a run and what follows from it: its id and its seed."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from .worklist import Matrix, Target


class RunKey(NamedTuple):
    """One sampling problem: level, target, band, aperture, quantity."""

    level: str
    target: str
    band: str
    aperture: str
    quantity: str

    @classmethod
    def of(cls, target: Target, matrix: Matrix) -> RunKey:
        """The key of one run of a target."""
        quantity, band, aperture = matrix
        return cls(target.level, target.name, band, aperture, quantity)

    def __str__(self) -> str:
        return " ".join(self)

    @property
    def run_id(self) -> int:
        """Stable 64-bit hash of the key, the same in every file."""
        return _hash64(str(self))

    def seed(self, job_seed: int) -> int:
        """Entropy of the run's draws: a function of the key and the configured seed only."""
        return _hash64(f"{job_seed} {self}")


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
