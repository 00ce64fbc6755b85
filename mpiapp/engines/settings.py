"""The settings of the engines: what each means, its default and its limits, said once.

An engine takes them by name; the sections [engine.NAME] of a configuration are made of them.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

INITS = ("advi+adapt_diag", "adapt_diag")
_LIMITS = {
    "ge": ("at least", operator.ge),
    "gt": ("more than", operator.gt),
    "le": ("at most", operator.le),
    "lt": ("less than", operator.lt),
}


def _setting(default: Any, meaning: str, **limits: Any) -> Any:
    return field(default=default, metadata={"description": meaning, **limits})


@dataclass(eq=False)
class Settings:
    """The settings of an engine, which derives from them, within their limits.

    Raises ValueError for one that is not.
    """

    def __post_init__(self):
        hints = get_type_hints(type(self))
        for one in fields(self):
            value, choices = getattr(self, one.name), get_args(hints[one.name])
            if choices and value not in choices:
                raise ValueError(f"{one.name} = {value!r}: expected one of {', '.join(choices)}")
            for name, (words, holds) in _LIMITS.items():
                if name in one.metadata and not holds(value, one.metadata[name]):
                    raise ValueError(
                        f"{one.name} = {value!r}: expected {words} {one.metadata[name]:g}"
                    )


@dataclass(eq=False)
class PymcSettings(Settings):
    """NUTS through current PyMC and nutpie."""

    chains: int = _setting(2, "Independent chains (rec. 4).", ge=2, le=16)
    draws: int = _setting(1000, "Draws of each chain that are kept.", ge=4)
    tune: int = _setting(
        1000, "Draws of each chain that are thrown away while the sampler adapts.", ge=0
    )
    target_accept: float = _setting(0.95, "Acceptance that the step size aims at.", gt=0, lt=1)


@dataclass(eq=False)
class Pymc3Settings(PymcSettings):
    """NUTS through pymc3 (memo, section 2.4 and Listing 1)."""

    init: Literal[INITS] = _setting(
        INITS[0],
        "Chains start from draws of a mean-field fit, or from the maximum-likelihood solution "
        "(Eq. 8) inside the prior box.",
    )


@dataclass(eq=False)
class GibbsSettings(Settings):
    """The compiled engine: it draws on until the effective sample size is reached."""

    chains: int = _setting(16, "Independent chains.", ge=2, le=256)
    draws: int = _setting(
        75, "Draws of each chain before the effective sample size is looked at.", ge=4
    )
    ess_target: float = _setting(
        1000.0,
        "Effective draws of every parameter that are enough.",
        ge=0,
        allow_inf_nan=False,
    )
    max_draws: int = _setting(4000, "Draws of each chain at which to stop anyhow.", ge=1)
    burn_in: int = _setting(
        20,
        "Draws of each chain that are thrown away first; more where ten times the autocorrelation "
        "is more, or the chains still tell where they began.",
        ge=0,
    )


@dataclass(eq=False)
class ExactSettings(Settings):
    """The engine without noise for one source, and with little for several."""

    accuracy: float = _setting(
        0.01,
        "Standard deviation that chance may leave in mode and bounds of several sources, in "
        "half-widths of the 68 % interval; a source that does not reach it is flagged.",
        ge=1e-4,
        le=1,
    )


@dataclass(eq=False)
class GetDrawsSettings(Settings):
    """The engine of CSC 2.0, through sherpa (memo, sections 2.3 and 2.4)."""

    draws: int = _setting(5000, "Draws that are kept.", ge=4)
    burn_in: int = _setting(100, "Draws that are thrown away first.", ge=0)
    prior_sigmas: float = _setting(
        5.0, "Half-width of the priors in standard deviations.", gt=0, allow_inf_nan=False
    )
    least_variance: float = _setting(
        0.0,
        "Variance of a count in these, at least: 0 as in Eq. 8, 0.5 as the upper limits have it "
        "that CSC 2.0 published of no counts.",
        ge=0,
        allow_inf_nan=False,
    )
