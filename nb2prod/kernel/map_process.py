"""The process that a worker of a map keeps warm: it has run the shared cells once, and runs items.

    python -P -m nb2prod.kernel.map_process DESCRIPTOR

It hears `job`, answers `("ready", "")` or `("broken", trouble)`, and from then on hears batches `(items, frame)` and
answers one pickled `ItemResult` an item, in order, and at the end of the batch what leaked (`""`: nothing). In mode
`fork` every item runs in a child of its own, which dies with it; in the others here, one after the other.

`frame` is the pickled table of the batch's rows in group mode; an item's `rows` are positions in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from nb2prod.core.mapping import Item, ItemResult
from nb2prod.kernel import map_openmp
from nb2prod.kernel.map_item import Tail, run_item
from nb2prod.kernel.map_job import Job
from nb2prod.kernel.map_tries import Late, Patience, Say
from nb2prod.kernel.map_warm import Reset, SharedFailed, Warm, is_installed
from nb2prod.kernel.nursery import die_with_parent

NO_OPENMP = (
    "the imports, functions or setup cells have computed with OpenMP (trained something, say), and what items compute "
    "with it would hang in a forked process"
)
LEARNS = 3  # children that say what they have imported


def serve(client: Connection) -> None:
    """Run batches until the client hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client hears it, and ends us
    die_with_parent()
    out = _silence()
    try:
        job: Job = client.recv()
        runner = _Forking(job, out) if job.isolation == "fork" else _Here(job, out)
    except SharedFailed as failed:
        client.send(("broken", failed.trouble))
        return
    client.send(("ready", runner.refusal))
    with contextlib.suppress(EOFError, OSError):
        while True:
            items, content = client.recv()
            frame = pickle.loads(content) if content else None
            for item in items:
                client.send_bytes(runner.run(_with_rows(job, item, frame), client.send_bytes))
            del frame
            client.send(runner.leaks())


def _silence() -> Tail:
    """Nothing of what cells print reaches the client's terminal: the end of stdout is kept, the rest goes nowhere."""
    out = Tail()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout, sys.stderr = out, Tail()
    return out


def _with_rows(job: Job, item: Item, frame: Any) -> Item:
    """The item with its group's rows as a frame of its own, numbered from 0.

    Copied: how a part of a larger frame lies in memory depends on what else is in the batch, and a model that keeps an
    array of it, or multiplies one, would not be the same to the bit.
    """
    if frame is None:
        return item
    rows = frame.iloc[item.rows[0] : item.rows[1]].copy().reset_index(drop=True)
    return dataclasses.replace(item, given={**item.given, job.rows: rows}, rows=())


class _Here:
    """Items run in this process, which is put back before each."""

    def __init__(self, job: Job, out: Tail) -> None:
        self._job, self._out = job, out
        self._warm = Warm(job)
        self._reset = Reset(self._warm)
        unseen = self._reset.unseen()
        out.take()  # what the shared cells printed is no item's
        self.refusal = f"`{unseen[0]}` cannot be compared, so nobody could tell if an item changed it" if unseen else ""
        gc.collect()
        gc.freeze()

    def run(self, item: Item, say: Say) -> bytes:
        self._reset()
        self._warm.start(item)
        return _packed(run_item(self._job, self._warm.each, self._warm.namespace, item, self._out, say))

    def leaks(self) -> str:
        self._reset()
        return self._reset.leaks()


class _Forking:
    """Items run in a child each, one at a time."""

    def __init__(self, job: Job, out: Tail) -> None:
        self._job, self._out = job, out
        self._warm = Warm(job)
        self.refusal = "" if map_openmp.survives_fork() else NO_OPENMP
        self._ended: int | None = None
        self._loaded = frozenset(sys.modules)
        self._learns = LEARNS
        out.take()
        # what is here now stays: no collection in a child should write to its pages
        gc.collect()
        gc.freeze()

    def run(self, item: Item, say: Say) -> bytes:
        reading, writing = Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            reading.close()
            self._child(item, writing)
        writing.close()
        self._bury()
        try:
            return self._heard(item, reading, child)
        finally:
            reading.close()
            self._ended = child

    def leaks(self) -> str:
        self._bury()
        return ""

    def _child(self, item: Item, writing: Connection) -> None:
        """Never returns."""
        code = 1
        try:
            os.setpgid(0, 0)
            die_with_parent()
            self._warm.start(item)
            each, namespace = self._warm.each, self._warm.namespace
            writing.send_bytes(_packed(run_item(self._job, each, namespace, item, self._out, writing.send_bytes)))
            if self._learns:
                writing.send(sorted(sys.modules.keys() - self._loaded))
            code = 0
        finally:
            os._exit(code)

    def _heard(self, item: Item, reading: Connection, child: int) -> bytes:
        """The child's result, or what became of it. It is dead afterwards, with all that it started."""
        descriptor = os.pidfd_open(child) if hasattr(os, "pidfd_open") else None
        try:
            # a process that the child left behind may hold the pipe open: its end is told by the child's own
            patience = Patience(self._job.timeout)
            while wait([reading] if descriptor is None else [reading, descriptor], patience.left):
                content = _said(reading)
                if content is None:
                    return _packed(missing(self._job, item, how_it_ended(_exit_code(child))))
                if not patience.heard(content):
                    self._learn(reading)
                    return content
            return _packed(missing(self._job, item, patience.late))
        finally:
            if descriptor is not None:
                os.close(descriptor)
            _kill(child)

    def _learn(self, reading: Connection) -> None:
        """Libraries import parts of themselves when they are first used: the first children say which.

        Imported here, the others have them. What nobody installed is the notebook's author's, and left alone.
        """
        if not self._learns:
            return
        self._learns -= 1
        for name in reading.recv():
            if name not in sys.modules and is_installed(name):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        self._loaded = frozenset(sys.modules)
        gc.freeze()

    def _bury(self) -> None:
        """Wait for the child of the item before: its end costs time, and this process has used it for the next."""
        if self._ended is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._ended, 0)
            self._ended = None


def _said(reading: Connection) -> bytes | None:
    """What a child says; None when it has ended without a word."""
    with contextlib.suppress(EOFError, OSError):
        if reading.poll():
            return reading.recv_bytes()
    return None


def _exit_code(child: int) -> int:
    """How a child that is ending ends, a signal's number below zero; `_bury` takes it away later."""
    found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def _kill(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def missing(job: Job, item: Item, why: Late | str) -> ItemResult:
    """The result of an item whose process brought none: it was too late, or was lost."""
    given = {name: value for name, value in item.given.items() if name != job.rows}
    if isinstance(why, str):
        return ItemResult(item.number, item.key, "lost", 0.0, error=why, given=given)
    late = ItemResult(item.number, item.key, "timeout", why.limit, error=why.why, given=given)
    return dataclasses.replace(late, step=why.step, cell=why.cell)


def how_it_ended(code: int) -> str:
    """In words: an exit code, or a signal's number below zero."""
    if code == -signal.SIGKILL:
        return "its process was ended by SIGKILL, which is what the system does when memory runs out"
    return (
        f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process exited with code {code}"
    )


def _packed(result: ItemResult) -> bytes:
    return pickle.dumps(result, protocol=5)


if __name__ == "__main__":
    # as the module that everybody imports, so that what is pickled has one name
    from nb2prod.kernel import map_process

    map_process.serve(Connection(int(sys.argv[1])))
