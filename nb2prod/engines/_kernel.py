"""One kernel: started, spoken to in Jupyter's own messages, watched, ended.

Two things are read at once, the kernel's answers and what it shows; that the process has ended is a third, so that
nobody has to look every second whether it still lives. The sockets are in a folder of ours alone: over TCP the
machine's other users could listen.
"""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from nb2prod.core.errors import StoreError, WorkerLost
from nb2prod.engines._step_processes import TooLong
from nb2prod.engines._widgets import Widgets
from nb2prod.storage import scratch

PROBE = "__import__('nb2prod.kernel.probe', fromlist=['_'])"
START = 60.0  # seconds that a kernel may take until it answers
FAREWELL = 5.0  # seconds that it may take to end by itself
AGAIN = 0.2  # seconds after which a kernel is greeted again: it may have spoken before we listened
Hear = Callable[[Mapping[str, Any]], None]
SHOWN = ("display_data", "update_display_data", "execute_result")


class CannotStart(Exception):
    """The kernel did not answer: the message says why."""


class Died(Exception):
    """The process is gone: the message says how it ended."""


class CellFailed(Exception):
    """The cell's code failed; what it said is among its outputs."""


class Kernel:
    """A kernel of that name, started in `folder`; nothing is known of it before `ready`."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], directory: str) -> None:
        import zmq
        from jupyter_client.manager import KernelManager

        self.name = name
        self.directory = directory  # the run's, by which the probe knows it
        self._sockets = tempfile.mkdtemp(prefix=scratch.prefix())
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it is closed when the kernel is
        self._manager = KernelManager(kernel_name=name)
        if os.name == "posix":
            self._manager.connection_file = str(Path(self._sockets) / "kernel.json")
            self._manager.transport = "ipc"
        # no history file: runs at the same time would wait for each other
        extra = ["--HistoryManager.hist_file=:memory:"] if self._manager.ipykernel else []
        try:
            # what cells write to the descriptors is heard as messages; our own stdout may be for one JSON document
            said = {"stdout": subprocess.DEVNULL, "stderr": self._errors}
            self._manager.start_kernel(extra_arguments=extra, cwd=str(folder), env=dict(environment), **said)
        except OSError as error:
            self._errors.close()
            shutil.rmtree(self._sockets, ignore_errors=True)
            raise StoreError(f"the kernel {name!r} cannot be started: {error}", fix="--kernel names another") from error
        self._process = getattr(self._manager.provisioner, "process", None)
        self._group = os.getpgid(self._process.pid) if self._process and os.name == "posix" else None
        self._session = self._manager.session
        self._zmq = zmq
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._shell = self._connected("shell", zmq.DEALER)
        self._iopub = self._connected("iopub", zmq.SUB)
        self._poller.register(self._shell, zmq.POLLIN)
        self._poller.register(self._iopub, zmq.POLLIN)
        self._end = end_of(self._process)
        if self._end is not None:
            self._poller.register(self._end, zmq.POLLIN)
        self._waiting: dict[str, Callable[[Mapping[str, Any]], object]] = {}
        self._earlier: dict[str, Hear] = {}  # cells that have ended: their threads and programs may still print
        self.widgets = Widgets(self._session, self._shell)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the notebook's metadata has to say after the run."""
        return self.widgets.metadata()

    def _connected(self, channel: str, kind: int) -> Any:
        found = self._manager.get_connection_info()
        separator = "-" if found["transport"] == "ipc" else ":"
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.reconnect_ivl = 5  # milliseconds: we are there before the kernel is
        if kind == self._zmq.SUB:
            socket.rcvhwm = 0  # whatever a cell shows is waited for
            socket.subscribe(b"")
        else:
            socket.identity = self._session.bsession
        socket.connect(f"{found['transport']}://{found['ip']}{separator}{found[f'{channel}_port']}")
        return socket

    # -- messages ----------------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """Wait until it answers, and until we hear what it shows. Raises CannotStart."""
        asked: set[str] = set()
        answered = heard = False
        began = time.monotonic()
        greeted = 0.0
        while not (answered and heard):
            now = time.monotonic()
            if now - began > START:
                raise CannotStart(f"it did not answer in {START:g} seconds")
            if not asked or (answered and now - greeted > AGAIN):
                asked.add(self._send("kernel_info_request", {}))
                greeted = now
            try:
                found = self._next(now + AGAIN)
            except Died as error:
                raise CannotStart(last_words(self._errors) or f"it died before it answered: {error}") from error
            if found is not None and found[1]["parent_header"].get("msg_id") in asked:
                answered = answered or found[0] is self._shell
                heard = heard or found[0] is self._iopub
        self._evaluate(f"{PROBE}.start({self.directory!r})")

    def ask(self, question: str, what: Mapping[str, Any]) -> str:
        """What the probe answers."""
        return self._evaluate(self._question(question, what))

    def ask_beside(self, question: str, what: Mapping[str, Any], hear: Callable[[str], object]) -> None:
        """The same without waiting: the answer comes while the next cell runs."""
        sent = self._send("execute_request", _request("", {"asked": self._question(question, what)}))
        self._waiting[sent] = lambda content: hear(self._answer(content))

    def run(self, source: str, *, count: int, limit: float | None, may_fail: bool, hear: Hear) -> None:
        """Run a cell, and hear its outputs, as nbformat has them.

        Raises CellFailed, Died, and TooLong when it has not ended after `limit` seconds. The kernel counts by itself.
        """
        sent = self._send("execute_request", {**_request(source), "silent": False, "stop_on_error": not may_fail})
        until = None if limit is None else time.monotonic() + limit
        answer: Mapping[str, Any] | None = None
        idle = False
        while answer is None or not idle:
            found = self._next(until if answer is None else None)
            if found is None:
                if answer is None and until is not None and time.monotonic() >= until:
                    raise TooLong
                continue
            socket, message = found
            mine = message["parent_header"].get("msg_id") == sent
            if socket is self._shell:
                answer = message["content"] if mine else answer
            elif message["msg_type"].startswith("comm"):
                self.widgets.hear(message)
            elif mine:
                idle = idle or message["content"].get("execution_state") == "idle"
                self._output(message, hear)
        self._earlier[sent] = hear
        if answer["status"] != "ok" and not may_fail:
            raise CellFailed

    def _output(self, message: Mapping[str, Any], hear: Hear) -> None:
        if self.widgets.take(message):
            return
        kind, content = message["msg_type"], message["content"]
        if kind in SHOWN:
            said = {name: content[name] for name in ("data", "metadata", "execution_count") if name in content}
            hear({"output_type": kind, **said, "display_id": (content.get("transient") or {}).get("display_id")})
        elif kind == "clear_output":
            hear({"output_type": kind, "wait": bool(content.get("wait"))})
        elif kind in ("stream", "error", "execute_input"):
            hear({"output_type": kind, **content})

    def _send(self, kind: str, content: dict[str, Any]) -> str:
        return str(self._session.send(self._shell, kind, content)["header"]["msg_id"])

    def _next(self, until: float | None) -> tuple[Any, dict[str, Any]] | None:
        """(socket, message); None when it is too late, or when it was for somebody else, who has it."""
        while True:
            left = 1.0 if until is None else until - time.monotonic()
            ready = dict(self._poller.poll(int(max(0.0, 1000 * (left if self._end is not None else min(left, 1.0))))))
            for socket in (self._iopub, self._shell):
                if socket in ready:
                    _, message = self._session.recv(socket, mode=0)
                    asked = message["parent_header"].get("msg_id", "")
                    if socket is self._shell and asked in self._waiting:
                        self._waiting.pop(asked)(message["content"])
                        return None
                    if socket is self._iopub and asked in self._earlier:
                        self._output(message, self._earlier[asked])
                        return None
                    return socket, message
            else:
                if self._end in ready or (self._end is None and not self._manager.is_alive()):
                    raise Died(ended_with(self._process))
                if until is not None and time.monotonic() >= until:
                    return None

    def _question(self, question: str, what: Mapping[str, Any]) -> str:
        words = "".join(f", {name}={value!r}" for name, value in what.items())
        return f"{PROBE}.ask({self.directory!r}, {question!r}{words})"

    def _evaluate(self, expression: str) -> str:
        """The text that an expression gives in the kernel, evaluated beside the notebook's cells."""
        answers: list[str] = []
        sent = self._send("execute_request", _request("", {"asked": expression}))
        self._waiting[sent] = lambda content: answers.append(self._answer(content))
        while not answers:
            # what comes in the meantime belongs to cells that have ended
            self._next(time.monotonic() + AGAIN)
        return answers[0]

    def _answer(self, content: Mapping[str, Any]) -> str:
        result = content.get("user_expressions", {}).get("asked", {})
        if result.get("status") != "ok":
            raise _no_probe(self.name, result or content)
        return str(ast.literal_eval(result["data"]["text/plain"]))

    # -- the end -----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End the kernel and every process it started."""
        if self._group is not None and self._group != os.getpgid(0):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)

    def leave(self) -> None:
        """Ask it to end as a program does: open files are flushed, `atexit` is heard. `close` waits for that."""
        self._waiting.clear()
        with contextlib.suppress(self._zmq.ZMQError):
            control = self._connected("control", self._zmq.DEALER)
            self._session.send(control, "shutdown_request", {"restart": False})
            until = time.monotonic() + FAREWELL
            with contextlib.suppress(Died):
                while time.monotonic() < until:
                    self._next(until)
            control.close()

    def close(self) -> None:
        """Make sure of the end, also of what the notebook left running: a server, a pool of workers. Twice is once."""
        if self._context.closed:
            return
        self.kill()
        with contextlib.suppress(RuntimeError):  # "No kernel is running": that is what is wanted
            self._manager.shutdown_kernel(now=True)
        if self._end is not None:
            os.close(self._end)
        self._errors.close()
        self._context.destroy(linger=0)
        shutil.rmtree(self._sockets, ignore_errors=True)


