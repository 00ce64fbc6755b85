"""Engines: a problem and a seed in, a posterior out.  Nobody outside asks which engine it is."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np

from ..catalog.problem import Problem
from ..posterior import Draws, Posterior, SamplingError

__all__ = ["ENGINES", "Draws", "Engine", "SamplingError", "create"]


class Engine(Protocol):
    """What every engine offers.

    `sample` depends on its arguments alone: the same problem and the same seed
    give the same draws whatever was sampled before, on any rank.
    `typical_seconds` is roughly what a run of one source in one obsid takes; it
    sizes the units of work and the estimates of `mpiapp plan`, nothing else.
    `compiles_per_rank` is true where processes must not share compiled code.
    """

    name: str
    typical_seconds: float
    compiles_per_rank: bool

    def warm(self) -> None:
        """Compile what any problem needs, for the processes that start later."""
        ...

    def sample(
        self, problem: Problem, seed: np.random.SeedSequence, *, tune_factor: int = 1
    ) -> Posterior:
        """Find the posterior, as draws or as marginals; raise SamplingError if that fails."""
        ...


ENGINES = {
    "pymc3": "mpiapp.sampling.pymc3_nuts:Pymc3Engine",
    "gibbs": "mpiapp.sampling.gibbs:GibbsEngine",
    "exact": "mpiapp.sampling.exact:ExactEngine",
    "get_draws": "mpiapp.sampling.get_draws:GetDrawsEngine",
}


def create(name: str, **settings) -> Engine:
    """The engine called `name` with its own settings.

    Beside the names in ENGINES, "package.module:Class" loads an engine from
    elsewhere.  Raises ValueError for an unknown name.
    """
    if name not in ENGINES and ":" not in name:
        raise ValueError(f"unknown engine {name!r}: expected one of {', '.join(ENGINES)}")
    module, _, attribute = ENGINES.get(name, name).partition(":")
    return getattr(import_module(module), attribute)(**settings)
