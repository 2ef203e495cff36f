"""The process of a notebook that runs without a kernel, seen from the engine: started, asked, watched, ended.

One process, started at once and spoken to through one socket; its end is noticed by the system's own descriptor, also
when a process that the notebook left behind still holds the socket.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Pipe, wait
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nb2prod.core.errors import StoreError, WorkerLost
from nb2prod.engines._kernel import FAREWELL, START, CellFailed, Died, Hear, end_of, ended_with, last_words
from nb2prod.engines._step_processes import TooLong

# nb2prod itself is found also where only its folder is known; nothing else of that folder comes first
BEGIN = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from nb2prod.kernel.whole_process import main; main(int(sys.argv.pop(1)))"
)
MORE_OFTEN = 1.0  # seconds between two looks at a process whose end makes no noise


class WholeProcess:
    """A process for the cells of a notebook in `folder`; nothing is known of it before `ready`."""

    def __init__(self, name: str, python: str, folder: Path, environment: Mapping[str, str], directory: str) -> None:
        self.name = name
        self.directory = directory
        self._python = python
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it is closed when the process is
        self._engine, theirs = Pipe()
        command = [python, "-P", "-c", BEGIN, str(Path(__file__).parents[2]), str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            self._engine.close()
            self._errors.close()
            raise StoreError(f"{python} cannot be started: {error}", fix="--kernel names another") from error
        finally:
            theirs.close()
        self._end = end_of(self._process)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Without a kernel there are no widgets."""
        return MappingProxyType({})

    # -- messages ----------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """Wait until it answers. Raises WorkerLost when there is none to be had."""
        try:
            self._say("begin", self.directory)
            self._heard(time.monotonic() + START)
        except (Died, TooLong) as error:
            last = last_words(self._errors) or str(error)
            raise WorkerLost(
                f"no process for the cells could be started with {self._python} ({last})",
                fix="install nb2prod in the kernel's environment, or choose another with --kernel",
            ) from error

    def ask(self, question: str, what: Mapping[str, Any]) -> str:
        """What the probe answers."""
        self._say("ask", question, dict(what))
        while (message := self._heard(None))[0] != "answer":
            pass  # what comes in the meantime belongs to cells that have ended
        return str(message[1])

    def ask_beside(self, question: str, what: Mapping[str, Any], hear: Callable[[str], object]) -> None:
        """To wait takes no time here."""
        hear(self.ask(question, what))

    def run(self, source: str, *, count: int, limit: float | None, may_fail: bool, hear: Hear) -> None:
        """Run a cell, and hear its outputs. Raises CellFailed, Died, and TooLong after `limit` seconds."""
        until = None if limit is None else time.monotonic() + limit
        hear({"output_type": "execute_input", "execution_count": count})
        self._say("run", source, count)
        while True:
            kind, *said = self._heard(until)
            if kind == "output":
                hear(said[0])
            elif kind == "ended":
                if not said[0] and not may_fail:
                    raise CellFailed
                return

    def _say(self, *message: Any) -> None:
        try:
            self._engine.send(message)
        except OSError as error:
            raise Died(ended_with(self._process)) from error

    def _heard(self, until: float | None) -> Any:
        """The next message. Raises Died, and TooLong."""
        watched: list[Any] = [self._engine, *([self._end] if self._end is not None else [])]
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready = wait(watched, left if self._end is not None else min(left or MORE_OFTEN, MORE_OFTEN))
            if self._engine in ready:
                try:
                    return self._engine.recv()
                except (EOFError, OSError) as error:
                    raise Died(ended_with(self._process)) from error
            if ready or self._process.poll() is not None:
                raise Died(ended_with(self._process))
            if until is not None and time.monotonic() >= until:
                raise TooLong

    # -- the end -----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def leave(self) -> None:
        """Hang up, and let it end as a program does."""
        self._engine.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(FAREWELL)

    def close(self) -> None:
        """Make sure of the end, also of what the notebook left running. Twice is once."""
        if self._errors.closed:
            return
        self.kill()
        self._process.wait()
        self._engine.close()
        self._errors.close()
        if self._end is not None:
            os.close(self._end)
