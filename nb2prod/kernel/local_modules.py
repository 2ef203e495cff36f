"""Modules of the notebook's author: what they keep is seen by every later cell, and by no other process.

    import counting
    counting.count()        adds one to a number that the module keeps

`Watch` takes a fingerprint of such a module's own values as soon as it is imported, and tells which modules have other
values later. Installed libraries are left out: theirs are caches nearly always, and their options are carried by name.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from nb2prod.kernel import carry


class Watch(MetaPathFinder):
    """Finds modules as Python would, and looks at those that nobody installed right after their code has run."""

    def __init__(self) -> None:
        ours = Path(__file__).parents[1]  # not the author's, wherever it lies
        self._installed = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, ours)}
        self._prints: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None or not self.is_local(spec.origin):
            return None
        spec.loader = _Looking(spec.loader, self)
        return spec

    def is_local(self, origin: str | None) -> bool:
        if not origin or "site-packages" in origin or "dist-packages" in origin or not Path(origin).exists():
            return False
        return not any(Path(origin).resolve().is_relative_to(place) for place in self._installed)

    def look(self, module: types.ModuleType) -> None:
        self._prints[module.__name__] = _print_of(module)

    def changed(self) -> list[str]:
        """The modules whose values are not what they were when they were imported."""
        return [
            name
            for name, before in self._prints.items()
            if name in sys.modules and _print_of(sys.modules[name]) != before
        ]


class _Looking(Loader):
    """A loader that lets the watch look afterwards; in all else the one it stands for."""

    def __init__(self, loader: Any, watch: Watch) -> None:
        self._loader = loader
        self._watch = watch

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        made: types.ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: types.ModuleType) -> None:
        self._loader.exec_module(module)
        self._watch.look(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _print_of(module: types.ModuleType) -> str:
    """A fingerprint of what the module keeps: its values, also those in its classes and functions."""
    namespace = dict(vars(module))
    own = [name for name, value in namespace.items() if not name.startswith("__") and _is_kept(value, module)]
    parts = {name: _inside(namespace[name], module) for name in own}
    return carry.fingerprint(parts, sorted(parts))


def _is_kept(value: Any, module: types.ModuleType) -> bool:
    if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
        return False
    if isinstance(value, type | types.FunctionType):
        return value.__module__ == module.__name__
    return True


def _inside(value: Any, module: types.ModuleType) -> Any:
    """Of a class or function what may change in it; any other value as it is."""
    if isinstance(value, types.FunctionType):
        return [value.__defaults__, value.__kwdefaults__, vars(value), [_content(c) for c in value.__closure__ or ()]]
    if isinstance(value, type):
        return {
            name: item
            for name, item in vars(value).items()
            if not name.startswith("__")
            and not callable(item)
            and not isinstance(item, property | types.MemberDescriptorType)
        }
    return value


def _content(cell: Any) -> Any:
    try:
        found = cell.cell_contents
    except ValueError:
        return None
    return None if callable(found) else found
