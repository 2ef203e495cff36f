"""One after the other, in the calling thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

Made = TypeVar("Made")


def open() -> Executor:
    return Serial()


def workers(count: int) -> Executor:
    """For `map`: one, whatever the number."""
    return Serial()


class Serial(Executor):
    """Does what it is given at once; an interruption passes through."""

    def submit(self, call: Callable[..., Made], /, *arguments: Any, **named: Any) -> Future[Made]:
        future: Future[Made] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)
        return future
