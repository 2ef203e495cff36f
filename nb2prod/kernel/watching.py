"""What cells look at and do beside their values, seen while they run: files, environment, programs, the network.

    watching.begin()           once a process
    with watching.on():        while cells run
        …
    watching.seen(...)         at the end: a `Seen`

Python reports what it opens and starts through its audit events. A library that opens files in C is not heard; so every
text of a step's code that looks like a path counts as looked at, too, and so does every path that it was given.

What is seen decides whether a later run may take the results instead of running the cells: it may when every file,
folder and variable is as it was, and nothing was done that putting back values would not do again.
"""

# ruff: noqa: PTH100, PTH110, PTH111, PTH112, PTH115 - paths stay texts in an audit hook, and no link is resolved

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.kernel.ambient import OURS

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DEVICES = ("/proc/", "/sys/", "/dev/")
# what libraries keep for themselves: it changes nothing that a notebook sees
OWN_CACHES = re.compile(r"fontlist-v\d+\.json|\.matplotlib-lock|\.pyc(\.\d+)?$|/__pycache__/|/\.ipynb_checkpoints/")
PATH = re.compile(r"[^\n\0<>|*?{}\"']{1,400}")
STARTS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "pty.spawn")
CHANGES = ("os.chmod", "os.chown", "os.truncate", "os.utime", "os.setxattr", "os.removexattr")
EVERY = "*"  # stands for the names of all variables


@dataclass(frozen=True, slots=True)
class Seen:
    """`variables` are digests of what was read first (empty: not set). `effects` are what cannot be put back, in words.

    `modules` are those of the author that are loaded, with their files; `loaded` the top-level names of what the cells
    imported while they ran; `path` is where Python looks for both.
    """

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    effects: tuple[str, ...] = ()
    modules: tuple[tuple[str, str], ...] = ()
    loaded: tuple[str, ...] = ()
    path: tuple[str, ...] = ()


def digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def names_of_variables(environment: Iterable[str]) -> str:
    return digest_of_text("\n".join(sorted(name for name in environment if not name.startswith(OURS))))


class _Watch:
    def __init__(self) -> None:
        self.active = False
        self.thread = threading.local()
        self.process = os.getpid()
        self.read: dict[str, None] = {}
        self.listed: dict[str, None] = {}
        self.written: dict[str, None] = {}
        self.done: dict[str, None] = {}
        self.variables: dict[str, str] = {}
        self.before: set[str] = set()
        self.allowed: set[str] = set()  # addresses that we speak to ourselves
        ours = str(Path(__file__).parents[1])
        installed = {os.path.realpath(place) for place in (sys.prefix, sys.base_prefix)}
        self.ignored = tuple(f"{place}/" for place in (*installed, sys.prefix, sys.base_prefix, ours))

    def hear(self, event: str, what: tuple[Any, ...]) -> None:
        """One audit event. Nothing that goes wrong here may be the notebook's affair."""
        if not self.active or getattr(self.thread, "busy", False):
            return
        self.thread.busy = True
        try:
            self._hear(event, what)
        except Exception as error:  # noqa: BLE001 - what cannot be looked at counts as done, so that nothing is taken for seen
            self.done.setdefault(f"does something that could not be looked at ({event}: {type(error).__name__})")
        finally:
            self.thread.busy = False

    def _hear(self, event: str, what: tuple[Any, ...]) -> None:
        if event == "open":
            self._opened(what)
        elif event in ("os.listdir", "os.scandir"):
            if not _is_import():
                self.listed.setdefault(_path("." if what[0] is None else what[0]))
        elif event in STARTS:
            self.done.setdefault(f"starts a program ({_program(event, what)})")
        elif event == "socket.connect":
            if (address := _address(what[1])) not in self.allowed:
                self.done.setdefault(f"connects to {address}")
        elif event == "sqlite3.connect" and str(what[0]) not in (":memory:", ""):
            self.done.setdefault(f"opens the database {_shown(what[0])}")
        elif event == "os.kill":
            self.done.setdefault("sends a signal to a process")
        else:
            self._changed(event, what)

    def _opened(self, what: tuple[Any, ...]) -> None:
        path, _, flags = what
        if isinstance(path, int):
            return
        found = _path(path)
        if found.startswith(DEVICES) or OWN_CACHES.search(found):
            return
        if os.path.isdir(found):
            return  # to have a nameless file in it, or to be handed on
        if isinstance(flags, int) and flags & WRITING:
            self.written.setdefault(found)
        elif found not in self.written and not found.startswith(self.ignored):
            self.read.setdefault(found)

    def _changed(self, event: str, what: tuple[Any, ...]) -> None:
        """What changes files without opening them."""
        if event == "os.rename":
            source, target = _path(what[0]), _path(what[1])
            if source not in self.written:
                self.done.setdefault(f"renames {_shown(source)}")
            self.written.pop(source, None)
            self.written.setdefault(target)
        elif event in ("os.link", "os.symlink"):
            self.written.setdefault(_path(what[1]))
        elif event == "os.mkdir":
            if not os.path.isdir(what[0]):
                self.written.setdefault(_path(what[0]))
        elif event in ("os.remove", "os.rmdir"):
            found = _path(what[0])
            if found in self.written:
                del self.written[found]
            elif os.path.lexists(found) and not OWN_CACHES.search(found):
                self.done.setdefault(f"removes {_shown(found)}")
        elif event in CHANGES and not isinstance(what[0], int):
            found = _path(what[0])
            if found not in self.written and not OWN_CACHES.search(found) and os.path.lexists(found):
                self.done.setdefault(f"changes {_shown(found)}")

    def variable(self, name: str, value: str | None) -> None:
        if self.active and not name.startswith(OURS):
            self.variables.setdefault(name, "" if value is None else digest_of_text(value))


