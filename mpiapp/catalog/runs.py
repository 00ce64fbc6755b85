"""The key of a run and what follows from it: its id and its seed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from .quantities import Matrix


class RunKey(NamedTuple):
    """One sampling problem: level, target, band, aperture, quantity."""

    level: str
    target: str
    band: str
    aperture: str
    quantity: str

    def __str__(self) -> str:
        return " ".join(self)

    @property
    def matrix(self) -> Matrix:
        """Which matrix of the target's bundles."""
        return Matrix(self.band, self.aperture, self.quantity)

    @property
    def run_id(self) -> int:
        """Stable 64-bit hash of the key, the same in every file."""
        return _hash64(str(self))

    def seed(self, job_seed: int) -> int:
        """Entropy of the run's draws: a function of the key and the configured seed only."""
        return _hash64(f"{job_seed} {self}")


def ids_and_seeds(
    level: str, target: str, matrices: Iterable[Matrix], job_seed: int
) -> tuple[list[int], list[int]]:
    """`run_id` and `seed` of the keys of several runs of a target."""
    texts = [" ".join((level, target, *matrix)) for matrix in matrices]
    return [_hash64(t) for t in texts], [_hash64(f"{job_seed} {t}") for t in texts]


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
