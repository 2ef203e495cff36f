"""Requests that wait while the model works are answered together by its next call.

Nothing waits for company: a request that finds the model idle is answered at once, and alone. A model that is asked
about sixteen rows takes hardly longer than for one, so under load many answers come for the price of few. Only models
of which every row's prediction is its own are asked in this way (`Scorer.together`).
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from dataclasses import dataclass
from typing import Any

from .errors import Refusal
from .rows import Rows
from .service import Service
from .workers import busy

ROWS = 64  # in one call


@dataclass(frozen=True, slots=True)
class _Waiting:
    rows: Rows
    answer: asyncio.Future[Any]


class Batches:
    """One call at a time: a second one beside it would only share the interpreter's lock with it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: deque[_Waiting] = deque()
        self._is_idle = True
        self._at_work: asyncio.Task[None] | None = None

    async def predict(self, rows: Rows) -> Any:
        """The predictions of these rows. Raises Refusal: 503 when the model was busy for too long, 504 and 500."""
        return await (self._predict_at_once(rows) if self._is_idle else self._predict_later(rows))

    async def _predict_at_once(self, rows: Rows) -> Any:
        self._is_idle = False
        try:
            return await self._service.workers.run(functools.partial(self._service.predict, rows, fill=True))
        finally:
            if self._waiting:  # they came meanwhile
                self._at_work = asyncio.create_task(self._work())
            else:
                self._is_idle = True

    async def _predict_later(self, rows: Rows) -> Any:
        one = _Waiting(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        try:
            # waiting for the call before and the call itself each have this long
            return await asyncio.wait_for(one.answer, 2 * self._service.limits.seconds)
        except TimeoutError:
            raise busy("the service is overloaded") from None

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._answer(self._taken())
        finally:
            self._is_idle, self._at_work = True, None

    def _taken(self) -> list[_Waiting]:
        taken = [self._waiting.popleft()]
        count = len(taken[0].rows)
        while self._waiting and count + len(self._waiting[0].rows) <= ROWS:
            taken.append(self._waiting.popleft())
            count += len(taken[-1].rows)
        return [one for one in taken if not one.answer.done()]

    async def _answer(self, together: list[_Waiting]) -> None:
        if not together:
            return
        try:
            found = await self._service.workers.run(lambda: self._predicted([one.rows for one in together]))
        except Exception as error:  # noqa: BLE001 - it is told to each of those who wait
            found = [error] * len(together)
        for one, answer in zip(together, found, strict=True):
            if one.answer.done():
                continue
            if isinstance(answer, BaseException):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)

    def _predicted(self, parts: list[Rows]) -> list[Any]:
        """An answer, or an exception, for each part."""
        if len(parts) == 1:
            return [self._alone(parts[0])]
        try:
            whole = self._service.predict([row for part in parts for row in part], fill=True)
        except Refusal:  # one of them may be to blame: the others are not to suffer for it
            return [self._alone(part) for part in parts]
        if len(whole) != sum(map(len, parts)):  # not one answer a row: whose is whose cannot be told
            return [self._alone(part) for part in parts]
        return _divided(whole, parts)

    def _alone(self, rows: Rows) -> Any:
        try:
            return self._service.predict(rows, fill=True)
        except Refusal as refusal:
            return refusal


def _divided(whole: Any, parts: list[Rows]) -> list[Any]:
    answers, start = [], 0
    for part in parts:
        answers.append(whole[start : start + len(part)])
        start += len(part)
    return answers