_watches: list[_Watch] = []


def begin() -> None:
    """From now on this process can be watched. It cannot be undone: an audit hook stays."""
    if _watches:
        return
    watch = _Watch()
    _watches.append(watch)
    _watch_variables(watch)
    sys.addaudithook(watch.hear)


def _watch_variables(watch: _Watch) -> None:
    kind: Any = type(os.environ)
    get, every = kind.__getitem__, kind.__iter__

    def watched(self: Any, name: Any) -> Any:
        try:
            value = get(self, name)
        except KeyError:
            watch.variable(str(name), None)
            raise
        watch.variable(str(name), value)
        return value

    def iterated(self: Any) -> Any:
        if watch.active:
            watch.variables.setdefault(EVERY, names_of_variables(list(every(self))))
        return every(self)

    kind.__getitem__, kind.__iter__ = watched, iterated


@contextlib.contextmanager
def on() -> Iterator[None]:
    """Meanwhile what happens in this process is noted; nothing when `begin` was not called."""
    watch = _watches[0] if _watches else None
    if watch is not None:
        watch.before = watch.before or set(sys.modules)
        watch.active = True
    try:
        yield
    finally:
        if watch is not None:
            watch.active = False


@contextlib.contextmanager
def off() -> Iterator[None]:
    """Meanwhile what happens is nobody's affair: it is not the notebook's doing."""
    watches = [watch for watch in _watches if watch.active]
    for watch in watches:
        watch.active = False
    try:
        yield
    finally:
        for watch in watches:
            watch.active = True


def allow(address: str) -> None:
    """To speak to that address (`10.0.0.7:8786`) is not the notebook's doing, in whatever thread."""
    for watch in _watches:
        watch.allowed.add(address)


def look_at(values: Iterable[Any]) -> None:
    """Texts and paths that cells were given, or that stand in their code: those that may name a file count as read."""
    for watch in _watches:
        for value in values:
            if isinstance(value, str | Path) and (path := as_path(str(value))):
                watch.read.setdefault(path)


def as_path(text: str) -> str:
    """The path that a text may be meant for; empty for any other text."""
    if not PATH.fullmatch(text) or "://" in text or text.strip("./ ") == "" or text != text.strip():
        return ""
    if "/" not in text and not re.search(r"\.\w{1,10}$", text) and not os.path.exists(text):
        return ""
    return _path(os.path.expanduser(text))


def seen(is_local: Any, sources: str) -> Seen:
    """What was noted so far. `is_local` tells the author's modules by their files; `sources` is the notebook's code."""
    watch = _watches[0]
    effects = list(watch.done)
    effects += [f"writes {_shown(path)}" for path in watch.written if os.path.lexists(path)]
    if "Parallel" in sources and _has_workers():
        effects.append("works in other processes")
    modules = {
        name: file
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) and is_local(file)
    }
    loaded = {name.partition(".")[0] for name in set(sys.modules) - watch.before}
    return Seen(
        files=tuple(path for path in watch.read if path not in watch.written),
        folders=tuple(path for path in watch.listed if not f"{path}/".startswith(watch.ignored)),
        variables=dict(watch.variables),
        effects=tuple(effects),
        modules=tuple(modules.items()),
        loaded=tuple(sorted(loaded)),
        path=tuple(os.path.abspath(place) for place in sys.path),
    )


def _is_import() -> bool:
    """Whether Python itself looks for a module: it lists every folder of the import path."""
    frame: Any = sys._getframe(3)
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _has_workers() -> bool:
    module = sys.modules.get("joblib.externals.loky.reusable_executor")
    return module is not None and getattr(module, "_executor", None) is not None


def _path(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path)) if not isinstance(path, int) else os.readlink(f"/proc/self/fd/{path}")


def _shown(path: Any) -> str:
    """A path as a person writes it: from here when it is below."""
    text = os.fsdecode(path) if isinstance(path, bytes) else str(path)
    near = os.path.relpath(text) if text.startswith("/") else text
    return text if near.startswith("..") else near


def _program(event: str, what: tuple[Any, ...]) -> str:
    first = what[0] if what else event
    if event == "subprocess.Popen" and len(what) > 1:
        words = what[1] if isinstance(what[1], list | tuple) and what[1] else [what[0]]
        first = words[2] if len(words) > 2 and words[1] == "-c" else words[0]
    text = os.fsdecode(first) if isinstance(first, str | bytes | os.PathLike) else event
    return text if len(text) < 60 else text[:59] + "…"


def _address(address: Any) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return "another process" if isinstance(address, str | bytes) else socket.gethostname()
