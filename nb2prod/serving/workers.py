"""Predictions run on threads of their own, so that the event loop answers meanwhile, and one that hangs is given up.

No thread can be ended from outside. One whose time is over is left behind: its caller gets 504, another thread takes
its slot at once, and it ends itself when the prediction comes back after all. The threads are daemons: a prediction
that hangs does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from .errors import Refusal
from .limits import Limits

T = TypeVar("T")


class _Job:
    """One call on its way: `given_up` and `over` exclude each other, whichever comes first."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._over = False
        self.given_up = False
        self.answer: asyncio.Future[Any] = self._loop.create_future()

    def run(self) -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = self._call()
        except BaseException as error:  # noqa: BLE001 - the model's code may raise anything; it is told to the caller
            failure = error
        with self._lock:
            self._over = True
            if self.given_up:
                return
        self._loop.call_soon_threadsafe(self._settle, result, failure)

    def run_over(self) -> None:
        """Tell the caller that the time is over, if it is still waiting."""
        if not self.answer.done():
            self.answer.set_exception(Refusal(504, "the prediction took too long and was given up"))

    def give_up(self) -> bool:
        """True when the call had not ended yet: its thread is then lost to it."""
        with self._lock:
            self.given_up = not self._over
        return self.given_up

    def _settle(self, result: Any, failure: BaseException | None) -> None:
        if self.answer.done():
            return
        if failure is None:
            self.answer.set_result(result)
        else:
            # a future does not take StopIteration, nor should a model's SystemExit end the loop
            is_plain = isinstance(failure, Exception) and not isinstance(failure, StopIteration)
            self.answer.set_exception(failure if is_plain else RuntimeError(type(failure).__name__))


class Workers:
    """`limits.concurrency` threads. `lost` counts the predictions that ran over and have not come back."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._lost_lock = threading.Lock()
        self.lost = 0
        self.admitted = 0

    def open(self) -> None:
        for _ in range(self._limits.concurrency):
            self._hire()

    def close(self) -> None:
        """Let idle threads end; one that hangs is left to the end of the process."""
        for _ in range(self._limits.concurrency):
            self._jobs.put(None)

    @property
    def stuck(self) -> bool:
        return self.lost >= self._limits.stuck

    def admit(self) -> None:
        """Take a place among the requests that run or wait, before its body is read. Raises Refusal (503)."""
        if self.stuck or self.admitted >= self._limits.concurrency + self._limits.waiting:
            raise busy("the service is overloaded")
        self.admitted += 1

    def leave(self) -> None:
        """Give the place of an admitted request back."""
        self.admitted -= 1

    async def run(self, call: Callable[[], T]) -> T:
        """The call's result from a thread. Raises Refusal: 503 when no slot came free, 504 when it ran over."""
        if self._slots.locked():
            try:
                await asyncio.wait_for(self._slots.acquire(), self._limits.seconds)
            except TimeoutError:
                raise busy("the service is overloaded") from None
        else:  # it takes a slot without a wait, so that a timer, which costs more than the slot, is not needed
            await self._slots.acquire()
        try:
            return await self._in_slot(call)
        finally:
            self._slots.release()

    async def _in_slot(self, call: Callable[[], T]) -> T:
        job = _Job(call)
        timer = asyncio.get_running_loop().call_later(self._limits.seconds, job.run_over)
        self._jobs.put(job)
        try:
            return await job.answer  # type: ignore[no-any-return]
        finally:
            timer.cancel()
            if job.give_up():
                self._count(+1)
                self._hire()

    def _hire(self) -> None:
        threading.Thread(target=self._work, name="nb2prod-prediction", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job.run()
            if job.given_up:  # another thread has this one's place by now
                self._count(-1)
                return

    def _count(self, change: int) -> None:
        with self._lost_lock:
            self.lost += change


def busy(reason: str) -> Refusal:
    return Refusal(503, reason, headers=(("retry-after", "1"),))
