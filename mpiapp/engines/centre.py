"""Where a posterior stands inside its box: a centre close to the mean, and the precision there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import _compiled
from .compressed import Compressed


class Centre(NamedTuple):
    """Where a posterior of n_sources and n_backgrounds stands.

    theta : (n_columns,) the peak of p(θ | C) Π θ (U − θ), which for one source without background,
        s^C e^{−fs}, is the mean (C + 1)/f
    precision : (n_sources, n_sources) the negative Hessian there, backgrounds integrated out
    spread : (n_columns,) standard deviations of all columns about theta
    shift : (n_backgrounds,) standard deviation with which each background follows the sources, in
        units of its own with the sources given
    way : (n_sources, n_backgrounds) the step of the sources, one standard deviation long, along
        which that background follows them so far
    pull : (n_sources, n_backgrounds) by how much each background follows each source
    decrement : the Newton decrement that is left: how many standard deviations theta is off
    """

    theta: np.ndarray
    precision: np.ndarray
    spread: np.ndarray
    shift: np.ndarray
    way: np.ndarray
    pull: np.ndarray
    decrement: float


def centre(p: Compressed) -> Centre:
    """The `Centre` of a problem.

    The factors θ (U − θ) are the logarithmic barrier of interior-point methods: with them the peak
    lies inside the box however a bound cuts the posterior.  All terms are logarithms with
    weights of at least one, so that Newton's method, damped by a search along each step, leads
    there from anywhere and its decrement says how far it is (Nesterov & Nemirovskii 1994).
    """
    return Centre(*_compiled.centre(p))
