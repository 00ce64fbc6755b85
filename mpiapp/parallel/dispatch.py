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
    function: Callable[..., Result],
    items: Iterable[Item],
    payload: Callable[[Item], object],
    window: int,
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, function(payload(item))) in order of completion.

    At most `window` items are under way, so that neither inputs nor results pile
    up on rank 0; payloads are made when their turn comes.  An exception of a call
    is raised here, with the traceback of the rank it comes from.
    """
    waiting = iter(items)
    under_way: dict[Future, Item] = {}
    while True:
        for item in islice(waiting, window - len(under_way)):
            under_way[executor.submit(function, payload(item))] = item
        if not under_way:
            return
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            yield under_way.pop(future), future.result()
