"""How functions, cells of closures and what each process has once are made again where values arrive.

A function of the notebook is bound to the namespace that it arrives in: there it sees a global that is bound again
later, just as in the notebook. The names of what is called on arrival stand in every parcel, also in those at rest: who
moves one raises the formats of `storage.step_entries` and `storage.points`.
"""

from __future__ import annotations

import functools
import importlib
import io
import os
import sys
import threading
import types
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

HERE = "<notebook>"
_here = threading.local()


class arriving:
    """Meanwhile functions that are unpickled belong to `namespace`."""

    def __init__(self, namespace: MutableMapping[str, Any]) -> None:
        self.namespace = namespace

    def __enter__(self) -> None:
        _here.namespace = self.namespace

    def __exit__(self, *_: Any) -> None:
        del _here.namespace


def home_of(function: types.FunctionType, namespace: Mapping[str, Any]) -> str | None:
    """Where a function's globals are: in the notebook, or in a module; None when it is imported by its name."""
    if function.__globals__ is namespace:
        return HERE
    if _found(function.__module__, function.__qualname__) is function:
        return None
    module = sys.modules.get(function.__globals__.get("__name__", ""))
    return module.__name__ if module is not None and vars(module) is function.__globals__ else None


def _found(module: str | None, name: str) -> Any:
    """What importing that name from that module gives."""
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def reduced_function(function: types.FunctionType, home: str) -> Any:
    state = {
        "__name__": function.__name__,
        "__qualname__": function.__qualname__,
        "__module__": function.__module__,
        "__doc__": function.__doc__,
        "__defaults__": function.__defaults__,
        "__kwdefaults__": function.__kwdefaults__,
        "__annotations__": function.__annotations__,
    }
    made = (function.__code__, home, function.__closure__)
    return _function, made, (state, dict(vars(function))), None, None, _fill_function


def _function(code: types.CodeType, home: str, closure: Any) -> types.FunctionType:
    if home != HERE:
        return types.FunctionType(code, vars(importlib.import_module(home)), None, None, closure)
    return types.FunctionType(code, _here.namespace, None, None, closure)


def _fill_function(function: types.FunctionType, parts: tuple[dict[str, Any], dict[str, Any]]) -> types.FunctionType:
    for name, value in parts[0].items():
        setattr(function, name, value)
    vars(function).update(parts[1])
    return function


def cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def reduced_cell(cell: types.CellType) -> Any:
    try:
        content = (cell.cell_contents,)
    except ValueError:
        return types.CellType, ()
    # filled after it is known, because a function may be in its own closure
    return types.CellType, (), content, None, None, _fill_cell


def _fill_cell(cell: types.CellType, content: tuple[Any]) -> types.CellType:
    cell.cell_contents = content[0]
    return cell


def names_read(code: types.CodeType) -> set[str]:
    """The global names that a function's code reads or writes, in inner functions too."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names_read(constant)
    return found


def singleton_name(value: Any) -> str:
    """The name of an object of which each process has its own, and that refers to the process's random stream."""
    random = sys.modules.get("random")
    if random is not None and value is vars(random).get("_inst"):
        return "random"
    mtrand = sys.modules.get("numpy.random.mtrand")
    if mtrand is not None and value is mtrand._rand:
        return "numpy.random"
    if value is sys.stdout or value is sys.stderr:
        return "stdout" if value is sys.stdout else "stderr"
    return ""


def of_file(file: Any) -> tuple[Any, ...]:
    how = (file.encoding, file.errors) if type(file) is io.TextIOWrapper else (None, None)
    return (file.name, file.mode, type(file) is io.FileIO, *how)


def closed_file(name: str, mode: str, raw: bool, encoding: str | None, errors: str | None) -> Any:
    """A file that is closed, and says of itself what the one did that left."""
    file: Any = Path(os.devnull).open(mode.replace("x", "w"), 0 if raw else -1, encoding=encoding, errors=errors)  # noqa: SIM115
    innermost = file if raw else getattr(file, "buffer", file).raw
    innermost.name = name
    file.close()
    return file


def the_singleton(name: str) -> Any:
    if name == "random":
        import random

        return vars(random)["_inst"]
    if name == "numpy.random":
        import numpy.random.mtrand

        return numpy.random.mtrand._rand
    return getattr(sys, name)
