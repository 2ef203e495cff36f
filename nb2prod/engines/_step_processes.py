"""The processes of a run in isolated steps, seen from the engine: the nursery, its children, and talking to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.core.errors import WorkerLost
from nb2prod.kernel.nursery import OUR_SEED
from nb2prod.storage import scratch

if TYPE_CHECKING:
    from nb2prod.kernel.step_work import Work

START = 60.0  # seconds that a process may take until it reports


class Nursery:
    """Makes a process for each step. Raises WorkerLost when there is none to be had."""

    def __init__(self, python: str, folder: Path, environment: Mapping[str, str], libraries: Iterable[str]) -> None:
        self._sockets = Path(tempfile.mkdtemp(prefix=scratch.prefix()))
        self._lock = threading.Lock()
        self._count = 0
        self._children: dict[int, Child] = {}
        self._errors = (self._sockets / "errors").open("w+")
        with Listener(str(self._sockets / "nursery"), "AF_UNIX") as listener:
            command = [python, "-P", "-m", "nb2prod.kernel.nursery", str(listener.address)]
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, "PYTHONPATH": _with_ourselves(environment)},
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
            )
            self._connection = self._accepted(listener, python)
        self._connection.send(list(libraries))
        self._expect(self._connection, python)

    def _accepted(self, listener: Listener, python: str) -> Connection:
        # a process that cannot start never calls
        listener._listener._socket.settimeout(START)  # type: ignore[attr-defined]  # the standard library hides it
        watch = threading.Thread(target=self._hang_up_when_ended, args=(str(listener.address),), daemon=True)
        watch.start()
        try:
            connection = listener.accept()
        except OSError as error:
            raise self._lost(python) from error
        if self._process.poll() is not None:
            raise self._lost(python)
        return connection

    def _hang_up_when_ended(self, address: str) -> None:
        import socket

        self._process.wait()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as caller:
            caller.connect(address)

    def _expect(self, connection: Connection, python: str) -> None:
        try:
            connection.recv()
        except (EOFError, OSError) as error:
            raise self._lost(python) from error

    def _lost(self, python: str) -> WorkerLost:
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["it said nothing"])[-1]
        return WorkerLost(
            f"no process for the steps could be started with {python} ({last})",
            fix="install nb2prod in the kernel's environment, or choose another with --kernel",
        )

    def child(self) -> Child:
        """A fresh process, from which nothing has been asked yet."""
        with self._lock:
            self._count += 1
            address = str(self._sockets / f"step-{self._count}")
            with Listener(address, "AF_UNIX") as listener:
                listener._listener._socket.settimeout(START)  # type: ignore[attr-defined]
                try:
                    self._connection.send(("fork", address))
                    number = int(self._connection.recv())
                    child = Child(number, listener.accept())
                except (OSError, EOFError) as error:
                    raise WorkerLost("the process that makes the steps' own is gone", fix="run it again") from error
            self._children[number] = child
            return child

    def how_it_ended(self, child: Child) -> str:
        """What became of a child that does not answer any more."""
        with self._lock:
            try:
                self._connection.send(("ended", child.number))
                code = self._connection.recv()
            except (OSError, EOFError):
                return "the process that made it is gone as well"
        if code is None:
            return "it stopped answering"
        if code == -signal.SIGKILL:
            return "it was ended by SIGKILL, which is what the system does when memory runs out"
        return f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it exited with code {code}"

    def end(self, child: Child) -> None:
        """Let a child finish as a program does, and then make sure of it."""
        child.connection.close()
        with self._lock, contextlib.suppress(OSError, EOFError):
            self._connection.send(("ended", child.number))
            self._connection.recv()
        child.kill()
        self._children.pop(child.number, None)

    def close(self) -> None:
        for child in list(self._children.values()):
            child.kill()
        self._process.kill()
        self._process.wait()
        self._errors.close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def kill_all(self) -> None:
        for child in list(self._children.values()):
            child.kill()


class LateNursery:
    """A nursery that is made when it is first needed, and not at all when nothing runs."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Any = None

    def child(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made.child()

    def how_it_ended(self, child: Any) -> str:
        return str(self._made.how_it_ended(child))

    def end(self, child: Any) -> None:
        self._made.end(child)

    def kill_all(self) -> None:
        if self._made is not None:
            self._made.kill_all()

    def close(self) -> None:
        if self._made is not None:
            self._made.close()


def with_hash_seed(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with a fixed seed for hashes: a set of texts then has one order in all processes and runs."""
    if "PYTHONHASHSEED" in environment:
        return dict(environment)
    return {**environment, "PYTHONHASHSEED": "0", OUR_SEED: "1"}


class TooLong(Exception):
    """A cell has not ended within its limit."""


@dataclass(slots=True)
class Child:
    """One process: `number` is also the number of its process group."""

    number: int
    connection: Connection

    def messages(self, work: Work, left: Callable[[], float | None]) -> Iterator[tuple[Any, ...]]:
        """Hand over the work, and hear until the report.

        Raises EOFError when the process ends before, TooLong when no seconds are `left` for what it does.
        """
        self.connection.send(work)
        while True:
            limit = left()
            if limit is not None and not self.connection.poll(max(0.0, limit)):
                raise TooLong
            message = self.connection.recv()
            yield message
            if message[0] in ("report", "refused", "lost"):
                return

    def kill(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.number, signal.SIGKILL)


def _with_ourselves(environment: Mapping[str, str]) -> str:
    """An import path on which the child finds this nb2prod; what was on it before stays."""
    ours = str(Path(__file__).parents[2])
    return os.pathsep.join(part for part in (environment.get("PYTHONPATH", ""), ours) if part)


def interpreter_of(kernel: str) -> str:
    """The Python of a kernel, from its specification."""
    from jupyter_client.kernelspec import KernelSpecManager

    command = KernelSpecManager().get_kernel_spec(kernel).argv
    return python_in(command[0] if command else "")


def python_in(python: str) -> str:
    """What a specification's command means: as in Jupyter a bare `python` is the one that it runs with."""
    return sys.executable if python in ("", "python", "python3", f"python3.{sys.version_info[1]}") else python
