"""A process that is warm for a map: folder, libraries, IPython where it is wanted, and the shared cells, run once.

What an item starts from is the state after the warm cells. A forked item has it as a copy. In the modes without a fork
`Reset` puts it back before each item: the namespace, name by name, and the ambient state (`kernel/ambient.py`). What
it cannot put back it looks at after each batch (`leaks`): values that warm cells made, modules of the notebook's
author, threads. A library's own state, C state and caches are not seen; docs/map.md says so.
"""

from __future__ import annotations

import ast
import contextlib
import copyreg
import importlib
import importlib.util
import os
import random
import sys
import tempfile
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.mapping import Item
from nb2prod.kernel import ambient, carry, keep, map_first_use, map_tests
from nb2prod.kernel.local_modules import Watch
from nb2prod.kernel.map_cells import Compiled, Namespace, compile_cells, executable, execute
from nb2prod.kernel.map_item import Trouble, failure
from nb2prod.kernel.map_job import Job, JobCell


class SharedFailed(Exception):
    """A warm cell fails, or a cell cannot be compiled."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.error)
        self.trouble = trouble


class Warm:
    """The process after the warm cells. Raises SharedFailed."""

    def __init__(self, job: Job) -> None:
        self.job = job
        _enter(job)
        os.environ.setdefault("MPLBACKEND", "agg")  # there is no screen
        self.watch = Watch()
        sys.meta_path.insert(0, self.watch)
        streams = _streams()
        self.namespace = _open_namespace(job)
        self.given = frozenset(self.namespace)
        warm, each = _compiled(job, job.warm), _compiled(job, job.each)
        _import_ahead(each)
        for compiled in warm:
            _run(compiled, self.namespace)
        with keep.undisturbed():
            map_first_use.all_loaded()
        self.each = tuple(each)
        # nobody seeded: then every item gets a stream of its own, as every run of the notebook would
        self.fresh_streams = not job.seeded and _streams() == streams
        self._random = random.getstate()

    @property
    def names(self) -> list[str]:
        """What the warm cells bound."""
        return [name for name in self.namespace if name not in self.given]

    def start(self, item: Item) -> None:
        """Right before an item: its random streams. A fork by itself gives `random` a new seed, and numpy none."""
        if self.fresh_streams:
            random.seed()
            sys.modules["numpy.random"].seed()
        else:
            random.setstate(self._random)


class Reset:
    """Puts a process back to where its first item started."""

    def __init__(self, warm: Warm) -> None:
        self._warm = warm
        for value in warm.namespace.values():
            if isinstance(value, type) and value.__module__ == "__main__":
                copyreg._slotnames(value)  # type: ignore[attr-defined]  # what pickling would add to the class
        self._base = dict(warm.namespace)
        self._ambient = ambient.taken()
        self._threads = threading.active_count()
        self._prints = {name: carry.fingerprint(self._base, [name]) for name in warm.names}
        self._print = self._fingerprint()

    def unseen(self) -> list[str]:
        """Names whose values cannot be compared, so that nobody could tell whether an item changed them."""
        return [name for name, print_ in self._prints.items() if not print_]

    def __call__(self) -> None:
        namespace = self._warm.namespace
        namespace.clear()
        namespace.update(self._base)
        ambient.put(self._ambient)

    def leaks(self) -> str:
        """What items changed that the reset does not put back; empty when nothing is known."""
        if self._fingerprint() != self._print:
            changed = [name for name, print_ in self._prints.items() if carry.fingerprint(self._base, [name]) != print_]
            return f"items change `{changed[0]}`, which the next item would see" if changed else ""
        if modules := self._warm.watch.changed():
            return f"items change what the module {modules[0]} keeps, which the next item would see"
        if threading.active_count() > self._threads:
            return "items leave threads running"
        return ""

    def _fingerprint(self) -> str:
        return carry.fingerprint(self._base, list(self._prints))


def _enter(job: Job) -> None:
    """The notebook's folder; where there is none, a new one with the modules that lay beside the notebook."""
    folder = Path(job.folder)
    if not folder.is_dir():
        folder = Path(tempfile.mkdtemp(prefix="nb2prod-map-"))
        for name, source in job.modules.items():
            (folder / name).write_text(source, encoding="utf-8")
    os.chdir(folder)
    if "" not in sys.path:
        sys.path.insert(0, "")


def _streams() -> Any:
    import numpy.random

    state = numpy.random.get_state()
    return random.getstate(), tuple(map(str, state)), state[1].tobytes()  # type: ignore[index]


def _open_namespace(job: Job) -> Namespace:
    """The module `__main__`: IPython's, except where cells run as a plain function."""
    if job.isolation == "function":
        module = types.ModuleType("__main__")
        module.__dict__["__builtins__"] = __builtins__
        sys.modules["__main__"] = module
        return module.__dict__
    from nb2prod.kernel import step_shell

    shell = step_shell.open_shell(_nobody)
    if any("get_ipython()" in executable(cell.source) for cell in job.cells if cell.sort != "test"):
        shell.extension_manager.load_extension("nb2prod")  # the notebook may use our magics without saying so
    namespace: Namespace = shell.user_ns
    return namespace


def _nobody(output: Mapping[str, Any]) -> None:
    """What a cell shows: there is no executed notebook to keep it in."""


def _compiled(job: Job, cells: tuple[JobCell, ...]) -> list[Compiled]:
    try:
        return compile_cells(job, cells)
    except SyntaxError as error:
        cell = next((cell for cell in cells if f"<cell {cell.index}>" == error.filename), cells[0])
        text = f"SyntaxError: {error.msg}"
        raise SharedFailed(Trouble("failed", text, cell.step or None, cell.index, error.lineno)) from error


def _run(compiled: Compiled, namespace: Namespace) -> None:
    try:
        execute(compiled.code, namespace)
    except BaseException as error:
        if not compiled.cell.may_fail:
            raise SharedFailed(failure(error, compiled)) from error


def _import_ahead(each: list[Compiled]) -> None:
    """What the items' cells import is imported once, here; what cannot be fails in the item that asks for it."""
    for compiled in each:
        for name in _imported(compiled.cell):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        if compiled.cell.sort == "test":
            map_tests.load()


def _imported(cell: JobCell) -> Iterator[str]:
    for node in ast.walk(ast.parse("" if cell.sort == "test" else executable(cell.source))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def is_installed(name: str) -> bool:
    """Whether a module comes with Python or was installed, from where its top-level package is now."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    origin = (spec.origin or "") if spec is not None else ""
    return "site-packages" in origin or "dist-packages" in origin
