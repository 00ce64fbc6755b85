"""Sends parcels of work to workers and yields their results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from .stop import Stop

Payload = TypeVar("Payload")
Result = TypeVar("Result")

# How often to look at signals, the clock and late parcels while no result comes home.
TICK_SECONDS = 0.25


class Parcel(NamedTuple):
    """A message to a worker: targets to measure, or paths to scan.

    A worker begins no run after `seconds` and comes home with the runs done so far; the parcel
    is late after `due_seconds`.  `is_again`: it is a part of one that was late.
    """

    content: Sequence
    seconds: float
    due_seconds: float
    is_again: bool = False


class Late(NamedTuple):
    """Parcels that are overdue: failures to record, and parcels to send out in their place."""

    future: Future
    result: object | None
    more: Iterable


class Control:
    """Decides whether to go on; this one does until it is asked to stop.

    `under_way` are the payloads that have not come home.
    """

    def __init__(self, stop: Stop):
        self.stop = stop

    def stopping(self) -> bool:
        """Whether to dispatch nothing new."""
        return self.stop.poll()

    def idle(self) -> AbstractContextManager:
        """Around each wait."""
        return nullcontext()

    def received(self, answer) -> tuple[object, Iterable]:
        """The result in the answer of a worker, and the payloads that it asks for."""
        return answer, ()

    def giving_up(self, under_way: Mapping[Future, Payload]) -> bool:
        """Whether to give up waiting for parcels that are out."""
        return self.stop.out_of_patience

    def late(self, under_way: Mapping[Future, Payload]) -> list[Late]:
        """Parcels that are out and given up."""
        return []


def stream(
    executor: Executor,
    function: Callable[[Payload], Result],
    payloads: Iterable[Payload],
    window: int,
    control: Control,
) -> Iterator[Result]:
    """Yield function(payload) in order of completion, until all are done or `control` ends it.

    At most `window` payloads are under way, each made when its turn comes, so
    that neither inputs nor results pile up on rank 0.  An exception of a call
    is raised here, with the traceback of the rank it comes from.
    """
    waiting = iter(payloads)
    under_way: dict[Future, Payload] = {}
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
            result, more = control.received(future.result())
            waiting = chain(more, waiting)
            yield result
        for future, result, more in control.late(under_way):
            del under_way[future]
            waiting = chain(more, waiting)
            if result is not None:
                yield result
