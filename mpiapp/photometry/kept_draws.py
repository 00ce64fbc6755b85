"""Draws of chosen runs for others: which runs, where their files are, and who draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..catalog.problem import Problem
from ..catalog.runs import RunKey
from ..engines import create
from ..files.draws import RunDraws, draws_name, write_draws
from ..posterior import Draws, Posterior, SamplingError
from .ladder import Run


class KeptDraws(NamedTuple):
    """Files of the draws of the runs that patterns name, as in `[output] draws`.

    patterns : of shell wildcards, for the whole key of a run
    folder : where they go, a file for each run
    suffix : ".nc" or ".fits"
    """

    patterns: Sequence[str] = ()
    folder: str = ""
    suffix: str = ".nc"

    def write(self, key: RunKey, run: Run, seed: int) -> None:
        """Write the draws of a run that has a posterior; OSError as usual."""
        if run.posterior is None:
            return
        try:
            draws = drawn(run.problem, run.posterior, seed)
        except SamplingError:
            return  # its result stands without
        write_draws(
            run_draws(key, run, draws, seed), Path(self.folder) / draws_name(key, self.suffix)
        )


NO_DRAWS = KeptDraws()


def run_draws(key: RunKey, run: Run, draws: Draws, seed: int) -> RunDraws:
    """Draws with what names them."""
    problem = run.problem
    return RunDraws(key, draws.values, problem.sources, problem.backgrounds, draws.method, seed)


def drawn(problem: Problem, posterior: Posterior, seed: int) -> Draws:
    """A posterior's draws; those of gibbs for the same problem where its engine makes none."""
    if isinstance(posterior, Draws):
        return posterior
    return create("gibbs").sample(problem, np.random.SeedSequence([seed]))