def _request(code: str, expressions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """An execute request; without code it leaves no trace."""
    return {
        "code": code,
        "silent": not code,
        "store_history": bool(code),
        "user_expressions": dict(expressions or {}),
        "allow_stdin": False,
        "stop_on_error": False,
    }


def last_words(errors: IO[str]) -> str:
    """The last line that a process wrote to stderr."""
    errors.seek(0)
    return next((line for line in reversed(errors.read().splitlines()) if line.strip()), "").strip()


def ended_with(process: Any) -> str:
    """How a process ended, in words."""
    code = None
    with contextlib.suppress(AttributeError, subprocess.TimeoutExpired):
        code = process.wait(1)
    if code == -signal.SIGKILL:
        return "it was ended by SIGKILL, which is what the system does when memory runs out"
    if code is not None and code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it exited with code {code}" if code is not None else "it stopped answering"


def end_of(process: Any) -> int | None:
    """A descriptor that can be read when the process has ended; None where there is no such thing."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None


def _no_probe(kernel: str, result: Mapping[str, Any]) -> WorkerLost:
    reason = f"{result.get('ename', 'it')}: {result.get('evalue', 'gave no answer')}"
    shadowed = "is not a package" in reason or "has no attribute" in reason
    fix = "install nb2prod in the kernel's environment, or choose another with --kernel"
    return WorkerLost(
        f"nb2prod cannot work inside the kernel {kernel!r} ({reason})",
        fix="rename the file nb2prod.py beside the notebook: it stands in the way" if shadowed else fix,
    )
