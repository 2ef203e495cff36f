"""Batches of items on an executor: how large, how many at once, and what happens when an executor breaks.

A batch is to take a third of a second: long enough that the way there and back does not count, short enough that a kill
costs little and that workers end together. What an item costs is learnt from the results.

An executor that breaks (a pool whose process was killed) takes all batches in flight with it, and nobody can tell which
item did it. So it is opened anew, and the items that were in flight run one by one, nothing beside them: the one that
breaks the executor again is lost.
"""

from __future__ import annotations

import math
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import replace
from typing import Any

from nb2prod.core.mapping import Item, ItemResult
from nb2prod.kernel.map_job import Job
from nb2prod.kernel.map_process import missing
from nb2prod.kernel.map_work import close, work

LONG = 0.3  # seconds that a batch is to take
LONG_EACH = 0.01  # and at least so many for each worker: one scheduler gives out 100 batches a second without a queue
MOST = 5_000
GROWTH = 4  # times that a batch may be larger than the one before
OVERHEAD = {"fork": 0.01, "shared": 0.0005, "function": 0.0005}  # seconds an item, beside its own
MOST_BYTES = 64_000_000  # of rows in a batch


class Batches:
    """Runs items, and gives their results as they come. `frame` is the table in group mode."""

    def __init__(self, job: Job, frame: Any, workers: int, open_executor: Callable[[], Executor]) -> None:
        self._job, self._frame, self._workers, self._open = job, frame, workers, open_executor
        self._size = 1
        self._each = 0.0
        self._suspects: deque[Item] = deque()
        self._seen: set[int] = set()  # items that were in flight when an executor broke
        self._in_flight: dict[Future[list[ItemResult]], list[Item]] = {}
        self._executor: Executor | None = None
        self._row_bytes = 0 if frame is None else int(frame.memory_usage(deep=True).sum()) / max(1, len(frame))

    def results(self, items: Sequence[Item]) -> Iterator[list[ItemResult]]:
        """All results, a batch at a time; an empty list when nothing came for a moment."""
        waiting = deque(items)
        while waiting or self._suspects or self._in_flight:
            self._submit(waiting)
            done, _ = wait(self._in_flight, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                yield self._heard(future)
            if not done:
                yield []

    def close(self) -> None:
        """End the executor; what is in flight is not waited for."""
        executor, self._executor = self._executor, None
        if executor is not None:
            # workers that go on without us should not keep our processes
            getattr(executor, "everywhere", lambda *_: None)(close, self._job.digest)
            executor.shutdown(wait=False, cancel_futures=True)

    def _submit(self, waiting: deque[Item]) -> None:
        if self._suspects:
            if not self._in_flight:
                self._send([self._suspects.popleft()])
            return
        while waiting and len(self._in_flight) < 2 * self._workers:
            # towards the end smaller ones, so that no worker waits long for the last
            fair = math.ceil(len(waiting) / (2 * self._workers))
            batch = [waiting.popleft()]
            rows = len(batch[0].rows)
            while waiting and len(batch) < min(self._size, fair) and rows * self._row_bytes < MOST_BYTES:
                batch.append(waiting.popleft())
                rows += len(batch[-1].rows)
            self._send(batch)

    def _send(self, batch: list[Item]) -> None:
        items, frame = (batch, b"") if self._frame is None else self._with_rows(batch)
        try:
            future = self._opened().submit(work, self._job, items, frame)
        except BrokenExecutor:
            self.close()
            future = self._opened().submit(work, self._job, items, frame)
        self._in_flight[future] = batch

    def _opened(self) -> Executor:
        if self._executor is None:
            self._executor = self._open()
        return self._executor

    def _with_rows(self, batch: list[Item]) -> tuple[list[Item], bytes]:
        """The batch's rows as one frame, and the items with their places in it."""
        positions = [row for item in batch for row in item.rows]
        content = pickle.dumps(self._frame.iloc[positions], protocol=5)
        items, place = [], 0
        for item in batch:
            items.append(replace(item, rows=(place, place + len(item.rows))))
            place += len(item.rows)
        return items, content

    def _heard(self, future: Future[list[ItemResult]]) -> list[ItemResult]:
        batch = self._in_flight.pop(future)
        try:
            results = future.result()
        except BrokenExecutor as error:
            return self._broken(batch, str(error))
        self._learn(results)
        return results

    def _broken(self, batch: list[Item], why: str = "") -> list[ItemResult]:
        """The batch of an executor that broke: its items are suspects, and one that breaks it alone is lost."""
        if len(batch) == 1 and batch[0].number in self._seen:
            return [missing(self._job, batch[0], why or "the worker that ran it was lost")]
        self._suspects.extend(batch)
        self._seen.update(item.number for item in batch)
        return []

    def _learn(self, results: Sequence[ItemResult]) -> None:
        own = sum(result.seconds for result in results) / max(1, len(results)) + OVERHEAD[self._job.isolation]
        self._each = own if not self._each else 0.7 * self._each + 0.3 * own
        self._size = max(1, min(MOST, self._size * GROWTH, int(max(LONG, LONG_EACH * self._workers) / self._each)))
