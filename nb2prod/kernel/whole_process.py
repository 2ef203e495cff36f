"""The whole notebook in one process without a kernel: cells run in IPython's shell, one after the other, in order.

The engine speaks through a socket that the process inherits: `("begin", directory)` is answered by `("ready",)`,
`("ask", question, what)` by `("answer", text)` as the probe gives it, and `("run", source, count)` by any number of
`("output", output)` and then `("ended", succeeded)`. When the engine hangs up, the process ends as a program does.

Cells run inside of a running event loop, as in Jupyter: tasks that one starts go on while the next ones run, and
`asyncio.run` is refused. What talks to a kernel (widgets, `%connect_info`) is refused and says so.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from nb2prod.kernel import probe, step_shell
from nb2prod.kernel.nursery import die_with_parent

OF_KERNELS = ("connect_info", "qtconsole", "subshell", "edit", "less", "more", "man")
AT_ONCE = 0.02  # seconds: a line that comes this much after the last one does not wait
SOON = 0.1  # seconds that other lines wait for more of them
MANY = 8_192  # characters that do not wait
NO_KERNEL = "needs a kernel, and the engine `inprocess` has none: run the notebook with --engine papermill"
# what a kernel sets, and programs that a cell starts heed
SURROUNDINGS = {
    **{"TERM": "xterm-color", "CLICOLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"},
    **{"PAGER": "cat", "GIT_PAGER": "cat"},
}


def main(descriptor: int) -> None:
    """Work for the engine until it hangs up."""
    from IPython.core.async_helpers import get_asyncio_loop

    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine hears it, and ends us
    os.set_inheritable(descriptor, False)
    process = _Process(Connection(descriptor))
    loop = get_asyncio_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(process.serve())
    process.close()


class _Process:
    """IPython's shell, the run's probe, and the way to the engine."""

    def __init__(self, engine: Connection) -> None:
        from ipykernel.compiler import XCachingCompiler  # names the files of tracebacks and warnings

        self.engine = engine
        self.speaking = threading.Lock()
        self.failed = False
        os.environ.update(SURROUNDINGS)
        self.shell = step_shell.open_shell(self._output, colors="neutral")
        self.shell.kernel = step_shell.NoKernel(NO_KERNEL)
        self.shell.compile = XCachingCompiler()
        self.shell.user_module.__doc__ = "Automatically created module for IPython interactive environment"
        _refuse_what_needs_a_kernel(self.shell)
        self.descriptors = step_shell.Descriptors(self._output)
        sys.stdout = self.stdout = _Said("stdout", self._output, 1)
        sys.stderr = self.stderr = _Said("stderr", self._output, 2)

    def _say(self, *message: Any) -> None:
        with self.speaking:
            self.engine.send(message)

    def _output(self, output: Mapping[str, Any]) -> None:
        kind = output["output_type"]
        if kind == "error":
            self.failed = True
        if kind != "stream":
            self._settle()
            output = {name: _as_json(value) for name, value in output.items()}
        self._say("output", output)

    def _settle(self) -> None:
        """What was written so far comes first."""
        for stream in dict.fromkeys((sys.stdout, sys.stderr, self.stdout, self.stderr)):
            stream.flush()
        self.descriptors.drain()

    async def serve(self) -> None:
        """Do what the engine asks for, until it hangs up; meanwhile the notebook's own tasks go on."""
        arrived = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.engine.fileno(), arrived.set)
        while True:
            await arrived.wait()
            arrived.clear()
            try:
                while self.engine.poll():
                    await self._do(*self.engine.recv())
                    await asyncio.sleep(0)
            except (EOFError, OSError):
                return

    async def _do(self, request: str, *what: Any) -> None:
        if request == "run":
            await self._run(*what)
        elif request == "ask":
            question, words = what
            with step_shell.silenced():
                answer = probe.ask(self.directory, question, **words)
            self._say("answer", answer.text)
        else:
            self.directory: str = what[0]
            probe.start(self.directory)
            self._say("ready")

    async def _run(self, source: str, count: int) -> None:
        self.failed = False
        self.shell.execution_count = count
        if "await" in source or "async" in source:
            succeeded = await self._run_awaiting(source)
        else:
            succeeded = self.shell.run_cell(source, store_history=True).success
        self._settle()
        self._say("ended", succeeded and not self.failed)

    async def _run_awaiting(self, source: str) -> bool:
        """A cell that may wait for something, run as a kernel runs it."""
        shell, wrong = self.shell, None
        try:
            transformed = shell.transform_cell(source)
        except Exception:  # noqa: BLE001 - the shell reports it when it runs the cell
            transformed, wrong = source, sys.exc_info()
        found = {"transformed_cell": transformed, "preprocessing_exc_tuple": wrong}
        if not shell.should_run_async(source, **found):
            return bool(shell.run_cell(source, store_history=True).success)
        result = None
        try:
            result = await asyncio.ensure_future(shell.run_cell_async(source, store_history=True, **found))
        finally:
            shell.events.trigger("post_execute")
            shell.events.trigger("post_run_cell", result)
        return bool(result.success)

    def close(self) -> None:
        """The end of the process, as an interpreter ends: open files are flushed, `atexit` is heard."""
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        self.shell.user_ns.clear()
        gc.collect()
        atexit._run_exitfuncs()
        os._exit(0)


class _Said(step_shell.Said):
    """A standard stream whose lines travel together: a loop that prints would wait for the socket with each of them."""

    encoding = "UTF-8"

    def __init__(self, name: str, listener: step_shell.Listener, descriptor: int) -> None:
        super().__init__(name, listener, descriptor)
        self._last = 0.0
        self._size = 0
        self._more = threading.Event()
        threading.Thread(target=self._flush_soon, daemon=True).start()

    def write(self, text: str) -> int:
        if not isinstance(text, str) or os.getpid() != self._process:
            return super().write(text)
        with self._lock:
            self._text.append(text)
            self._size += len(text)
            now = time.monotonic()
            if "\n" in text and (self._size > MANY or now - self._last > AT_ONCE):
                self.flush()
            elif not self._more.is_set():
                self._more.set()
        return len(text)

    def _flush_soon(self) -> None:
        """What waits for more to come does not wait for long."""
        while self._more.wait():
            time.sleep(SOON)
            self._more.clear()
            self.flush()

    def flush(self) -> None:
        if os.getpid() != self._process:
            return
        with self._lock:
            super().flush()
            self._size, self._last = 0, time.monotonic()


def _as_json(value: Any) -> Any:
    """A display's data as a message would have carried it."""
    if isinstance(value, str | int | float | None):
        return value
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    try:
        from jupyter_client.jsonutil import json_default

        return json_default(value)
    except TypeError:
        return repr(value)


def _refuse_what_needs_a_kernel(shell: Any) -> None:
    """Refused with a reason: else these would fail in other words, or do nothing where Jupyter does something."""
    import comm
    from IPython.core.error import UsageError

    def refusing(name: str) -> Any:
        def refuse(line: str = "") -> None:
            raise UsageError(f"%{name} {NO_KERNEL}")

        return refuse

    def no_widgets(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"a widget {NO_KERNEL}")

    for name in OF_KERNELS:
        shell.register_magic_function(refusing(name), "line", name)
    for name in ("clear", "autosave"):  # of the page that nobody looks at
        shell.register_magic_function(lambda line="": None, "line", name)
    comm.create_comm = no_widgets
    shell.set_hook("show_in_pager", lambda *_, **__: None, 99)  # help goes beside the notebook, not into it
