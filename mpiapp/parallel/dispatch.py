"""Sends units to workers and yields their results as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def stream(
    executor: Executor,
    function: Callable[[Item], Result],
    payloads: Iterable[Item],
    window: int,
) -> Iterator[Result]:
    """Yield function(payload) in order of completion.

    At most `window` payloads are under way, each made when its turn comes, so
    that neither inputs nor results pile up on rank 0.  An exception of a call
    is raised here, with the traceback of the rank it comes from.
    """
    waiting = iter(payloads)
    under_way: set[Future] = set()
    while True:
        for payload in islice(waiting, window - len(under_way)):
            under_way.add(executor.submit(function, payload))
        if not under_way:
            return
        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
