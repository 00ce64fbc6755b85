"""Engines: a problem and a seed in, a posterior out."""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from ..catalog.problem import Problem
from ..posterior import Draws, Posterior, SamplingError

__all__ = [
    "ENGINES",
    "Draws",
    "Engine",
    "EngineMissing",
    "SamplingError",
    "create",
    "installed",
    "require",
]


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
    "pymc3": "mpiapp.engines.pymc3_nuts:Pymc3Engine",
    "pymc": "mpiapp.engines.pymc_nuts:PymcEngine",
    "gibbs": "mpiapp.engines.gibbs:GibbsEngine",
    "exact": "mpiapp.engines.exact:ExactEngine",
    "get_draws": "mpiapp.engines.get_draws:GetDrawsEngine",
}

# The package that an engine draws with where that is not mpiapp itself, and how to get it.
_PACKAGES = {
    "pymc3": ("pymc3", "pip install 'mpiapp[pymc3]' on Python 3.10"),
    "pymc": ("nutpie", "pip install 'mpiapp[pymc]' on Python 3.12 or later"),
    "get_draws": ("sherpa", "pip install 'mpiapp[csc20]'"),
}


class EngineMissing(ImportError):
    """The package that an engine draws with is not installed; says which engines are there."""


def installed() -> list[str]:
    """The names of the engines that can draw in this Python."""
    return [n for n in ENGINES if n not in _PACKAGES or find_spec(_PACKAGES[n][0])]


def require(name: str) -> None:
    """Raise EngineMissing if the engine called `name` cannot draw here."""
    if name in _PACKAGES and name not in installed():
        package, remedy = _PACKAGES[name]
        raise EngineMissing(
            f"engine {name}: Python {platform.python_version()} has no {package} ({remedy}); "
            f"take one that is here: {', '.join(installed())}"
        )


def create(name: str, **settings) -> Engine:
    """The engine called `name` with its own settings.

    Beside the names in ENGINES, "package.module:Class" loads an engine from
    elsewhere.  Raises ValueError for an unknown name.
    """
    if name not in ENGINES and ":" not in name:
        raise ValueError(f"unknown engine {name!r}: expected one of {', '.join(ENGINES)}")
    module, _, attribute = ENGINES.get(name, name).partition(":")
    return getattr(import_module(module), attribute)(**settings)
