"""An IPython shell in a process without a kernel: cells run as they do in Jupyter, their outputs go to a listener.

The listener gets outputs as nbformat has them (`{"output_type": "stream", …}`) plus `{"output_type": "clear_output"}`.
What is written to the file descriptors 1 and 2 (by a program that a cell starts, by a C library) arrives as well.
"""

from __future__ import annotations

import builtins
import codecs
import contextlib
import io
import os
import select
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Listener = Callable[[Mapping[str, Any]], None]
NOTEBOOKS = "ZMQInteractiveShell"
NO_KERNEL = "needs a kernel, and there is none here: run the notebook with --engine papermill"
NO_INPUT = "raw_input was called, but this frontend does not support input requests."


def open_shell(listener: Listener, colors: str = "nocolor") -> Any:
    """The shell of this process, with a namespace of its own that is the module `__main__`."""
    from traitlets.config import Config

    kind, hook, publisher = _classes(listener)
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = colors
    settings.InteractiveShell.history_load_length = 0
    module = types.ModuleType("__main__")
    shell = kind.instance(config=settings, user_module=module, displayhook_class=hook, display_pub_class=publisher)
    sys.modules["__main__"] = module
    if "" not in sys.path:
        sys.path.insert(0, "")
    module.__dict__.setdefault("display", _display())
    _refuse_input()
    _as_in_jupyter(shell)
    return shell


def _classes(listener: Listener) -> tuple[Any, Any, Any]:
    """A shell, what shows the value of a last line, and what `display(…)` shows: all of it goes to the listener."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    class Hook(DisplayHook):  # type: ignore[misc]  # IPython is followed no further
        """The value of a cell's last line."""

        def write_output_prompt(self) -> None:
            self.data: dict[str, Any] = {}

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            self.data = {"data": _plain(format_dict), "metadata": md_dict or {}}

        def finish_displayhook(self) -> None:
            if self.data.get("data"):
                count = self.prompt_count
                listener({"output_type": "execute_result", "execution_count": count, **self.data})
            self.data = {}

    class Publisher(DisplayPublisher):  # type: ignore[misc]
        """What `display(…)` shows."""

        def publish(self, data: Any, metadata: Any = None, *_: Any, transient: Any = None, **more: Any) -> None:
            kind = "update_display_data" if more.get("update") else "display_data"
            display = (transient or {}).get("display_id")
            listener({"output_type": kind, "data": _plain(data), "metadata": metadata or {}, "display_id": display})

        def clear_output(self, wait: bool = False) -> None:
            listener({"output_type": "clear_output", "wait": wait})

    class Shell(InteractiveShell):  # type: ignore[misc]
        """What Jupyter's shell is to its kernel."""

        def enable_gui(self, gui: Any = None) -> None:
            """There is no screen."""

        def _showtraceback(self, kind: Any, value: Any, trace: list[str]) -> None:
            sys.stdout.flush()
            sys.stderr.flush()
            listener({"output_type": "error", "ename": str(kind.__name__), "evalue": str(value), "traceback": trace})

    return Shell, Hook, Publisher


def _as_in_jupyter(shell: Any) -> None:
    """Libraries ask whether a notebook shows what they say (pandas, when it is imported: how wide a table may be)."""
    kind = type(shell)
    kind.__module__, kind.__name__, kind.__qualname__ = "ipykernel.zmqshell", NOTEBOOKS, NOTEBOOKS
    shell.kernel = NoKernel(NO_KERNEL)
    builtins.get_ipython = shell.get_ipython  # type: ignore[attr-defined]  # also where no cell runs


class NoKernel:
    """Is there, as in Jupyter, and can nothing."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"get_ipython().kernel.{name} {self._why}")


def _display() -> Any:
    from IPython.display import display

    return display


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data as a message carries it: bytes as base64, as nbformat has them."""
    import base64

    return {
        kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value for kind, value in data.items()
    }


def _refuse_input() -> None:
    from IPython.core.error import StdinNotImplementedError

    def nobody(*_: Any, **__: Any) -> str:
        raise StdinNotImplementedError(NO_INPUT)

    builtins.input = nobody
    import getpass

    getpass.getpass = nobody


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Meanwhile what is printed goes nowhere: it is no part of the notebook."""
    with io.StringIO() as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


class Said(io.TextIOBase):
    """A standard stream whose text goes to the listener line by line."""

    def __init__(self, name: str, listener: Listener, descriptor: int) -> None:
        super().__init__()
        self.name = name
        self._listener = listener
        self._descriptor = descriptor
        self._text: list[str] = []
        self._lock = threading.RLock()
        self._process = os.getpid()

    encoding = "utf-8"
    errors = "replace"

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if os.getpid() != self._process:  # a child that the notebook forked has no listener
            return os.write(self._descriptor, text.encode("utf-8", "replace"))
        with self._lock:
            self._text.append(text)
            if "\n" in text or len(self._text) > 1000:
                self.flush()
        return len(text)

    def flush(self) -> None:
        if os.getpid() != self._process:
            return
        with self._lock:
            text, self._text = "".join(self._text), []
            if text:
                self._listener({"output_type": "stream", "name": self.name, "text": text})


class Descriptors:
    """Meanwhile the file descriptors 1 and 2 lead to the listener too; `drain` waits for what is on its way."""

    def __init__(self, listener: Listener) -> None:
        self._pipes: list[_Pipe] = []
        for name, number in (("stdout", 1), ("stderr", 2)):
            reading, writing = os.pipe()
            os.dup2(writing, number)
            os.close(writing)
            self._pipes.append(_Pipe(name, number, reading, listener))

    def drain(self) -> None:
        for pipe in self._pipes:
            pipe.drain()


class _Pipe:
    """What is written to one descriptor, read by a thread."""

    def __init__(self, name: str, number: int, end: int, listener: Listener) -> None:
        self._name = name
        self._number = number
        self._end = end
        self._listener = listener
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._mark = os.urandom(12)
        self._marked = threading.Event()
        self._waiting = b""  # what may be the beginning of a mark is not shown before the rest has come
        self._delivering = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            _has_something(self._end, None)
            with self._delivering:
                content = os.read(self._end, 65536)
                if not content:
                    return
                self._deliver(self._waiting + content)

    def _deliver(self, content: bytes) -> None:
        seen = self._mark in content
        content = content.replace(self._mark, b"")
        held = 0 if seen else next((n for n in range(11, 0, -1) if content.endswith(self._mark[:n])), 0)
        ready, self._waiting = content[: len(content) - held], content[len(content) - held :]
        if ready:
            self._listener({"output_type": "stream", "name": self._name, "text": self._decoder.decode(ready)})
        if seen:
            self._marked.set()

    def drain(self) -> None:
        """Mostly nothing is on its way: then nobody has to wait for the thread."""
        with self._delivering:
            if not self._waiting and not _has_something(self._end, 0):
                return
        self._marked.clear()
        os.write(self._number, self._mark)
        self._marked.wait(5)


def _has_something(end: int, seconds: float | None) -> bool:
    asked = select.poll()
    asked.register(end, select.POLLIN)
    return bool(asked.poll(seconds))
