"""A test must leave the notebook as it was: what can be put back is put back, what cannot is found.

Put back: names bound anew, the random streams of `random` and `numpy.random`, environment, working directory, import
path, figures opened. Found: values changed in place (`df["x"] = 1`, `model.fit(…)`), because the notebook would go on
with them: their content is compared by digest before and after.
"""

from __future__ import annotations

import inspect
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

logger = logging.getLogger(__name__)
CHEAP = 0.05  # seconds: a value that takes longer is compared once a cell instead of once a test
MISSING = object()


@contextmanager
def restoring(namespace: Mapping[str, Any]) -> Iterator[None]:
    """Put back afterwards what tests may have moved. Names are put back when `namespace` can be written."""
    with ExitStack() as afterwards:
        afterwards.callback(random.setstate, random.getstate())
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            afterwards.callback(numpy_random.set_state, numpy_random.get_state())
        afterwards.callback(_restore_environment, dict(os.environ))
        afterwards.callback(os.chdir, Path.cwd())
        afterwards.callback(sys.path.__setitem__, slice(None), list(sys.path))
        afterwards.callback(_close_figures, _figures())
        if isinstance(namespace, MutableMapping):
            afterwards.callback(_restore_names, namespace, dict(namespace))
        yield


class Watched:
    """Values with a digest of their content, to be compared with what they are later.

    A value that has no digest (a generator, a lock) is left out: whether it changed cannot be said.
    """

    def __init__(self, values: Mapping[str, Any], digest: Callable[[Any], str]) -> None:
        self._values = values
        self._digest = digest
        self._digests: dict[str, str] = {}
        self.cheap: set[str] = set()
        for name in sorted(values):
            started = time.perf_counter()
            before = self._digest_of(name)
            if before is not None:
                self._digests[name] = before
            if time.perf_counter() - started < CHEAP:
                self.cheap.add(name)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._digests)

    def changed(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` whose value has changed since the last look."""
        found = []
        for name in sorted(set(names) & self._digests.keys()):
            now = self._digest_of(name)
            if now != self._digests[name]:
                found.append(name)
                self._digests[name] = now or ""
        return tuple(found)

    def _digest_of(self, name: str) -> str | None:
        try:
            return self._digest(self._values[name])
        except Exception:
            logger.debug("the value of %s has no digest", name, exc_info=True)
            return None


def reachable(names: Iterable[str], cell: Mapping[str, frozenset[str]], namespace: Mapping[str, Any]) -> set[str]:
    """`names` and what they lead to: through functions of the test cell (`cell`) and through the notebook's own."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += cell[name] if name in cell else _names_in(namespace.get(name), namespace)
    return found


def is_data(value: Any) -> bool:
    """Whether a value is something that a test could change in place."""
    fixed = (ModuleType, FunctionType, BuiltinFunctionType, type, str, bytes, int, float, complex, type(None))
    return not isinstance(value, fixed)


def _names_in(value: Any, namespace: Mapping[str, Any]) -> Iterable[str]:
    """Global names that the code of a notebook's function, class or instance mentions."""
    home = namespace.get("__name__", "__main__")
    kind = value if isinstance(value, type) else type(value)
    if isinstance(value, FunctionType):
        inner = inspect.unwrap(value)
        own = isinstance(inner, FunctionType) and inner.__module__ == home
        return _names_of_code(inner.__code__) if own else ()
    if kind.__module__ != home:
        return ()
    methods = [getattr(member, "__func__", member) for member in vars(kind).values()]
    return [name for m in methods if isinstance(m, FunctionType) for name in _names_of_code(m.__code__)]


def _names_of_code(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_of_code(constant)


def _restore_names(namespace: MutableMapping[str, Any], before: Mapping[str, Any]) -> None:
    for name in [name for name in namespace if name not in before]:
        del namespace[name]
    for name, value in before.items():
        if namespace.get(name, MISSING) is not value:
            namespace[name] = value


def _restore_environment(before: Mapping[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


def _figures() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return list(pyplot.get_fignums()) if pyplot is not None else []


def _close_figures(before: list[int]) -> None:
    for number in _figures():
        if number not in before:
            sys.modules["matplotlib.pyplot"].close(number)
