"""The unit of work of a map: `work(job, items)`, which any standard Executor can run.

The items do not run in the calling process but in a warm one beside it (`kernel/map_process.py`), which is kept for
the next batch of the same job: so a caller may be a thread of the driver, a process of a pool or a worker on another
machine, and a crash or a memory leak of the notebook's code never harms it. Each call uses one warm process; calls at
the same time use as many.

An item that brings no result (its process died, or was ended at its time limit) is a result too. When a whole warm
process dies, its item is tried once more in a new one before it counts as lost: the death may have been another's.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nb2prod.core.errors import WorkerLost
from nb2prod.core.mapping import Item, ItemResult
from nb2prod.kernel.map_job import ItemsLeak, Job, SharedCodeFailed
from nb2prod.kernel.map_process import how_it_ended, missing
from nb2prod.kernel.map_tries import Late, Patience

FORK = "--isolation fork, which gives every item a process of its own"
OTHER_MODE = {"fork": "do that in a step, or --isolation shared", "shared": FORK, "function": FORK}
_lock = threading.Lock()
_idle: dict[str, list[_WarmProcess]] = {}
_working: set[_WarmProcess] = set()


def work(job: Job, items: Sequence[Item], frame: bytes = b"") -> list[ItemResult]:
    """Run items, in order; one result each.

    `frame` is the pickled table of the items' rows in group mode, and `item.rows` (first, past the last) positions in
    it. Raises SharedCodeFailed, ItemsLeak or WorkerLost: then no item of the batch has a result.
    """
    process = _taken(job)
    try:
        results = process.run(list(items), frame)
    except BaseException:
        process.close()
        raise
    finally:
        with _lock:
            _working.discard(process)
    with _lock:
        if not process.ended:
            _idle.setdefault(job.digest, []).append(process)
    return results


def close(digest: str | None = None) -> None:
    """End the warm processes of a job (None: of all) that this process started, working ones too."""
    with _lock:
        idle = [process for key in [*_idle] if digest in (None, key) for process in _idle.pop(key)]
        working = [process for process in _working if digest in (None, process.job.digest)]
    for process in working:
        process.end()
    for process in idle:
        process.close()


def _taken(job: Job) -> _WarmProcess:
    """An idle process that is warm for the job, or a new one. Idle ones of other jobs are not needed any more."""
    with _lock:
        others = [kept.pop() for key, kept in _idle.items() if key != job.digest for _ in tuple(kept)]
        kept = _idle.get(job.digest)
        process = kept.pop() if kept else _WarmProcess(job)
        _working.add(process)
    for other in others:
        other.close()
    return process


class _WarmProcess:
    """One warm process, seen from outside. It starts with its first batch."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._said: Any = None
        self.ended = False

    def run(self, items: list[Item], frame: bytes) -> list[ItemResult]:
        """A result for each item, whatever becomes of the process."""
        results: list[ItemResult] = []
        while len(results) < len(items):
            left = items[len(results) :]
            found, why = self._batch(left, frame)
            if why is None:
                return results + found
            culprit = left[len(found)]
            # of a process that ended nobody can tell whether an item left something behind for the next one
            results += found if self.job.isolation == "fork" else self.run(left[: len(found)], frame)
            late = isinstance(why, Late)
            results.append(missing(self.job, culprit, why) if late else self._once_more(culprit, frame))
        return results

    def _once_more(self, item: Item, frame: bytes) -> ItemResult:
        """The item that was running when the process died, in a new process and alone."""
        self._stop()
        found, why = self._batch([item], frame)
        return found[0] if why is None else missing(self.job, item, why)

    def _batch(self, items: list[Item], frame: bytes) -> tuple[list[ItemResult], Late | str | None]:
        """The results that came, and why no more came (None: they are all there). Then the process is gone."""
        connection = self._started()
        results: list[ItemResult] = []
        try:
            connection.send((items, frame))
            for _ in items:
                found = self._heard(connection)
                if isinstance(found, Late):
                    self._stop()
                    return results, found
                results.append(found)
            leak = connection.recv()
        except (EOFError, OSError):
            why = self._how_it_ended()
            self._stop()
            return results, why
        if leak:
            raise ItemsLeak(
                f"items are not independent of each other in mode {self.job.isolation}: {leak}",
                fix=OTHER_MODE[self.job.isolation],
            )
        return results, None

    def _heard(self, connection: Connection) -> ItemResult | Late:
        # a forked item's limits are kept by the process that forks
        patience = Patience(self.job.timeout if self.job.isolation != "fork" else None)
        while connection.poll(patience.left):
            content = connection.recv_bytes()
            if not patience.heard(content):
                result: ItemResult = pickle.loads(content)
                return result
        return patience.late

    def _started(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self.ended:
            raise WorkerLost("the map has ended")
        ours, theirs = Pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `_stop`
        self._process = subprocess.Popen(
            [self._python(), "-P", "-m", "nb2prod.kernel.map_process", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "PYTHONPATH": _with_ourselves()},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,
        )
        theirs.close()
        self._connection = ours
        try:
            ours.send(self.job)
            answer, what = ours.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if answer == "broken":
            raise SharedCodeFailed(
                f"the code that all items share fails: {what.error}",
                where=f"cell {what.cell}" + (f", line {what.line}" if what.line else ""),
                fix="`nb2prod run` shows the whole of it",
            )
        if what:
            raise ItemsLeak(f"mode {self.job.isolation} cannot be used: {what}", fix=OTHER_MODE[self.job.isolation])
        return ours

    def _python(self) -> str:
        return self.job.python if self.job.python and Path(self.job.python).exists() else sys.executable

    def _lost(self) -> WorkerLost:
        ended = self._how_it_ended()
        self._said.seek(0)
        last = (self._said.read().decode(errors="replace").strip().splitlines() or [ended])[-1]
        return WorkerLost(
            f"no process for the items could be started with {self._python()} ({last})",
            fix="install nb2prod in the notebook's environment",
        )

    def _how_it_ended(self) -> str:
        assert self._process is not None
        try:
            return how_it_ended(self._process.wait(5))
        except subprocess.TimeoutExpired:
            return "its process stopped answering"

    def _stop(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            process.wait()
            self._said.close()
        if connection is not None:
            connection.close()

    def end(self) -> None:
        """From another thread: whoever waits for the process hears that it is gone, and closes it."""
        self.ended = True
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.end()
        self._stop()


def _with_ourselves() -> str:
    """An import path on which the process finds this nb2prod; what was on it before stays."""
    ours = str(Path(__file__).parents[2])
    return os.pathsep.join(part for part in (os.environ.get("PYTHONPATH", ""), ours) if part)
