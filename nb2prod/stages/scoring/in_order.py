"""Work that is done a little ahead, and handed on in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each made in another thread while the one before is worked on."""
    end = object()
    with _threads(1, "reading") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]


def worked(items: Iterator[Item], work: Callable[[Item], Made], width: int) -> Iterator[tuple[Item, Made]]:
    """(item, what was made of it), `width` of them worked on at the same time and no more of them held."""
    waiting: deque[tuple[Item, Future[Made]]] = deque()
    with _threads(width, "scoring") as pool:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > width:
                first, made = waiting.popleft()
                yield first, made.result()
        while waiting:
            first, made = waiting.popleft()
            yield first, made.result()


@contextmanager
def _threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads for which nobody waits who is interrupted: a model may take long for what it was asked last."""
    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
