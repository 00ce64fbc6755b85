"""Sends parcels of work to workers and yields their results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import NamedTuple, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How often to look at signals, the clock and the watchdog while nothing comes home.
TICK_SECONDS = 0.25


class Parcel(NamedTuple):
    """What is sent to a worker at once: targets to measure, or paths to scan."""

    number: int
    content: Sequence


class Lost(NamedTuple):
    """A payload whose worker no longer answers: what to record, and what to send to another."""

    payload: object
    result: object | None
    rest: object | None


class Control(Protocol):
    """Who decides whether to go on; `under_way` are the payloads that have not come home."""

    def stopping(self) -> bool:
        """Whether to dispatch nothing new."""

    def idle(self) -> AbstractContextManager:
        """Around each wait."""

    def giving_up(self, under_way: Mapping[Future, Item]) -> bool:
        """Whether to wait no longer for what is under way."""

    def lost(self, under_way: Mapping[Future, Item]) -> list[Lost]:
        """The payloads under way that will not come home."""


def stream(
    executor: Executor,
    function: Callable[[Item], Result],
    payloads: Iterable[Item],
    window: int,
    control: Control,
) -> Iterator[Result]:
    """Yield function(payload) in order of completion, until all are done or `control` ends it.

    At most `window` payloads are under way, each made when its turn comes, so
    that neither inputs nor results pile up on rank 0.  An exception of a call
    is raised here, with the traceback of the rank it comes from.
    """
    waiting = iter(payloads)
    under_way: dict[Future, Item] = {}
    while True:
        if control.stopping():
            under_way = {f: payload for f, payload in under_way.items() if not f.cancel()}
        else:
            for payload in islice(waiting, window - len(under_way)):
                under_way[executor.submit(function, payload)] = payload
        if not under_way or control.giving_up(under_way):
            return
        with control.idle():
            done, _ = wait(under_way, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            del under_way[future]
            yield future.result()
        for payload, result, rest in control.lost(under_way):
            under_way = {f: other for f, other in under_way.items() if other is not payload}
            if rest:
                waiting = chain([rest], waiting)
            if result is not None:
                yield result
