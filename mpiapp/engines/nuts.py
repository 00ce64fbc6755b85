"""What the engines that run NUTS share: phases, starting points, and checks of what came back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from ..catalog.problem import Problem
from ..posterior import SamplingError

PHASES = ("prior", "likelihood", "compile", "init", "sample")


def most_recent(models: OrderedDict, n_columns: int, make: Callable[[], object], kept: int):
    """The model of a shape, from the `kept` most recently used ones or made now."""
    if n_columns not in models:
        models[n_columns] = make()
        if len(models) > kept:
            models.popitem(last=False)
    models.move_to_end(n_columns)
    return models[n_columns]


def start_from_maximum_likelihood(problem: Problem) -> np.ndarray:
    """(n_columns,) the solution of F θ = C (Eq. 8), inside the prior box, on the unbounded scale.

    Solutions at or below zero start where the column adds one count to its apertures in all, those
    above the box at 0.9 of it.
    """
    ml = problem.maximum_likelihood()[0]
    one_count = 1.0 / problem.F.sum(axis=0)
    highest = 0.9 * problem.upper
    start = np.clip(np.maximum(ml, one_count), None, highest)
    return np.log(start) - np.log(problem.upper - start)


def stacked(
    chains: Sequence[np.ndarray], shape: tuple[int, int], problem: Problem, engine: str
) -> np.ndarray:
    """(n_chains, n_draws, n_columns) the chains as one array.

    Raises SamplingError if they are not of the `shape` (chains, draws) that was
    asked for, or if any draws are not finite or a chain is constant.
    """
    n_chains, n_draws = shape
    lengths = [len(values) for values in chains]
    if lengths != [n_draws] * n_chains:
        raise SamplingError(
            f"{engine} returned chains of {lengths} draws instead of {n_chains} × {n_draws}"
        )
    values = np.stack(chains)
    for column, label in enumerate(problem.labels):
        draws = values[:, :, column]
        if not np.isfinite(draws).all():
            raise SamplingError(f"{engine} returned draws of {label} that are not finite")
        if (np.ptp(draws, axis=1) == 0).any():
            raise SamplingError(f"{engine} returned a chain of {label} that never moved")
    return values
