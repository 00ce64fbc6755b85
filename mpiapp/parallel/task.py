"""The orders of a job: from the command line, and from rank 0 to every rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..photometry.kept_draws import KeptDraws
from ..photometry.ladder import Policy
from .shares import Shard


@dataclass(frozen=True)
class Options:
    """Options that the command line adds to the configuration.

    Attributes
    ----------
    resume : bool
        Continue an earlier job that did not end, if its parts are there.
    force : bool
        Continue it even if the configuration or the inputs have changed.
    shard : Shard, optional
        Do only this part, into a file of its own.
    output : str, optional
        Results file, instead of the configuration's.
    """

    resume: bool = False
    force: bool = False
    shard: Shard | None = None
    output: str | None = None


class Task(NamedTuple):
    """The order to every rank; `engine` is a name, `settings` are the engine's.

    `seconds_left` until the job begins nothing new, None without a time limit: clocks of hosts
    differ.
    """

    number: int
    engine: str
    settings: dict
    scratch: str | None
    policy: Policy
    seed: int
    run_seconds: float
    mpdf: list[str]
    draws: KeptDraws
    seconds_left: float | None
