"""Engines: a problem and a seed in, draws out.  Nobody outside asks which engine it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..catalog.problem import Problem
from .draws import Draws, SamplingError

__all__ = ["ENGINES", "Draws", "Engine", "SamplingError", "create"]


class Engine(Protocol):
    """What every engine offers.

    `sample` depends on its arguments alone: the same problem and the same seed
    give the same draws whatever was sampled before, on any rank.
    """

    name: str

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Draws:
        """Draw from the posterior; raise SamplingError if that fails."""
        ...


ENGINES = ("pymc3", "gibbs")


def create(name: str, **settings) -> Engine:
    """The engine called `name` with its own settings; raises ValueError for an unknown name."""
    if name == "pymc3":
        from .pymc3_nuts import Pymc3Engine

        return Pymc3Engine(**settings)
    if name == "gibbs":
        from .gibbs import GibbsEngine

        return GibbsEngine(**settings)
    raise ValueError(f"unknown engine {name!r}: expected one of {', '.join(ENGINES)}")
