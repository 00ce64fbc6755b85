"""Photometry of many problems at once: those that need no ladder.

The rules are those of `ladder`, and so are the numbers; what is pegged or may be, what fails
and what no aperture sees is left for it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..catalog.stack import Stack
from ..posterior import Smoothing, StackSummary
from .ladder import Policy
from .rules import judge, reach


@runtime_checkable
class StackEngine(Protocol):
    """An engine that can answer a stack of problems at once, as it would answer each of them."""

    def summarise(self, stack: Stack, smoothing: Smoothing, points: int = 0) -> StackSummary:
        """The numbers of every problem, and if asked for its densities at so many points.

        Of sources that are not reported no more is needed than what they cannot exceed.
        """
        ...


class StackPhotometry(NamedTuple):
    """Results of n problems.

    summary : StackSummary, in which numbers below their floors are NaN
    outcome : (n, n_sources) codes of `Outcome`
    is_done : (n,) false where the ladder has to be climbed; the rest means nothing there
    """

    summary: StackSummary
    outcome: np.ndarray
    is_done: np.ndarray


def measure_stack(
    stack: Stack, engine: StackEngine, policy: Policy, floors: np.ndarray, points: int = 0
) -> StackPhotometry:
    """Mode and bounds of every problem at its first attempt.

    floors : (n,) below which numbers mean nothing, −inf for none
    points : of the tables of the densities; 0 for none
    """
    n = stack.n_sources
    found = engine.summarise(stack, policy.smoothing, points)
    value, lolim, hilim, outcome = judge(
        found.value, found.lolim, found.hilim, found.is_upper_limit, floors[:, None]
    )
    largest = stack.F[:, :, :n].sum(axis=1) * stack.upper[:, :n]
    is_seen = largest * policy.prior_factor >= 1.0
    reached = found.reach.copy()
    reached[:, stack.reported] = reach(found.mode, found.lolim, found.hilim)[:, stack.reported]
    is_done = is_seen.all(axis=1) & (reached <= stack.upper).all(axis=1)
    summary = found._replace(value=value, lolim=lolim, hilim=hilim)
    return StackPhotometry(summary, outcome, is_done & found.is_solved)
